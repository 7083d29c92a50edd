//! Block devices as sysfs and mountinfo show them. Every path hangs below a root, so that tests can give their own.

use std::fs;
use std::path::{Path, PathBuf};

const SECTOR: u64 = 512;

/// Where the kernel's views and the device nodes are.
#[derive(Clone, Debug)]
pub(crate) struct Devices {
    root: PathBuf,
}

/// A partition on its disk; lengths in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The disk's kernel name, such as `vda`.
    pub disk: String,
    /// Its number.
    pub number: u64,
    /// Where it ends.
    pub end: u64,
    /// How long the disk is.
    pub disk_size: u64,
    /// Whether no other partition lies behind it.
    pub last: bool,
}

impl Devices {
    /// The running machine's.
    pub(crate) fn new() -> Self {
        Self::below(Path::new("/"))
    }

    /// Those of another root.
    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The device node of a kernel name.
    pub(crate) fn node(&self, name: &str) -> PathBuf {
        self.root.join("dev").join(name)
    }

    /// Kernel names of all disks and partitions, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>, String> {
        let folder = self.root.join("sys/class/block");
        let failed = |error: std::io::Error| format!("listing {}: {error}", folder.display());
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(failed)? {
            names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Bytes of a disk or partition.
    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.number(name, "size")?.checked_mul(SECTOR)
    }

    /// The partition of that kernel name; none for whole disks and the like.
    pub(crate) fn partition(&self, name: &str) -> Option<Partition> {
        let number = self.number(name, "partition")?;
        let end = |name: &str| self.number(name, "start")?.checked_add(self.number(name, "size")?)?.checked_mul(SECTOR);
        let link = fs::canonicalize(self.class(name)).ok()?;
        let disk = link.parent()?.file_name()?.to_string_lossy().into_owned();
        let own = end(name)?;
        let mut last = true;
        for entry in fs::read_dir(link.parent()?).ok()?.flatten() {
            let other = entry.file_name().to_string_lossy().into_owned();
            if entry.path().join("partition").exists() && end(&other).is_some_and(|end| end > own) {
                last = false;
            }
        }
        Some(Partition { disk_size: self.size(&disk)?, disk, number, end: own, last })
    }

    /// The kernel name of a logical volume (`dm-3`), when it is active.
    pub(crate) fn logical(&self, group: &str, volume: &str) -> Option<String> {
        let wanted = mapper_name(group, volume);
        let names = self.names().ok()?;
        names.into_iter().filter(|name| name.starts_with("dm-")).find(|name| {
            fs::read_to_string(self.class(name).join("dm/name")).is_ok_and(|found| found.trim_end() == wanted)
        })
    }

    /// Where a device is mounted for writing.
    pub(crate) fn mounted_at(&self, name: &str) -> Option<String> {
        let device = fs::read_to_string(self.class(name).join("dev")).ok()?;
        let table = fs::read_to_string(self.root.join("proc/self/mountinfo")).ok()?;
        writable_mount(&table, device.trim_end())
    }

    fn class(&self, name: &str) -> PathBuf {
        self.root.join("sys/class/block").join(name)
    }

    fn number(&self, name: &str, file: &str) -> Option<u64> {
        fs::read_to_string(self.class(name).join(file)).ok()?.trim_end().parse().ok()
    }
}

/// The device-mapper name of a logical volume: LVM doubles the dashes within names.
pub(crate) fn mapper_name(group: &str, volume: &str) -> String {
    format!("{}-{}", group.replace('-', "--"), volume.replace('-', "--"))
}

/// The first mount point of device `major:minor` whose filesystem is writable.
fn writable_mount(table: &str, device: &str) -> Option<String> {
    table.lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (number, _root, point) = (fields.next()?, fields.next()?, fields.next()?);
        let writable = filesystem.split(' ').nth(2)?.split(',').any(|option| option == "rw");
        (number == device && writable).then(|| unescape(point))
    })
}

/// The kernel writes blanks, tabs, newlines and backslashes as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_dashes_are_doubled_as_lvm_does() {
        assert_eq!(mapper_name("vg0", "root"), "vg0-root");
        assert_eq!(mapper_name("my-vg", "a-b"), "my--vg-a--b");
    }

    #[test]
    fn mounts_are_found_by_number_and_only_when_writable() {
        let table = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/mapper/vg0-root rw,errors=x\n\
                     30 22 254:1 / /srv/my\\040data ro,nosuid shared:2 - xfs /dev/mapper/vg0-data rw\n\
                     31 22 254:2 / /ro ro - ext4 /dev/mapper/vg0-ro ro\n";
        assert_eq!(writable_mount(table, "254:0").as_deref(), Some("/"));
        assert_eq!(writable_mount(table, "254:1").as_deref(), Some("/srv/my data"));
        assert_eq!(writable_mount(table, "254:2"), None);
        assert_eq!(writable_mount(table, "254:9"), None);
    }
}
