//! Gathers what firmware reads: GRUB for BIOS from the tools root (where the disk has a place for it), signed loaders
//! from the tree, one grub.cfg for both.

use super::{BootFiles, Call, Tools};
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::LOADER_BYTES;
use crate::base::tree::{Kind, Tree};
use crate::plan::{Disk, Filesystem, ImagePlan, PartitionRole, Volume};
use anyhow::{Context as _, Result, anyhow};
use std::path::Path;

/// Where GRUB's modules for BIOS lie in the tools root (package `grub-pc-bin`).
const MODULES_FOLDER: &str = "/usr/lib/grub/i386-pc";
/// Within core.img: what our grub.cfg needs, and all that `update-grub` writes `insmod` for, as there is no folder of
/// modules on the disk.
const MODULES: &[&str] = &[
    "biosdisk",
    "part_gpt",
    "part_msdos",
    "diskfilter",
    "fat",
    "lvm",
    "ext2",
    "xfs",
    "normal",
    "configfile",
    "linux",
    "chain",
    "boot",
    "search",
    "search_fs_uuid",
    "search_fs_file",
    "search_label",
    "serial",
    "terminal",
    "echo",
    "test",
    "true",
    "ls",
    "cat",
    "help",
    "minicmd",
    "halt",
    "reboot",
    "sleep",
    "keystatus",
    "read",
    "probe",
    "regexp",
    "loadenv",
    "gettext",
    "gzio",
    "all_video",
    "video",
    "vbe",
    "vga",
    "video_bochs",
    "video_cirrus",
    "video_fb",
    "gfxterm",
    "gfxterm_background",
    "gfxmenu",
    "font",
    "png",
];
/// Signed loaders: where the ESP wants each, where packages put it (the first that is there), and which package that is.
type Loader = (&'static str, &'static [&'static str], &'static str);

const LOADERS_AMD64: &[Loader] = &[
    (
        "EFI/BOOT/BOOTX64.EFI",
        &["usr/lib/shim/shimx64.efi.signed", "usr/lib/shim/shimx64.efi.signed.latest"],
        "shim-signed",
    ),
    (
        "EFI/BOOT/grubx64.efi",
        &[
            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed.latest",
        ],
        "grub-efi-amd64-signed",
    ),
    ("EFI/BOOT/mmx64.efi", &["usr/lib/shim/mmx64.efi.signed", "usr/lib/shim/mmx64.efi"], "shim-helpers-amd64-signed"),
];

const LOADERS_ARM64: &[Loader] = &[
    (
        "EFI/BOOT/BOOTAA64.EFI",
        &["usr/lib/shim/shimaa64.efi.signed", "usr/lib/shim/shimaa64.efi.signed.latest"],
        "shim-signed",
    ),
    (
        "EFI/BOOT/grubaa64.efi",
        &[
            "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed",
            "usr/lib/grub/arm64-efi-signed/grubaa64.efi.signed.latest",
        ],
        "grub-efi-arm64-signed",
    ),
    (
        "EFI/BOOT/mmaa64.efi",
        &["usr/lib/shim/mmaa64.efi.signed", "usr/lib/shim/mmaa64.efi"],
        "shim-helpers-arm64-signed",
    ),
];

/// Makes core.img with the tools root's `grub-mkimage`, takes the signed shim and GRUB out of the tree.
///
/// # Errors
/// When the tools root lacks GRUB, or the tree lacks the signed loaders.
pub fn prepare(plan: &ImagePlan, tree: &Tree, tools: &dyn Tools, work: &Path) -> Result<BootFiles> {
    let folder = format!("EFI/{}", plan.distribution.efi_folder);
    let mut esp = vec![(format!("{folder}/grub.cfg"), configuration(&plan.disk)?.into_bytes())];
    let loaders = if plan.architecture == "arm64" { LOADERS_ARM64 } else { LOADERS_AMD64 };
    for (path, candidates, package) in loaders {
        esp.push(((*path).to_owned(), loader(tree, candidates, package)?));
    }
    esp.sort();
    if !plan.disk.partitions.iter().any(|partition| partition.role == PartitionRole::BiosBoot) {
        return Ok(BootFiles { esp, ..BootFiles::default() });
    }
    let boot_img = tools.read(&format!("{MODULES_FOLDER}/boot.img"))?;
    Ok(BootFiles { boot_img, core_img: core_img(&plan.disk, &folder, tools, work)?, esp })
}

fn core_img(disk: &Disk, folder: &str, tools: &dyn Tools, work: &Path) -> Result<Vec<u8>> {
    let esp = disk.partitions.iter().find(|partition| partition.role == PartitionRole::Esp);
    let number = esp.context("the plan has no EFI system partition")?.number;
    // No disk before the comma: the one that core.img came from, whatever its name.
    let prefix = format!("(,gpt{number})/{folder}");
    let fixed = ["-O", "i386-pc", "-d", MODULES_FOLDER, "-p", &prefix, "-o", "core.img"];
    let arguments = fixed.iter().chain(MODULES).map(|&argument| argument.to_owned()).collect();
    let call = Call { program: "grub-mkimage", arguments, environment: Vec::new(), folder: work };
    tools.run(&call).context("making GRUB's core.img")?;
    files::read(&work.join("core.img"), LOADER_BYTES)
}

/// The configuration on the ESP: GRUB under either firmware reads it and goes on with the root volume's own.
/// A machine without a serial port keeps its console.
fn configuration(disk: &Disk) -> Result<String> {
    let group = &disk.volume_group;
    let is_root = |volume: &&Volume| volume.mount == "/" && volume.filesystem == Filesystem::Ext4;
    let root = group.volumes.iter().find(is_root).context("the plan has no root volume")?;
    let name = format!("lvm/{}-{}", doubled(&group.name), doubled(&root.name));
    Ok(format!(
        "if serial --unit=0 --speed=115200; then\n\
         \u{20} terminal_input serial console\n\
         \u{20} terminal_output serial console\n\
         fi\n\
         search --no-floppy --fs-uuid --set=root --hint={name} {uuid}\n\
         set prefix=($root)/boot/grub\n\
         configfile $prefix/grub.cfg\n",
        uuid = root.uuid
    ))
}

/// A name as device-mapper and GRUB join it with another: its own dashes doubled.
fn doubled(name: &str) -> String {
    name.replace('-', "--")
}

fn loader(tree: &Tree, candidates: &[&str], package: &str) -> Result<Vec<u8>> {
    let is_file = |kind: &Kind| matches!(kind, Kind::File { .. } | Kind::HardLink { .. });
    for candidate in candidates {
        if tree.entries.iter().any(|entry| entry.path == candidate.as_bytes() && is_file(&entry.kind)) {
            return files::read(&tree.contents.join(candidate), LOADER_BYTES);
        }
    }
    let first = candidates.first().ok_or_else(|| anyhow!("no candidate for a loader"))?;
    Err(hinted(
        format!("the root has no `/{first}`, which UEFI machines boot from"),
        format!("add the package `{package}` to the recipe"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_are_doubled_in_volume_names() {
        assert_eq!(doubled("my-vg"), "my--vg");
    }

    #[test]
    fn missing_loader_names_file_and_package() {
        let error = loader(&Tree::default(), LOADERS_AMD64[0].1, LOADERS_AMD64[0].2).unwrap_err();
        let said = "the root has no `/usr/lib/shim/shimx64.efi.signed`, which UEFI machines boot from";
        assert_eq!(error.to_string(), said);
        assert_eq!(crate::base::hint::hints(&error), ["add the package `shim-signed` to the recipe"]);
    }
}
