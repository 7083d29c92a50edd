//! Places partitions and volumes, to the byte.
//!
//! ```text
//! LBA 0      2048      4096              4096 + ESP                             end - 33
//! | GPT ... | BIOS boot | ESP            | LVM: 1 MiB metadata, extents of 4 MiB | GPT |
//! ```
//!
//! Machines that know UEFI only (arm64) have no BIOS boot partition; the others stay where they are.

use super::{Disk, Filesystem, Partition, PartitionRole, Volume, VolumeGroup};
use crate::base::ids::{LvmId, Uuid};
use crate::base::size::{Bytes, EXTENT, Extents, MIB, SECTOR, Sectors};
use crate::input::{self, DiskEntry, Fault, Located, Place, Recipe, Role, VolumeEntry};

/// Sectors per MiB, to which partitions are aligned.
const ALIGNMENT: u64 = MIB / SECTOR;
/// First sector of the BIOS boot partition; facts proven by booting.
const BIOS_FIRST: u64 = 2048;
/// First sector of the ESP.
const ESP_FIRST: u64 = 4096;
/// Sectors that GPT's second table and header take at the disk's end.
const GPT_BACKUP: u64 = 33;
/// LVM's label and metadata before the first extent.
const PE_START: u64 = MIB;
/// ext4's limit of a label, in bytes.
const LABEL: usize = 16;
/// systemd waits for the unit that formats and mounts later; the boot goes on without it.
const FIRST_BOOT_OPTIONS: &str = "nofail,x-systemd.after=imgbuild-grow.service";

/// A volume with recipe's and roles' wishes combined.
struct Wish {
    place: Place,
    name: String,
    size: Located<Bytes>,
    weight: u32,
    maximum: Option<Bytes>,
    filesystem: input::Filesystem,
    filesystem_place: Place,
    mount: Located<String>,
    options: Option<String>,
}

/// Places everything; what does not fit is told.
pub(super) fn disk(name: &str, recipe: &Recipe, roles: &[Role], faults: &mut Vec<Fault>) -> Disk {
    let least = roles.iter().filter_map(|role| role.minimum_size.as_ref()).map(|size| size.value).max();
    let size = least.map_or(recipe.disk.size.value, |least| least.max(recipe.disk.size.value));
    let namespace = format!("{}/{name}", recipe.name);
    let esp = Sectors(recipe.disk.esp.0 / SECTOR);
    let lvm_first = ESP_FIRST + esp.0;
    let end = (size.0 / SECTOR - GPT_BACKUP) / ALIGNMENT * ALIGNMENT;
    let lvm = Sectors(end.saturating_sub(lvm_first));
    let partition = |number: u32, name: &str, role, first: u64, length: Sectors| {
        let guid = Uuid::derive(&namespace, &format!("partition/{number}"));
        Partition { number, name: name.to_owned(), role, guid, first: Sectors(first), length }
    };
    let mut places = vec![("esp", PartitionRole::Esp, ESP_FIRST, esp), ("lvm", PartitionRole::Lvm, lvm_first, lvm)];
    if recipe.architecture == "amd64" {
        places.insert(0, ("bios", PartitionRole::BiosBoot, BIOS_FIRST, Sectors(ESP_FIRST - BIOS_FIRST)));
    }
    let numbered = (1..).zip(places);
    let partitions = numbered.map(|(number, place)| partition(number, place.0, place.1, place.2, place.3)).collect();
    let extents = Extents(lvm.bytes().0.saturating_sub(PE_START) / EXTENT);
    let wishes = wishes(recipe, roles, faults);
    together(&wishes, recipe.disk.place, faults);
    let volumes = place(&namespace, wishes, extents, size, &recipe.disk, faults);
    let volume_group = VolumeGroup {
        name: recipe.disk.volume_group.clone(),
        id: LvmId::derive(&namespace, "group"),
        pv_id: LvmId::derive(&namespace, "physical"),
        extents,
        volumes,
        reserve: recipe.disk.reserve,
    };
    Disk { size, guid: Uuid::derive(&namespace, "disk"), partitions, volume_group }
}

/// Volumes one after the other, the root volume first.
fn place(
    namespace: &str,
    mut wishes: Vec<Wish>,
    extents: Extents,
    size: Bytes,
    disk: &DiskEntry,
    faults: &mut Vec<Fault>,
) -> Vec<Volume> {
    wishes.sort_by_key(|wish| wish.mount.value != "/");
    let (mut start, mut placed) = (0_u64, Vec::new());
    for wish in wishes {
        let wanted = wish.size.value.extents_up();
        let free = extents.0.saturating_sub(start);
        if wanted.0 > free {
            let message = format!(
                "the volume `{}` takes {}, but of the disk of {size} only {} are left for it",
                wish.name,
                wanted.bytes(),
                Extents(free).bytes()
            );
            let fault = Fault::new(wish.size.place, message).or(disk.size.place);
            faults.push(fault.hint("make the disk larger (`disk.size`, a role's `minimum_size`), or volumes smaller"));
            continue;
        }
        placed.push(volume(namespace, &wish, Extents(start)));
        start += wanted.0;
    }
    placed
}

fn volume(namespace: &str, wish: &Wish, start: Extents) -> Volume {
    let filesystem = match wish.filesystem {
        input::Filesystem::Ext4 => Filesystem::Ext4,
        input::Filesystem::Swap => Filesystem::Swap,
        input::Filesystem::Ext4AtFirstBoot => Filesystem::Ext4AtFirstBoot,
        input::Filesystem::XfsAtFirstBoot => Filesystem::XfsAtFirstBoot,
    };
    let late = matches!(filesystem, Filesystem::Ext4AtFirstBoot | Filesystem::XfsAtFirstBoot);
    let given = wish.options.as_deref();
    let options = match (late, given) {
        (false, given) => given.unwrap_or("defaults").to_owned(),
        (true, None) => FIRST_BOOT_OPTIONS.to_owned(),
        (true, Some(given)) => format!("{given},{FIRST_BOOT_OPTIONS}"),
    };
    let key = format!("volume/{}", wish.name);
    Volume {
        name: wish.name.clone(),
        id: LvmId::derive(namespace, &key),
        start,
        extents: wish.size.value.extents_up(),
        filesystem,
        mount: wish.mount.value.clone(),
        options,
        uuid: Uuid::derive(namespace, &key),
        label: wish.name.chars().take(LABEL).collect(),
        weight: wish.weight,
        maximum: wish.maximum,
    }
}

/// The recipe's volumes, changed and extended by the roles.
fn wishes(recipe: &Recipe, roles: &[Role], faults: &mut Vec<Fault>) -> Vec<Wish> {
    let mut wishes: Vec<Wish> = recipe.disk.volumes.iter().filter_map(|entry| new(entry, faults)).collect();
    let mut changed: Vec<(String, String)> = Vec::new();
    for role in roles {
        for entry in &role.volumes {
            match wishes.iter_mut().find(|wish| wish.name == entry.name.value) {
                Some(wish) => {
                    if let Some((_, other)) = changed.iter().find(|(name, _)| *name == wish.name) {
                        both(entry, wish, &role.name, other, faults);
                    }
                    let first = !changed.iter().any(|(name, _)| *name == wish.name);
                    change(wish, entry, first);
                }
                None => wishes.extend(new(entry, faults)),
            }
            changed.push((entry.name.value.clone(), role.name.clone()));
        }
    }
    wishes
}

/// Two roles may want more room of a volume; they may not want it to be different things.
fn both(entry: &VolumeEntry, wish: &Wish, role: &str, other: &str, faults: &mut Vec<Fault>) {
    let mount = entry.mount.as_ref().is_some_and(|mount| mount.value != wish.mount.value);
    let filesystem = entry.filesystem.as_ref().is_some_and(|filesystem| filesystem.value != wish.filesystem);
    let options = entry.options.is_some() && entry.options != wish.options;
    if mount || filesystem || options {
        let what = if mount {
            "another mount point"
        } else if filesystem {
            "another filesystem"
        } else {
            "other mount options"
        };
        let message = format!("the roles `{other}` and `{role}` give the volume `{}` {what}", wish.name);
        faults.push(Fault::new(entry.place, message).hint("give the volume another name in one of the roles"));
    }
}

/// The first role that names a volume decides its size, further ones can only make it larger.
fn change(wish: &mut Wish, entry: &VolumeEntry, first: bool) {
    if let Some(size) = &entry.size
        && (first || size.value > wish.size.value)
    {
        wish.size = size.clone();
    }
    if let Some(maximum) = &entry.maximum {
        let earlier = wish.maximum.filter(|_| !first);
        wish.maximum = Some(earlier.map_or(maximum.value, |earlier| earlier.max(maximum.value)));
    }
    if let Some(weight) = entry.weight {
        wish.weight = weight;
    }
    if let Some(filesystem) = &entry.filesystem {
        wish.filesystem = filesystem.value;
        wish.filesystem_place = filesystem.place;
    }
    if let Some(mount) = &entry.mount {
        wish.mount = mount.clone();
    }
    if entry.options.is_some() {
        wish.options.clone_from(&entry.options);
    }
}

fn new(entry: &VolumeEntry, faults: &mut Vec<Fault>) -> Option<Wish> {
    let name = &entry.name.value;
    let (Some(size), Some(filesystem)) = (&entry.size, &entry.filesystem) else {
        let key = if entry.size.is_none() { "size" } else { "filesystem" };
        let message = format!("the volume `{name}` is not one of the recipe's, so it needs the key `{key}`");
        let hint = "a volume of one's own needs `size`, `filesystem` and `mount`";
        faults.push(Fault::new(entry.place, message).hint(hint));
        return None;
    };
    let swap = filesystem.value == input::Filesystem::Swap;
    let mount = match &entry.mount {
        Some(mount) => mount.clone(),
        None if swap => Located { place: entry.place, value: "none".to_owned() },
        None => {
            let fault = Fault::new(entry.place, format!("the volume `{name}` has no mount point"));
            faults.push(fault.hint("add `mount: /path`"));
            return None;
        }
    };
    Some(Wish {
        place: entry.place,
        name: name.clone(),
        size: size.clone(),
        weight: entry.weight.unwrap_or(0),
        maximum: entry.maximum.as_ref().map(|maximum| maximum.value),
        filesystem: filesystem.value,
        filesystem_place: filesystem.place,
        mount,
        options: entry.options.clone(),
    })
}

/// Rules that concern volumes together.
fn together(wishes: &[Wish], disk: Place, faults: &mut Vec<Fault>) {
    for (at, wish) in wishes.iter().enumerate() {
        let swap = wish.filesystem == input::Filesystem::Swap;
        if swap != (wish.mount.value == "none") {
            let message = if swap {
                format!("the volume `{}` is swap and cannot be mounted on {}", wish.name, wish.mount.value)
            } else {
                format!("the volume `{}` has a filesystem, so `none` is no mount point for it", wish.name)
            };
            let hint = if swap { "leave `mount` out" } else { "write the path of a folder" };
            faults.push(Fault::new(wish.mount.place, message).hint(hint));
        }
        let earlier = wishes[..at].iter().find(|other| other.mount.value == wish.mount.value && !swap);
        if let Some(other) = earlier {
            let message = format!("{} is the mount point of `{}` already", wish.mount.value, other.name);
            let fault = Fault::new(wish.mount.place, message).or(other.mount.place);
            faults.push(fault.hint("a folder can hold one volume"));
        }
        let needed = matches!(wish.mount.value.as_str(), "/" | "/var" | "/home");
        let late = matches!(wish.filesystem, input::Filesystem::Ext4AtFirstBoot | input::Filesystem::XfsAtFirstBoot);
        if needed && late {
            let message = format!("the image fills {}, so it cannot be formatted at first boot", wish.mount.value);
            let fault = Fault::new(wish.place, message).or(wish.filesystem_place).or(wish.mount.place);
            faults.push(fault.hint("use the filesystem `ext4` for it"));
        }
        if wish.maximum.is_some_and(|maximum| maximum < wish.size.value) {
            let maximum = wish.maximum.unwrap_or_default();
            let message = format!("the maximum of {maximum} is smaller than the size of {}", wish.size.value);
            let fault = Fault::new(wish.place, message).or(wish.size.place);
            faults.push(fault.hint("raise the maximum, or leave it out"));
        }
        let smallest = match wish.filesystem {
            input::Filesystem::XfsAtFirstBoot => Bytes(300 * MIB),
            input::Filesystem::Swap => Bytes(EXTENT),
            _ => Bytes(8 * MIB),
        };
        if wish.size.value < smallest {
            let message =
                format!("the volume `{}` has {}; its filesystem needs {smallest}", wish.name, wish.size.value);
            let hint = format!("give it at least {smallest}");
            faults.push(Fault::new(wish.size.place, message).hint(hint));
        }
    }
    if !wishes.iter().any(|wish| wish.mount.value == "/") {
        faults.push(
            Fault::new(disk, "no volume is mounted on `/`")
                .hint("add one: `root: {size: 2 GiB, filesystem: ext4, mount: /}`"),
        );
    }
}
