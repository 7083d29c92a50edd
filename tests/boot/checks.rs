//! What a machine that booted from a seed must say of itself.

use crate::journal::{EXPLAINED, unexplained};
use crate::report::{ABSENT, Report};
use crate::seed;
use anyhow::{Result, bail};
use imgbuild::lab::Firmware;

/// Collects every complaint, so that one boot tells all.
#[derive(Default)]
pub(crate) struct Complaints(Vec<String>);

impl Complaints {
    /// Notes a complaint unless this holds.
    pub(crate) fn expect(&mut self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.0.push(text());
        }
    }

    /// The same for a section that must read exactly so.
    pub(crate) fn equal(&mut self, report: &Report, section: &str, wanted: &str) {
        let found = report.text(section);
        self.expect(found == wanted, || format!("{section}: `{found}` instead of `{wanted}`"));
    }

    /// Fails with all complaints and the report they come from.
    pub(crate) fn finish(self, report: &Report) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("{}\n--- the whole report ---\n{}", self.0.join("\n"), report.whole())
    }
}

/// Everything that holds after every boot from the seed.
pub(crate) fn healthy(report: &Report, firmware: Firmware) -> Result<()> {
    let mut complaints = Complaints::default();
    let c = &mut complaints;
    c.equal(report, "running", "running");
    c.equal(report, "failed", "");
    c.equal(report, "cycles", "");
    c.equal(report, "unit-cycles", "");
    identity(c, report);
    cloud_init(c, report);
    c.expect(report.status("audit") == 0 && report.text("audit").is_empty(), || "dpkg --audit complains".to_owned());
    lvm(c, report);
    for line in unexplained(report.text("errors"), EXPLAINED) {
        c.expect(false, || format!("journal, priority err, unexplained: {line}"));
    }
    c.equal(report, "efi", if firmware == Firmware::Bios { "bios" } else { "uefi" });
    if firmware == Firmware::Secure {
        c.equal(report, "secure", "   1");
    }
    c.expect(report.status("release") == 0, || "/usr/lib/imgbuild/release is missing".to_owned());
    c.expect(report.status("node") == 0, || "imgbuild-node status fails".to_owned());
    complaints.finish(report)
}

/// Every file is what its package brought, and every package has what it needs.
pub(crate) fn intact(report: &Report) -> Result<()> {
    let mut complaints = Complaints::default();
    let c = &mut complaints;
    for section in ["verify", "debsums"] {
        let (said, status) = (report.text(section), report.status(section));
        if section == "debsums" && status == ABSENT {
            continue;
        }
        c.expect(status == 0 && said.is_empty(), || format!("{section} ({status}): {said}"));
    }
    let (said, status) = (report.text("apt-check"), report.status("apt-check"));
    let clean = said.lines().all(|line| line.starts_with("Reading ") || line.starts_with("Building "));
    c.expect(status == 0 && clean, || format!("apt-get check ({status}): {said}"));
    complaints.finish(report)
}

fn identity(c: &mut Complaints, report: &Report) {
    c.equal(report, "hostname", seed::HOST);
    c.equal(report, "fqdn", &format!("{}.example.internal", seed::HOST));
    c.equal(report, "key", seed::KEY);
    c.equal(report, "marker", "640 root:adm\nwritten by the seed");
    let (user, address) = (report.text("user"), report.text("address"));
    c.expect(user.contains(&format!("({})", seed::USER)) && user.contains("(adm)"), || format!("user: {user}"));
    let up = address.split_whitespace().collect::<Vec<_>>();
    c.expect(up == ["lan0", "UP", seed::ADDRESS], || format!("address: {address}"));
    c.expect(report.text("route").starts_with("default via 10.0.2.2 dev lan0"), || "no default route".to_owned());
    let id = report.text("machine-id");
    c.expect(id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit()), || format!("machine-id: `{id}`"));
    c.expect(report.text("host-keys").contains("ed25519"), || "no SSH host keys were made".to_owned());
    c.expect(report.text("ssh").contains(":22"), || "nobody listens on port 22".to_owned());
}

fn cloud_init(c: &mut Complaints, report: &Report) {
    let said = report.text("cloud-init");
    let line = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("").trim();
    c.expect(report.status("cloud-init") == 0, || {
        format!("cloud-init status exits with {}", report.status("cloud-init"))
    });
    // Before version 23.4 it says less; what it found by then stands in its result and in its log.
    let extended = !said.contains("extended_status:") || line("extended_status:") == "done";
    c.expect(line("status:") == "done" && extended, || format!("cloud-init: {said}"));
    let none = |key: &str, nothing: &str| !said.lines().any(|line| line.starts_with(key)) || line(key) == nothing;
    c.expect(none("errors:", "[]") && none("recoverable_errors:", "{}"), || format!("cloud-init: {said}"));
    c.expect(said.contains("DataSourceNoCloud"), || format!("cloud-init: {said}"));
    let result: serde_json::Value = serde_json::from_str(report.text("cloud-result")).unwrap_or_default();
    c.expect(result["v1"]["errors"].as_array().is_some_and(Vec::is_empty), || format!("cloud-init: {result}"));
    c.equal(report, "cloud-warnings", "");
}

fn lvm(c: &mut Complaints, report: &Report) {
    c.expect(report.status("vgck") == 0 && report.text("vgck").is_empty(), || format!("vgck: {}", report.text("vgck")));
    for section in ["pvs", "vgs", "lvs"] {
        let text = report.text(section);
        c.expect(report.status(section) == 0 && !text.to_lowercase().contains("warning"), || {
            format!("{section}: {text}")
        });
    }
}

/// The disk is used to its end: partition, physical volume, and what the plan does not keep back.
pub(crate) fn filled(report: &Report, size: u64) -> Result<()> {
    let mut complaints = Complaints::default();
    let c = &mut complaints;
    let disk = report.device("vda").unwrap_or(0);
    c.expect(disk == size, || format!("the disk has {disk} bytes instead of {size}"));
    let partitions: u64 = ["vda1", "vda2", "vda3"].iter().filter_map(|name| report.device(name)).sum();
    // One MiB before the first partition, at most as much behind the last.
    c.expect(size - partitions <= 3 << 20, || format!("partitions take {partitions} of {size} bytes"));
    let number = |section: &str| {
        let words: Vec<u64> = report.text(section).split_whitespace().filter_map(|word| word.parse().ok()).collect();
        (words.first().copied().unwrap_or(0), words.get(1).copied().unwrap_or(0))
    };
    let (physical, _) = number("pvs");
    let last = report.device("vda3").unwrap_or(0);
    c.expect(last.saturating_sub(physical) <= 8 << 20, || {
        format!("the physical volume has {physical} of {last} bytes")
    });
    for line in report.text("df").lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [mount, kind, length, ..] = words.as_slice() else { continue };
        if !matches!(*kind, "ext4" | "xfs") {
            continue;
        }
        let source = report.text("mounts").lines().find_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words.first() == Some(mount)).then(|| words.get(1).copied().unwrap_or("").to_owned())
        });
        let name = source.as_deref().and_then(|source| source.strip_prefix("/dev/mapper/")).unwrap_or("");
        let volume = report.device(name).unwrap_or(0);
        let length: u64 = length.parse().unwrap_or(0);
        // ext4 does not count its tables, at most a twentieth.
        c.expect(volume > 0 && length >= volume - volume / 20, || {
            format!("the filesystem at {mount} has {length} of the {volume} bytes of {name}")
        });
    }
    complaints.finish(report)
}
