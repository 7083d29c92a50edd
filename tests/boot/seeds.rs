//! What a machine believes: good seeds, refused ones beside them, and what a hypervisor offers besides.

use crate::checks::{Complaints, healthy};
use crate::machine::Lab;
use crate::report::Report;
use crate::seed;
use crate::signed::{Order, labelled, volume, write};
use anyhow::{Context as _, Result};
use imgbuild::base::size::GIB;
use imgbuild::lab::Firmware;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a machine's disk.
const DISK: u64 = 8 * GIB;
/// Label of a seed that report.sh applies: none that a machine looks for as it starts.
const LATER: &str = "later";
/// Whoever gets this to run has taken the machine over.
const INTRUDER: &str = "#cloud-config\nbootcmd:\n  - [touch, /etc/boot-test/intruder]\n";

/// One machine: a good seed, then eight bad ones, then a newer one beside bad ones and an address of the hypervisor; there
/// one that is newer still is applied while it runs.
pub(crate) fn signed(lab: &Lab) -> Result<Option<String>> {
    let mut machine = lab.machine("seeds", Firmware::Bios)?;
    let at = |name: &str| machine.folder.join(name);
    let (first, newer, later) = (at("generation-2"), at("generation-3"), at("generation-4"));
    write(&first, &Order::good(2));
    write(&newer, &Order { instance: 3, ..Order::good(3) });
    write(&later, &Order { instance: 3, ..Order::good(4) });
    let bad = bad(&machine.folder);
    let intruder = intruder(&machine.folder, "intruder");

    machine.machine.seed = Some(first);
    let report = machine.boot(DISK)?;
    healthy(&report, Firmware::Bios)?;
    installed(&report, 2, 1, &machine.console())?;

    machine.machine.seed = Some(bad[0].0.clone());
    machine.machine.further_disks = bad[1..].iter().map(|(file, _)| file.clone()).collect();
    let report = machine.boot(DISK)?;
    healthy(&report, Firmware::Bios)?;
    installed(&report, 2, 1, &machine.console())?;
    refused(&report, &machine.console(), bad.iter().map(|(_, reason)| *reason))?;

    let (port, requests) = serve()?;
    machine.machine.seed = Some(newer);
    machine.machine.further_disks = vec![intruder, labelled(&later, LATER)];
    machine.machine.serial_number = Some(format!("ds=nocloud;s=http://10.0.2.2:{port}/"));
    machine.machine.isolated = false;
    let report = machine.boot(DISK)?;
    healthy(&report, Firmware::Bios)?;
    let console = machine.console();
    let started = console.find("(generation 3)").context("the seed's generation 3 was never ready")?;
    anyhow::ensure!(report.status("applied") == 0, "`imgbuild-node apply`: {}", report.text("applied"));
    installed(&report, 4, 3, &console[started..])?;
    refused(
        &report,
        &machine.console(),
        ["it is not signed, and this machine belongs to the cluster boot"].into_iter(),
    )?;
    let count = requests.load(Ordering::SeqCst);
    anyhow::ensure!(count == 0, "the machine asked the hypervisor's address {count} times");
    // The twin: whoever asks is counted.
    ask(port)?;
    anyhow::ensure!(requests.load(Ordering::SeqCst) == 1, "requests are not counted");
    Ok(None)
}

/// A machine whose image trusts a key: endorsed clusters alone, however new and however first the others are.
pub(crate) fn trusting(lab: &Lab) -> Result<Option<String>> {
    let Some(image) = std::env::var_os("IMGBUILD_BOOT_TRUSTING").map(PathBuf::from) else {
        return Ok(Some("IMGBUILD_BOOT_TRUSTING names no image that trusts a key".to_owned()));
    };
    let mut machine = lab.machine("trust", Firmware::Bios)?;
    machine.machine.image = image.canonicalize()?;
    let at = |name: &str| machine.folder.join(name);
    write(&at("unendorsed"), &Order { key: 2, cluster: "c2", ..Order::good(9) });
    write(&at("endorsed"), &Order { endorsed: true, ..Order::good(1) });
    let (unendorsed, endorsed) = (volume(&at("unendorsed")), volume(&at("endorsed")));
    let intruder = intruder(&machine.folder, "intruder");
    machine.machine.seed = Some(intruder);
    machine.machine.further_disks = vec![unendorsed, endorsed];
    let report = machine.boot(DISK)?;
    healthy(&report, Firmware::Bios)?;
    installed(&report, 1, 1, &machine.console())?;
    let reasons = [
        "it is not signed, and this image trusts only clusters that its key has signed",
        "its cluster is not one that this image trusts: the cluster's key is not endorsed",
    ];
    refused(&report, &machine.console(), reasons.into_iter())?;
    Ok(None)
}

/// Seeds that must be refused, each with its reason.
fn bad(folder: &Path) -> Vec<(PathBuf, &'static str)> {
    let make = |name: &str, order: Order, change: &dyn Fn(&Path)| {
        let folder = folder.join(name);
        write(&folder, &order);
        change(&folder);
        volume(&folder)
    };
    let flip = |folder: &Path| {
        let path = folder.join("imgbuild/files/etc/boot-test/payload");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[0] ^= 1;
        std::fs::write(path, bytes).unwrap();
    };
    let cut = |folder: &Path| std::fs::write(folder.join("user-data"), "#cloud-config\n").unwrap();
    let unsign = |folder: &Path| std::fs::remove_file(folder.join("imgbuild/manifest.json.sig")).unwrap();
    let swell = |folder: &Path| std::fs::write(folder.join("imgbuild/files/etc/large"), vec![0; 33 << 20]).unwrap();
    let newer = || Order::good(9);
    vec![
        (make("flipped", newer(), &flip), "imgbuild/files/etc/boot-test/payload is damaged"),
        (make("truncated", newer(), &cut), "user-data is truncated"),
        (make("unsigned", newer(), &unsign), "it is not signed: imgbuild/manifest.json.sig is missing"),
        (make("node", Order { mac: "52:54:00:00:99:99", ..newer() }, &|_| ()), "it is of another node"),
        (make("cluster", Order { key: 2, cluster: "c2", ..newer() }, &|_| ()), "it is of another cluster"),
        (make("oversized", newer(), &swell), "it is oversized: more than 32 MiB"),
        (make("older", Order::good(1), &|_| ()), "it is of an older generation: 1, and generation 2 is installed"),
        (
            make("same", Order { instance: 2, ..Order::good(2) }, &|_| ()),
            "it says something else than what is installed, and both are generation 2",
        ),
    ]
}

/// A volume of an intruder: cloud-init would run it.
fn intruder(folder: &Path, name: &str) -> PathBuf {
    let folder = folder.join(name);
    seed::write_instance(&folder, false, 666);
    std::fs::write(folder.join("user-data"), INTRUDER).unwrap();
    volume(&folder)
}

/// The machine is as this generation's payload and this instance's documents say.
fn installed(report: &Report, generation: u64, instance: u64, console: &str) -> Result<()> {
    let mut complaints = Complaints::default();
    let c = &mut complaints;
    let status: serde_json::Value = serde_json::from_str(report.text("role")).unwrap_or_default();
    c.expect(status["stage"] == "ready" && status["generation"] == generation, || format!("status: {status}"));
    c.expect(status["node"] == seed::HOST && status["cluster"] == "boot", || format!("status: {status}"));
    let payload = report.text("payload");
    c.expect(payload.starts_with("payload 640 root:adm\n"), || format!("payload: {payload}"));
    c.expect(payload.contains(&format!("payload {generation}\n")), || format!("payload: {payload}"));
    // Written once, by the first generation; a service owns it since.
    c.expect(payload.contains("once 2") || generation == 1, || format!("what is written once: {payload}"));
    let unit = report.text("payload-unit");
    for line in ["ActiveState=active", "UnitFileState=enabled"] {
        c.expect(unit.contains(line), || format!("the payload's unit: {unit}"));
    }
    c.expect(unit.contains(&format!("Payload of generation {generation}")), || format!("the payload's unit: {unit}"));
    let documents = report.text("documents");
    c.expect(documents.starts_with(". 700\n") && documents.contains("user-data 600"), || documents.to_owned());
    c.expect(documents.contains(&format!("instance-id: {}-{instance}\n", seed::HOST)), || documents.to_owned());
    c.expect(report.status("intruder") != 0, || "an intruder's user-data ran".to_owned());
    let state = report.text("state");
    let left = state.lines().any(|line| line.starts_with("next") || line.starts_with("seed-"));
    c.expect(!left, || format!("copies are left: {state}"));
    let ready =
        format!("imgbuild-node: [ready] role base ready: boot-test.service active (running) (generation {generation})");
    c.expect(console.contains(&ready), || format!("the console does not say `{ready}`"));
    complaints.finish(report)
}

/// Each reason stands on the console and in the status.
fn refused<'a>(report: &Report, console: &str, reasons: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut complaints = Complaints::default();
    let lines: Vec<&str> = console.lines().filter(|line| line.contains("imgbuild-node: [refused] ")).collect();
    for reason in reasons {
        complaints.expect(lines.iter().any(|line| line.contains(reason)), || {
            format!("the console does not say `{reason}`, but:\n{}", lines.join("\n"))
        });
        complaints.expect(report.text("role").contains(reason), || format!("the status does not say `{reason}`"));
    }
    complaints.finish(report)
}

/// A server on this host that counts who asks, and would give an intruder's documents.
fn serve() -> Result<(u16, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening")?;
    let port = listener.local_addr()?.port();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = answer(stream);
        }
    });
    Ok((port, requests))
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes)?;
    let asked = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let body = if asked.starts_with("GET /meta-data") { "instance-id: intruder\n" } else { INTRUDER };
    write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn ask(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"GET /meta-data HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    anyhow::ensure!(text.contains("instance-id: intruder"), "the server does not answer: {text}");
    Ok(())
}
