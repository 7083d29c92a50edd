//! The tests: what is booted how often, and what must hold in between.

use crate::checks::{Complaints, filled, healthy, intact};
use crate::machine::{Lab, tools};
use crate::seed::PACKAGES_LABEL;
use crate::seeds;
use anyhow::{Context as _, Result};
use imgbuild::base::epoch::Epoch;
use imgbuild::base::size::GIB;
use imgbuild::format::iso9660::{Volume, write};
use imgbuild::lab::{self, Accelerator, Firmware, Qemu};
use std::path::PathBuf;

/// A test; a reason when it cannot run here.
type Test = fn(&Lab) -> Result<Option<String>>;

/// All tests by name.
pub(crate) const ALL: [(&str, Test); 8] = [
    ("probe", probe),
    ("bios", bios),
    ("uefi", uefi),
    ("secure", secure),
    ("grow", grow),
    ("kernel", kernel),
    ("seeds", seeds::signed),
    ("trust", seeds::trusting),
];

/// The probe guest runs where it must; a probe that never runs would mean software emulation everywhere, unnoticed.
fn probe(lab: &Lab) -> Result<Option<String>> {
    let qemu = Qemu::choose(Firmware::Bios, tools)?;
    let works = lab::probe(&qemu, &lab.folder, Accelerator::Emulation)?;
    anyhow::ensure!(works, "the probe guest does not run under software emulation");
    println!("KVM works here: {}", lab::probe(&qemu, &lab.folder, Accelerator::Kvm)?);
    Ok(None)
}

fn bios(lab: &Lab) -> Result<Option<String>> {
    once(lab, "bios", Firmware::Bios)
}

fn uefi(lab: &Lab) -> Result<Option<String>> {
    once(lab, "uefi", Firmware::Uefi)
}

fn secure(lab: &Lab) -> Result<Option<String>> {
    once(lab, "secure", Firmware::Secure)
}

/// First boot under a firmware, on a larger disk.
fn once(lab: &Lab, name: &str, firmware: Firmware) -> Result<Option<String>> {
    let report = lab.machine(name, firmware)?.boot(20 * GIB)?;
    healthy(&report, firmware)?;
    filled(&report, 20 * GIB)?;
    if lab.verify && firmware == Firmware::Secure {
        intact(&report)?;
    }
    Ok(None)
}

/// Grown at the first boot, grown again at the second, unchanged at the third.
fn grow(lab: &Lab) -> Result<Option<String>> {
    let mut machine = lab.machine("grow", Firmware::Bios)?;
    let mut sizes = Vec::new();
    let mut reports = Vec::new();
    for size in [20 * GIB, 25 * GIB, 25 * GIB] {
        let report = machine.boot(size)?;
        healthy(&report, Firmware::Bios)?;
        filled(&report, size)?;
        sizes.push(report.text("lvs").to_owned());
        reports.push(report);
    }
    let mut complaints = Complaints::default();
    let root = |at: usize| reports[at].volume("root").unwrap_or(0);
    complaints.expect(root(0) < root(1), || format!("root did not grow: {sizes:?}"));
    complaints.expect(sizes[1] == sizes[2], || format!("a further boot changed volumes: {sizes:?}"));
    let last = &reports[2];
    complaints.expect(last.text("grow").contains("nothing to do"), || {
        format!("a further boot had something to do: {}", last.text("grow"))
    });
    // What LVM and the partition table have written down is as it was; the twin is the boot that grew.
    let written = |at: usize| reports[at].text("written");
    complaints.expect(!written(2).is_empty() && written(1) == written(2), || {
        format!("a further boot wrote: {} instead of {}", written(2), written(1))
    });
    complaints.expect(written(0) != written(1), || format!("a boot that grows writes nothing: {}", written(1)));
    if let Some(seconds) = last.seconds("imgbuild-grow.service") {
        println!("growing with nothing to do took {seconds:.2} s");
    }
    complaints.finish(last)?;
    Ok(None)
}

/// A kernel package installed by hand boots after a restart.
fn kernel(lab: &Lab) -> Result<Option<String>> {
    let Some(folder) = std::env::var_os("IMGBUILD_BOOT_PACKAGES").map(PathBuf::from) else {
        return Ok(Some("IMGBUILD_BOOT_PACKAGES names no folder with packages of a kernel".to_owned()));
    };
    let mut machine = lab.machine("kernel", Firmware::Uefi)?;
    let mut volume = Volume::new(PACKAGES_LABEL, Epoch(0));
    let mut found = None;
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !name.ends_with(".deb") {
            continue;
        }
        let release = name.strip_prefix("linux-image-").and_then(|rest| rest.split('_').next());
        found = found.or(release.map(|release| release.trim_end_matches("-unsigned").to_owned()));
        volume.file(name, 0o644, std::fs::read(&path)?);
    }
    let release = found.context("no linux-image package among them")?;
    let file = machine.folder.join("packages.iso");
    std::fs::write(&file, write(&volume)?)?;
    machine.machine.further_disks = vec![file];
    let report = machine.boot(20 * GIB)?;
    let mut complaints = Complaints::default();
    complaints
        .expect(report.text("install").ends_with("exit status 0"), || "the packages are not installed".to_owned());
    complaints.equal(&report, "kernel", &release);
    complaints.finish(&report)?;
    healthy(&report, Firmware::Uefi)?;
    Ok(None)
}
