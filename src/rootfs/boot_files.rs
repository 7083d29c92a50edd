//! What the image says about itself and how it starts: fstab, grub.cfg, the release file, the guest's executable.

use super::root::Root;
use crate::package::{BuildPlan, compare_versions};
use crate::plan::{Disk, Filesystem, ImagePlan, PartitionRole, Volume};
use anyhow::{Context as _, Result};
use std::fmt::Write as _;

/// Where GRUB's menu is, for whoever boots through the EFI system partition and for `update-grub`.
const MENU: &str = "boot/grub/grub.cfg";
/// How long GRUB waits for a key.
const MENU_SECONDS: u32 = 1;

/// A kernel of the root and its initial ramdisk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) version: String,
    /// `boot/vmlinuz-...`
    pub(super) image: String,
    /// `boot/initrd.img-...`
    pub(super) initrd: String,
}

/// The kernels of the root, newest first.
pub(super) fn kernels(root: &Root) -> Result<Vec<Kernel>> {
    let mut found: Vec<Kernel> = root
        .list("boot")?
        .iter()
        .filter_map(|name| name.strip_prefix("vmlinuz-"))
        .map(|version| Kernel {
            version: version.to_owned(),
            image: format!("boot/vmlinuz-{version}"),
            initrd: format!("boot/initrd.img-{version}"),
        })
        .collect();
    found.sort_by(|one, other| {
        compare_versions(&other.version, &one.version).then_with(|| other.version.cmp(&one.version))
    });
    Ok(found)
}

/// What the initial ramdisk must know and cannot find out in a sandbox: the root's filesystem, and that nothing resumes.
pub(super) fn describe_root_to_initramfs(root: &Root) -> Result<()> {
    if root.find(b"etc/initramfs-tools")?.is_some() {
        let text = "# Written by imgbuild\nFSTYPE=ext4\nRESUME=none\n";
        root.write("etc/initramfs-tools/conf.d/imgbuild", text.as_bytes(), 0o644, (0, 0))?;
    }
    Ok(())
}

/// Writes all of them.
pub(super) fn write(root: &Root, plan: &BuildPlan, node: &[u8], kernels: &[Kernel]) -> Result<()> {
    let image = &plan.image;
    root.write("etc/fstab", fstab(&image.disk).as_bytes(), 0o644, (0, 0))?;
    for path in mount_points(&image.disk) {
        if root.find(path.as_bytes())?.is_none() {
            root.make_directory(&path, 0o755, (0, 0))?;
        }
    }
    root.write(MENU, menu(image, kernels)?.as_bytes(), 0o600, (0, 0))?;
    let defaults_file = "etc/default/grub.d/imgbuild.cfg";
    if root.find(defaults_file.as_bytes())?.is_none() {
        root.write(defaults_file, defaults(image).as_bytes(), 0o644, (0, 0))?;
    }
    root.write("usr/lib/imgbuild/imgbuild-node", node, 0o755, (0, 0))?;
    root.write("usr/lib/imgbuild/release", release(plan).as_bytes(), 0o644, (0, 0))
}

/// A volume's name below /dev/mapper: dashes are doubled.
fn mapper(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// Volumes and system partition, each mounted after what it lies on.
fn fstab(disk: &Disk) -> String {
    let mut rows = Vec::new();
    for volume in &disk.volume_group.volumes {
        let device = format!("/dev/mapper/{}", mapper(&disk.volume_group.name, &volume.name));
        let options = if volume.options.is_empty() { "defaults" } else { &volume.options };
        let check = if volume.mount == "/" { 1 } else { 2 };
        rows.push(match volume.filesystem {
            Filesystem::Swap => (vec!["~"], format!("{device} none swap {} 0 0", swap_options(volume))),
            Filesystem::Ext4 | Filesystem::Ext4AtFirstBoot => {
                (depth(&volume.mount), format!("{device} {} ext4 {options} 0 {check}", volume.mount))
            }
            Filesystem::XfsAtFirstBoot => {
                (depth(&volume.mount), format!("{device} {} xfs {options} 0 0", volume.mount))
            }
        });
    }
    for partition in disk.partitions.iter().filter(|partition| partition.role == PartitionRole::Esp) {
        let row = format!("PARTUUID={} /boot/efi vfat umask=0077 0 1", partition.guid);
        rows.push((depth("/boot/efi"), row));
    }
    rows.sort();
    let rows: String = rows.into_iter().map(|(_, row)| row + "\n").collect();
    format!("# <file system> <mount point> <type> <options> <dump> <pass>\n{rows}")
}

fn swap_options(volume: &Volume) -> &str {
    if volume.options.is_empty() || volume.options == "defaults" { "sw" } else { &volume.options }
}

fn depth(mount: &str) -> Vec<&str> {
    mount.split('/').filter(|part| !part.is_empty()).collect()
}

fn mount_points(disk: &Disk) -> Vec<String> {
    let volumes = disk.volume_group.volumes.iter().filter(|volume| volume.filesystem != Filesystem::Swap);
    let mut points: Vec<String> = volumes.map(|volume| volume.mount.clone()).filter(|mount| mount != "/").collect();
    points.push("/boot/efi".to_owned());
    points.sort();
    points
}

/// GRUB's menu: read by core.img and by the signed GRUB alike, each with `root` set to the volume that holds it.
fn menu(image: &ImagePlan, kernels: &[Kernel]) -> Result<String> {
    let group = &image.disk.volume_group;
    let holds = |mount: &str| group.volumes.iter().find(|volume| volume.mount == mount);
    let root = holds("/").context("the plan has no root volume")?;
    let (boot, prefix) = holds("/boot").map_or((root, "/boot"), |boot| (boot, ""));
    let boot = mapper(&group.name, &boot.name);
    let root = mapper(&group.name, &root.name);
    let arguments = image.kernel_arguments.join(" ");
    let mut text = format!(
        "# Written by imgbuild; `update-grub` replaces it.\n\
         serial --unit=0 --speed=115200\n\
         terminal_input serial console\n\
         terminal_output serial console\n\
         set default=0\nset timeout={MENU_SECONDS}\nset root=lvm/{boot}\n"
    );
    for kernel in kernels {
        let version = &kernel.version;
        write!(
            text,
            "\nmenuentry '{} {}, Linux {version}' {{\n\
             \tlinux {prefix}/vmlinuz-{version} root=/dev/mapper/{root} ro {arguments}\n\
             \tinitrd {prefix}/initrd.img-{version}\n}}\n",
            image.distribution.id, image.distribution.suite
        )?;
    }
    Ok(text)
}

/// The same wishes for the menu that `update-grub` would write.
fn defaults(image: &ImagePlan) -> String {
    let arguments = image.kernel_arguments.join(" ");
    format!(
        "# Written by imgbuild\nGRUB_TIMEOUT={MENU_SECONDS}\nGRUB_CMDLINE_LINUX_DEFAULT=\"\"\nGRUB_CMDLINE_LINUX=\"{arguments}\"\n\
         GRUB_TERMINAL=\"serial console\"\nGRUB_SERIAL_COMMAND=\"serial --unit=0 --speed=115200\"\n\
         GRUB_DISABLE_OS_PROBER=true\n"
    )
}

/// What is in the image, as `name=value` lines.
fn release(plan: &BuildPlan) -> String {
    let image = &plan.image;
    format!(
        "ROLE={}\nRECIPE={}\nKERNEL={}\nIMAGE_ID={}\nLOCK_DIGEST={}\n",
        image.name, image.recipe, image.kernel, plan.image_id, plan.lock_digest
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImagePlan {
        serde_json::from_str(include_str!("../../tests/rootfs/plan.json")).unwrap()
    }

    #[test]
    fn newest_kernel_comes_first_by_version_and_not_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("boot")).unwrap();
        let versions = ["6.8.0-9-generic", "6.8.0-100-generic", "6.12~rc1-amd64", "6.12.48+deb13-amd64"];
        for version in versions {
            std::fs::write(folder.path().join(format!("boot/vmlinuz-{version}")), "").unwrap();
        }
        let found = kernels(&Root::open(folder.path()).unwrap()).unwrap();
        let found: Vec<&str> = found.iter().map(|kernel| kernel.version.as_str()).collect();
        assert_eq!(found, ["6.12.48+deb13-amd64", "6.12~rc1-amd64", "6.8.0-100-generic", "6.8.0-9-generic"]);
    }

    #[test]
    fn fstab_mounts_what_others_lie_on_first() {
        let mut disk = image().disk;
        let root = disk.volume_group.volumes[0].clone();
        let volume = |name: &str, mount: &str, filesystem| Volume {
            name: name.to_owned(),
            mount: mount.to_owned(),
            filesystem,
            ..root.clone()
        };
        disk.volume_group.volumes = vec![
            volume("swap", "none", Filesystem::Swap),
            volume("log-data", "/var/log", Filesystem::Ext4),
            volume("var", "/var", Filesystem::Ext4),
            root.clone(),
            volume("srv", "/srv", Filesystem::XfsAtFirstBoot),
        ];
        assert_eq!(
            fstab(&disk),
            "# <file system> <mount point> <type> <options> <dump> <pass>\n\
             /dev/mapper/vg0-root / ext4 defaults 0 1\n\
             /dev/mapper/vg0-srv /srv xfs defaults 0 0\n\
             /dev/mapper/vg0-var /var ext4 defaults 0 2\n\
             /dev/mapper/vg0-log--data /var/log ext4 defaults 0 2\n\
             /dev/mapper/vg0-swap none swap sw 0 0\n"
        );
    }

    #[test]
    fn menu_names_kernels_below_the_volume_that_holds_them() {
        let kernel = Kernel {
            version: "6.12.1-amd64".to_owned(),
            image: "boot/vmlinuz-6.12.1-amd64".to_owned(),
            initrd: "boot/initrd.img-6.12.1-amd64".to_owned(),
        };
        let text = menu(&image(), &[kernel]).unwrap();
        assert!(text.contains("set root=lvm/vg0-root\n"));
        assert!(text.contains(
            "\tlinux /boot/vmlinuz-6.12.1-amd64 root=/dev/mapper/vg0-root ro console=tty0 console=ttyS0,115200n8\n"
        ));
        assert!(text.contains("\tinitrd /boot/initrd.img-6.12.1-amd64\n"));
    }
}
