//! The machines of a lab: starting, ending, stopping them, and knowing how they are.

use super::call::{Call, Ended};
use super::console::Console;
use super::guest::{self, Guest};
use super::layout::{Card, Layout};
use super::line::SYSTEM;
use super::monitor::Monitor;
use super::network::Faults;
use super::order::Order;
use super::status::{NodeStatus, Power};
use super::{disk, run};
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::limits::LAB_MONITOR_TIME;
use crate::base::size::{Bytes, GIB};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A data disk whose size the document leaves open: sparse, so that it costs what is written.
const DATA_DISK: Bytes = Bytes(8 * GIB);

/// What all machines of a lab share.
pub(super) struct Common {
    pub(super) order: Order,
    pub(super) layout: Layout,
    /// The folder of sockets.
    pub(super) folder: PathBuf,
}

/// One machine.
pub(super) struct Machine {
    common: Arc<Common>,
    number: usize,
    console: Arc<Console>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    power: Power,
    monitor: Option<Monitor>,
    carrier: bool,
    clock: i64,
    faults: [Faults; 2],
    /// Machines that it is cut from, in words.
    cuts: BTreeSet<String>,
    /// Whether the lab answers in its place.
    replaced: bool,
}

impl Machine {
    /// A machine that is off, with its sockets.
    pub(super) fn new(common: &Arc<Common>, number: usize) -> Result<Arc<Self>> {
        let name = &common.order.cluster.nodes[number].name;
        let log = common.order.disks.join(format!("{name}.console"));
        let console = Console::start(&common.folder.join(guest::console_socket(number)), &log)?;
        let socket = common.folder.join(guest::monitor_socket(number));
        let listener =
            UnixListener::bind(&socket).with_context(|| format!("making the socket {}", socket.display()))?;
        let state = State {
            power: Power::Off,
            monitor: None,
            carrier: true,
            clock: common.order.nodes[number].clock,
            faults: [Faults::default(); 2],
            cuts: BTreeSet::new(),
            replaced: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let machine = Arc::new(Self { common: common.clone(), number, console, state, changed });
        let heard = machine.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                // A QEMU that cannot be talked to is noticed when it is to be told something.
                heard.lock().monitor = Monitor::greet(stream).ok();
                heard.changed.notify_all();
            }
        });
        Ok(machine)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &str {
        &self.common.order.cluster.nodes[self.number].name
    }

    pub(super) fn cards(&self) -> &[Card] {
        &self.common.layout.cards[self.number]
    }

    pub(super) fn console(&self) -> &Console {
        &self.console
    }

    /// Whether QEMU runs.
    pub(super) fn runs(&self) -> bool {
        matches!(self.lock().power, Power::On | Power::Frozen)
    }

    /// Starts it, its clock ahead by so many seconds when that is said.
    pub(super) fn start(self: &Arc<Self>, clock: Option<i64>) -> Result<()> {
        {
            let mut state = self.lock();
            if matches!(state.power, Power::On | Power::Frozen) {
                bail!("{} is on already", self.name());
            }
            if state.replaced {
                bail!("the lab itself stands in for {}", self.name());
            }
            state.clock = clock.unwrap_or(state.clock);
            (state.power, state.carrier, state.monitor) = (Power::On, true, None);
        }
        self.console.begin();
        let machine = self.clone();
        std::thread::spawn(move || {
            let ended = machine.run();
            let mut state = machine.lock();
            state.monitor = None;
            state.power = match ended {
                Ok(Ended::Exited(0, _)) => Power::Off,
                Ok(Ended::Exited(code, said)) if said.is_empty() => Power::Failed(format!("exit status {code}")),
                Ok(Ended::Exited(_, said)) => Power::Failed(said),
                Ok(Ended::Killed(said)) => Power::Failed(format!("QEMU was killed {said}")),
                Ok(Ended::TimedOut) => Power::Failed("QEMU took too long".to_owned()),
                Err(error) => Power::Failed(format!("{error:#}")),
            };
            drop(state);
            machine.changed.notify_all();
        });
        Ok(())
    }

    /// From now on the lab answers in its place: it must be off, and stays so.
    pub(super) fn replace(&self) -> Result<()> {
        let mut state = self.lock();
        if matches!(state.power, Power::On | Power::Frozen) {
            bail!("{} is on", self.name());
        }
        if state.replaced {
            bail!("the lab stands in for {} already", self.name());
        }
        state.replaced = true;
        Ok(())
    }

    /// Runs QEMU to its end.
    fn run(&self) -> Result<Ended> {
        let Common { order, folder, .. } = &*self.common;
        let (node, files_of) = (&order.cluster.nodes[self.number], &order.nodes[self.number]);
        let missing = |what: &str, remedy: String| hinted(format!("{} has no {what}", node.name), remedy);
        let image = files_of.image.as_deref();
        let image = image.ok_or_else(|| missing("image", format!("build it: `imgbuild role {}`", node.image)))?;
        let seed = files_of.seed.as_deref();
        let seed = seed.ok_or_else(|| missing("seed", format!("write it: `imgbuild seed {}`", order.cluster.name)))?;
        let own = self.files();
        files::create_dir_all(&own)?;
        let overlay = own.join("disk.qcow2");
        let size = node.size.disk.max(Bytes(disk::look(image)?.size));
        disk::prepare(&order.qemu, image, &overlay, Some(size))?;
        let mut data = Vec::new();
        for disk in &node.data_disks {
            let path = own.join(format!("data-{}.qcow2", disk.serial));
            disk::blank(&order.qemu, &path, disk.size.unwrap_or(DATA_DISK))?;
            data.push((disk.serial.clone(), path));
        }
        let seed = run::seed_file(seed, &own)?;
        let firmware = run::variables(order.firmware, &order.qemu, own.join("efivars"))?;
        let clock = self.lock().clock;
        let guest = Guest {
            number: self.number,
            folder,
            image,
            disk: &overlay,
            data: &data,
            seed: Some(&seed),
            firmware,
            cards: self.cards(),
            clock: (clock != 0).then(|| clock_text(clock)),
        };
        let mut call = Call::new(&order.qemu, SYSTEM);
        guest::build(&mut call, order, &guest)?;
        call.bound().captured()
    }

    /// The folder of its disks.
    fn files(&self) -> PathBuf {
        self.common.order.disks.join(self.name())
    }

    /// Tells QEMU something, and waits for it to be connected first if it has just been started.
    fn tell(&self, command: &str, arguments: &Value) -> Result<()> {
        let mut state = self.lock();
        let began = Instant::now();
        while state.monitor.is_none() {
            if !matches!(state.power, Power::On | Power::Frozen) {
                bail!("{} is off", self.name());
            }
            let left = LAB_MONITOR_TIME.saturating_sub(began.elapsed());
            if left.is_zero() {
                bail!("QEMU of {} does not answer", self.name());
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.monitor.as_mut().map_or(Ok(()), |monitor| monitor.call(command, arguments))
    }

    /// Pulls its plug: nothing of it is written any more, and nobody is told.
    pub(super) fn kill(&self) -> Result<()> {
        // QEMU may end before it answers.
        let told = self.tell("quit", &json!({}));
        if self.ended(LAB_MONITOR_TIME) {
            return Ok(());
        }
        told?;
        bail!("QEMU of {} does not end", self.name())
    }

    /// Waits for QEMU's end. Gives whether it came in time.
    pub(super) fn ended(&self, limit: Duration) -> bool {
        let began = Instant::now();
        let mut state = self.lock();
        while matches!(state.power, Power::On | Power::Frozen) {
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Presses its power button.
    pub(super) fn press(&self) -> Result<()> {
        self.tell("system_powerdown", &json!({}))
    }

    /// Stops its processors, or lets them go on.
    pub(super) fn freeze(&self, frozen: bool) -> Result<()> {
        self.tell(if frozen { "stop" } else { "cont" }, &json!({}))?;
        let mut state = self.lock();
        if matches!(state.power, Power::On | Power::Frozen) {
            state.power = if frozen { Power::Frozen } else { Power::On };
        }
        Ok(())
    }

    /// Takes the carrier off its cards, or gives it back.
    pub(super) fn carrier(&self, up: bool) -> Result<()> {
        for card in 0..self.cards().len() {
            self.tell("set_link", &json!({"name": guest::card_device(card), "up": up}))?;
        }
        self.lock().carrier = up;
        Ok(())
    }

    /// Throws its disk away, and its data disks when asked. It must be off.
    pub(super) fn wipe(&self, data: bool) -> Result<()> {
        let removed = |path: &Path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        };
        let own = self.files();
        removed(&own.join("disk.qcow2"))?;
        removed(&own.join("efivars"))?;
        for disk in self.common.order.cluster.nodes[self.number].data_disks.iter().filter(|_| data) {
            removed(&own.join(format!("data-{}.qcow2", disk.serial)))?;
        }
        Ok(())
    }

    /// Removes all that it has on this host but its console's text.
    pub(super) fn clear(&self) -> Result<()> {
        let own = self.files();
        match std::fs::remove_dir_all(&own) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", own.display()))
            }
            _ => Ok(()),
        }
    }

    /// Remembers what is wrong with its lines, for who asks.
    pub(super) fn note(&self, change: impl FnOnce(&mut [Faults; 2], &mut BTreeSet<String>)) {
        let State { faults, cuts, .. } = &mut *self.lock();
        change(faults, cuts);
    }

    /// Whether its cards have a carrier.
    pub(super) fn has_carrier(&self) -> bool {
        self.lock().carrier
    }

    /// How it is.
    pub(super) fn status(&self) -> NodeStatus {
        let view = self.console.view();
        let state = self.lock();
        let mut faults: Vec<String> = ["in", "out"]
            .iter()
            .zip(state.faults)
            .filter(|(_, faults)| !faults.none())
            .map(|(way, faults)| format!("{way}: {faults}"))
            .collect();
        faults.extend(state.cuts.iter().cloned());
        if !state.carrier {
            faults.push("no carrier".to_owned());
        }
        if state.replaced {
            faults.push("the lab stands in for it".to_owned());
        }
        if state.clock != 0 {
            faults.push(format!("clock {:+} s", state.clock));
        }
        let node = &self.common.order.cluster.nodes[self.number];
        NodeStatus {
            name: node.name.clone(),
            roles: node.roles.clone(),
            power: state.power.clone(),
            stage: view.stage,
            seconds: view.seconds,
            ready_after: view.ready_after,
            last: view.last,
            faults,
            log: self.common.order.disks.join(format!("{}.console", node.name)).to_string_lossy().into_owned(),
        }
    }
}

/// This host's time and so many seconds, as QEMU's clock is set.
fn clock_text(ahead: i64) -> String {
    let time = time::OffsetDateTime::now_utc().saturating_add(time::Duration::seconds(ahead));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_is_what_qemu_reads() {
        let text = clock_text(3600);
        assert_eq!(text.len(), "2026-11-20T17:00:00".len());
        assert_eq!((&text[4..5], &text[10..11], &text[13..14]), ("-", "T", ":"));
    }
}
