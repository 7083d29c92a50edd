//! QEMU's command line for a machine of a lab: cards on the switch, console and monitor at the lab's own sockets.

use super::call::Call;
use super::disk::{chain, escaped};
use super::firmware::Files;
use super::layout::{Card, Socket};
use super::line::board;
use super::order::Order;
use crate::base::size::MIB;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A machine's own files, and what it is plugged into.
pub(super) struct Guest<'a> {
    /// Its place in the plan.
    pub(super) number: usize,
    /// The folder of the lab's sockets.
    pub(super) folder: &'a Path,
    /// Its image.
    pub(super) image: &'a Path,
    /// Its disk, an overlay on the image.
    pub(super) disk: &'a Path,
    /// Its data disks, each with its serial number.
    pub(super) data: &'a [(String, PathBuf)],
    /// Its seed volume.
    pub(super) seed: Option<&'a Path>,
    /// OVMF's code, and the machine's own copy of the variables.
    pub(super) firmware: Option<Files>,
    /// Its cards.
    pub(super) cards: &'a [Card],
    /// What its clock says at the start, when that is not this host's time.
    pub(super) clock: Option<String>,
}

/// Name of a card's socket.
pub(super) fn card_socket(node: usize, card: usize) -> String {
    format!("{node}.{card}")
}

/// Name of a console's socket.
pub(super) fn console_socket(node: usize) -> String {
    format!("{node}.con")
}

/// Name of a monitor's socket.
pub(super) fn monitor_socket(node: usize) -> String {
    format!("{node}.mon")
}

/// The device of a card, as the monitor names it.
pub(super) fn card_device(card: usize) -> String {
    format!("card{card}")
}

/// Adds the whole command line to a call.
pub(super) fn build(call: &mut Call, order: &Order, guest: &Guest) -> Result<()> {
    let node = &order.cluster.nodes[guest.number];
    call.args(["-no-user-config", "-nodefaults", "-display", "none", "-vga", "std"]);
    call.args(["-name".to_owned(), node.name.clone()]);
    // Emulated processors take turns on this host's: more of them make a machine slower, not faster.
    let processors = if order.kvm { node.size.processors } else { 1 };
    call.args(["-smp".to_owned(), processors.to_string()]);
    call.args(["-m".to_owned(), format!("{}M", node.size.memory.0 / MIB)]);
    if order.kvm {
        call.device("/dev/kvm");
        call.args(["-accel", "kvm", "-cpu", "host"]);
    } else {
        call.args(["-accel", "tcg,thread=multi", "-cpu", "max"]);
    }
    if let Some(clock) = &guest.clock {
        call.args(["-rtc".to_owned(), format!("base={clock}")]);
    }
    board(call, order.firmware, guest.firmware.as_ref())?;
    call.args(["-device", "virtio-rng-pci", "-device", "pvpanic", "-action", "panic=exit-failure"]);
    let folder = escaped(&call.writes(guest.folder)?);
    call.args(["-chardev".to_owned(), format!("socket,id=console,path={folder}/{}", console_socket(guest.number))]);
    call.args(["-serial", "chardev:console"]);
    call.args(["-chardev".to_owned(), format!("socket,id=monitor,path={folder}/{}", monitor_socket(guest.number))]);
    call.args(["-mon", "chardev=monitor,mode=control"]);
    let disk = chain(call, guest.image, guest.disk)?;
    call.args(["-blockdev".to_owned(), format!("node-name=disk,discard=unmap,cache.no-flush=on,{disk}")]);
    call.args(["-device", "virtio-blk-pci,drive=disk,bootindex=0"]);
    if let Some(seed) = guest.seed {
        let file = escaped(&call.reads(seed)?);
        let options = format!("node-name=seed,read-only=on,driver=raw,file.driver=file,file.filename={file}");
        call.args(["-blockdev".to_owned(), options]);
        call.args(["-device", "virtio-blk-pci,drive=seed"]);
    }
    for (number, (serial, path)) in guest.data.iter().enumerate() {
        let (file, serial) = (escaped(&call.writes(path)?), escaped(serial));
        let options =
            format!("node-name=data{number},discard=unmap,driver=qcow2,file.driver=file,file.filename={file}");
        call.args(["-blockdev".to_owned(), options]);
        call.args(["-device".to_owned(), format!("virtio-blk-pci,drive=data{number},serial={serial}")]);
    }
    for (number, card) in guest.cards.iter().enumerate() {
        let socket = card_socket(guest.number, number);
        let network = match card.socket {
            Socket::Segment(_) => {
                format!("stream,id=net{number},server=off,addr.type=unix,addr.path={folder}/{socket},reconnect-ms=500")
            }
            Socket::Uplink => {
                call.network();
                format!("user,id=net{number}")
            }
        };
        call.args(["-netdev".to_owned(), network]);
        // Without its boot ROM no machine tries the network before its disk.
        let device = card_device(number);
        let device = format!("virtio-net-pci,id={device},netdev=net{number},romfile=,mac={}", card.address);
        call.args(["-device".to_owned(), device]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::firmware::Firmware;
    use crate::lab::Qemu;
    use crate::lab::layout::Layout;
    use crate::lab::line::SYSTEM;
    use crate::lab::order::tests::order;

    fn text(name: &str, number: usize, change: impl FnOnce(&mut Order)) -> String {
        let work = tempfile::tempdir().unwrap();
        let folder = work.path().canonicalize().unwrap();
        let file = |name: &str, bytes: &[u8]| -> PathBuf {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut order = order(name, &folder);
        change(&mut order);
        let (image, disk, seed) = (file("image.raw", &[0; 1024]), file("disk.qcow2", b""), file("seed.iso", b""));
        let (code, variables) = (file("code", b"c"), file("variables", b"v"));
        let firmware = (order.firmware != Firmware::Bios).then_some(Files { code, variables });
        let disks = &order.cluster.nodes[number].data_disks;
        let data: Vec<_> = disks.iter().map(|disk| (disk.serial.clone(), file(&disk.serial, b""))).collect();
        let guest = Guest {
            number,
            folder: &folder,
            image: &image,
            disk: &disk,
            data: &data,
            seed: Some(&seed),
            firmware,
            cards: &Layout::of(&order.cluster, order.closed).cards[number],
            clock: (number > 0).then(|| "2026-11-20T17:00:00".to_owned()),
        };
        let mut call = Call::new(&order.qemu, SYSTEM);
        build(&mut call, &order, &guest).unwrap();
        call.text().replace(folder.to_str().unwrap(), "/work").replace(" -", "\n-")
    }

    #[test]
    fn line_for_a_gateway_in_a_tools_root_is_this() {
        insta::assert_snapshot!(text("balancers", 0, |_| ()));
    }

    #[test]
    fn line_for_a_master_with_a_data_disk_on_the_hosts_qemu_is_this() {
        insta::assert_snapshot!(text("six-nodes", 1, |order| {
            order.qemu = Qemu::Host { version: 10 };
            order.firmware = Firmware::Secure;
            order.kvm = true;
        }));
    }
}
