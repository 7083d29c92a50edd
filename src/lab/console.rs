//! A machine's console: kept in a file, read for its stages, passed on to whoever is attached.

use super::stage::{Reader, Stage};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Those who are attached at once, at most.
const ATTACHED: usize = 8;

/// The console of one machine, through all of its starts.
pub(super) struct Console {
    inner: Mutex<Inner>,
}

struct Inner {
    reader: Reader,
    /// Since when it is in its stage, and since when it runs.
    since: Instant,
    began: Instant,
    ready: Option<Instant>,
    log: File,
    machine: Option<UnixStream>,
    attached: Vec<UnixStream>,
}

/// What a console shows of its machine.
pub(super) struct View {
    pub(super) stage: Stage,
    pub(super) seconds: u64,
    pub(super) ready_after: Option<u64>,
    pub(super) last: String,
}

impl Console {
    /// Listens at a socket for the machine, and keeps what it says in a file.
    pub(super) fn start(socket: &Path, log: &Path) -> Result<Arc<Self>> {
        let making = || format!("making the socket {}", socket.display());
        let listener = UnixListener::bind(socket).with_context(making)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("opening {}", log.display()))?;
        let now = Instant::now();
        let inner = Inner {
            reader: Reader::new(),
            since: now,
            began: now,
            ready: None,
            log,
            machine: None,
            attached: Vec::new(),
        };
        let console = Arc::new(Self { inner: Mutex::new(inner) });
        let heard = console.clone();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                heard.hear(stream);
            }
        });
        Ok(console)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine starts anew.
    pub(super) fn begin(&self) {
        let mut inner = self.lock();
        let now = Instant::now();
        (inner.reader, inner.since, inner.began, inner.ready) = (Reader::new(), now, now, None);
    }

    fn hear(&self, mut stream: UnixStream) {
        self.lock().machine = stream.try_clone().ok();
        let mut buffer = [0; 16 << 10];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.lock().take(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.lock().machine = None;
    }

    /// What it shows.
    pub(super) fn view(&self) -> View {
        let inner = self.lock();
        View {
            stage: inner.reader.stage(),
            seconds: inner.since.elapsed().as_secs(),
            ready_after: inner.ready.map(|ready| ready.duration_since(inner.began).as_secs()),
            last: inner.reader.last().to_owned(),
        }
    }

    /// Passes on what the machine says from now on, and what the other end types, until it hangs up.
    pub(super) fn attach(&self, mut stream: UnixStream) -> Result<()> {
        let shown = stream.try_clone().context("attaching to a console")?;
        // A reader that stands still must not hold up the machine: it misses something instead.
        shown.set_write_timeout(Some(std::time::Duration::from_millis(200))).context("attaching to a console")?;
        {
            let mut inner = self.lock();
            if inner.attached.len() >= ATTACHED {
                inner.attached.remove(0);
            }
            inner.attached.push(shown);
        }
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let machine = self.lock().machine.as_ref().and_then(|machine| machine.try_clone().ok());
                    // A machine that is off hears nothing.
                    let _ = machine.map(|mut machine| machine.write_all(&buffer[..length]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading what is typed"),
            }
        }
    }
}

impl Inner {
    fn take(&mut self, bytes: &[u8]) {
        // A full disk must not end the machine.
        let _ = self.log.write_all(bytes);
        if self.reader.hear(bytes) {
            self.since = Instant::now();
            if self.reader.stage() == Stage::Ready {
                self.ready.get_or_insert(self.since);
            }
        }
        self.attached.retain_mut(|stream| match stream.write_all(bytes) {
            Ok(()) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn console_is_kept_read_and_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, log) = (folder.path().join("c"), folder.path().join("log"));
        let console = Console::start(&socket, &log).unwrap();
        let mut machine = UnixStream::connect(&socket).unwrap();
        let (mut person, theirs) = UnixStream::pair().unwrap();
        let attached = console.clone();
        let thread = std::thread::spawn(move || attached.attach(theirs));
        while console.lock().attached.is_empty() || console.lock().machine.is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        machine.write_all(b"imgbuild-node: [ready] haproxy\r\n").unwrap();
        let mut shown = [0; 14];
        person.read_exact(&mut shown).unwrap();
        assert_eq!(&shown, b"imgbuild-node:");
        assert_eq!(
            (console.view().stage, console.view().last.as_str()),
            (Stage::Ready, "imgbuild-node: [ready] haproxy")
        );
        assert!(console.view().ready_after.is_some());
        person.write_all(b"root\n").unwrap();
        let mut typed = [0; 5];
        machine.read_exact(&mut typed).unwrap();
        assert_eq!(&typed, b"root\n");
        person.shutdown(std::net::Shutdown::Both).unwrap();
        thread.join().unwrap().unwrap();
        assert!(std::fs::read_to_string(log).unwrap().starts_with("imgbuild-node"));
        console.begin();
        assert_eq!(console.view().stage, Stage::Firmware);
    }
}
