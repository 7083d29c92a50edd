//! What a person can ask of a running lab.

use super::control::{Answer, Lab, Name, REFUSES, Request, SILENT, Target, line};
use super::network::{Faults, Lease, Way};
use super::run::Terminal;
use super::status::Status;
use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions};
use std::io::{BufReader, IsTerminal as _, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Ctrl-], as in telnet: leaves a console.
const LEAVE: u8 = 0x1d;

/// The beginning of a TLS 1.2 connection: every TLS server answers it, if only with an alert.
pub(super) const HELLO: [u8; 52] = [
    0x16, 0x03, 0x01, 0x00, 0x2f, // a handshake record of 47 bytes
    0x01, 0x00, 0x00, 0x2b, 0x03, 0x03, // a ClientHello of 43 bytes, TLS 1.2
    0x69, 0x6d, 0x67, 0x62, 0x75, 0x69, 0x6c, 0x64, 0x69, 0x6d, 0x67, 0x62, 0x75, 0x69, 0x6c,
    0x64, // 32 bytes that
    0x69, 0x6d, 0x67, 0x62, 0x75, 0x69, 0x6c, 0x64, 0x69, 0x6d, 0x67, 0x62, 0x75, 0x69, 0x6c,
    0x64, // are not random
    0x00, // no session
    0x00, 0x04, 0xc0, 0x2f, 0xc0, 0x2b, // two cipher suites
    0x01, 0x00, // no compression
];

/// A direction, as a machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What comes to it.
    In,
    /// What it sends.
    Out,
}

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reached {
    /// It came about; what was said before the other side ended it or time was up.
    Told(String),
    /// It was refused.
    Refused,
    /// Nobody answered.
    Silent,
}

/// What makes a line worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Everything arrives so many milliseconds later.
    pub delay: u32,
    /// So many of a thousand frames are lost.
    pub loss: u16,
}

fn way(direction: Direction) -> Way {
    match direction {
        Direction::In => Way::In,
        Direction::Out => Way::Out,
    }
}

/// Every function asks the lab; it fails when the lab does not run, or refuses.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Lab {
    /// How everything is; with `owners`, also who has the floating addresses, which takes a second.
    pub fn status(&self, owners: bool) -> Result<Status> {
        match self.ask(&Request::Status { owners })? {
            Answer::Status { status } => Ok(status),
            other => bail!("the lab gave an answer to another question: {other:?}"),
        }
    }

    /// Starts a machine that is off.
    pub fn start(&self, node: &str, clock: Option<i64>) -> Result<()> {
        self.must(&Request::Start { node: node.to_owned(), clock })
    }

    /// Pulls a machine's plug, or presses its power button.
    pub fn kill(&self, node: &str, button: bool) -> Result<()> {
        self.must(&Request::Kill { node: node.to_owned(), button })
    }

    /// Gives a machine a fresh disk, and starts it again if it ran.
    pub fn wipe(&self, node: &str, data: bool) -> Result<()> {
        self.must(&Request::Wipe { node: node.to_owned(), data })
    }

    /// Cuts a machine off from everything or from another one.
    pub fn cut(&self, node: &str, other: Option<&str>, direction: Option<Direction>) -> Result<()> {
        let (node, other) = (node.to_owned(), other.map(str::to_owned));
        self.must(&Request::Cut { node, other, way: direction.map(way) })
    }

    /// Takes the carrier off a machine's cards, or gives it back.
    pub fn carrier(&self, node: &str, up: bool) -> Result<()> {
        self.must(&Request::Carrier { node: node.to_owned(), up })
    }

    /// Makes a machine's lines late or lossy.
    pub fn worsen(&self, node: &str, direction: Option<Direction>, damage: Damage) -> Result<()> {
        let faults = Faults { cut: false, delay: damage.delay, loss: damage.loss };
        self.must(&Request::Worsen { node: node.to_owned(), way: direction.map(way), faults })
    }

    /// Mends all lines.
    pub fn heal(&self) -> Result<()> {
        self.must(&Request::Heal)
    }

    /// Stops a machine's processors, or lets them go on.
    pub fn freeze(&self, node: &str, frozen: bool) -> Result<()> {
        self.must(&Request::Freeze { node: node.to_owned(), frozen })
    }

    /// Who answers for an address.
    pub fn owners(&self, address: Ipv4Addr) -> Result<Vec<String>> {
        match self.ask(&Request::Owners { address })? {
            Answer::Owners { owners } => Ok(owners),
            other => bail!("the lab gave an answer to another question: {other:?}"),
        }
    }

    /// Lets the lab itself answer at a port of a machine that is off, for as long as it runs.
    pub fn stand_in(&self, node: &str, port: u16) -> Result<()> {
        self.must(&Request::StandIn { node: node.to_owned(), port })
    }

    /// Plugs a station of the lab's own into a network, and gives its number with what it has or was lent.
    pub(super) fn visit(
        &self,
        network: &str,
        card: Option<[u8; 6]>,
        borrows: bool,
        stubborn: bool,
    ) -> Result<(usize, Lease)> {
        match self.ask(&Request::Visit { network: network.to_owned(), card, borrows, stubborn })? {
            Answer::Visitor { visitor, lease } => Ok((visitor, lease)),
            other => bail!("the lab gave an answer to another question: {other:?}"),
        }
    }

    /// Unplugs such a station.
    pub(super) fn leave(&self, visitor: usize) -> Result<()> {
        self.must(&Request::Leave { visitor })
    }

    /// What a server tells such a station; nothing when it does not answer.
    pub(super) fn resolve(&self, visitor: usize, server: Ipv4Addr, name: Name) -> Result<Option<Vec<String>>> {
        match self.ask(&Request::Resolve { visitor, server, name })? {
            Answer::Names { names } => Ok(names),
            other => bail!("the lab gave an answer to another question: {other:?}"),
        }
    }

    /// Tries a port of an address, from the lab's station in its network or from a visitor. Nothing is said there.
    pub(super) fn reach_port(
        &self,
        from: Option<usize>,
        address: Ipv4Addr,
        port: u16,
        limit: Duration,
    ) -> Result<Reached> {
        let mut stream = match self.begin(&Request::Connect { to: Target::Address(address), port, from }) {
            Ok((_, stream)) => stream,
            Err(error) if error.to_string() == REFUSES => return Ok(Reached::Refused),
            Err(error) if error.to_string() == SILENT => return Ok(Reached::Silent),
            Err(error) => return Err(error),
        };
        stream.get_ref().set_read_timeout(Some(limit)).context("preparing a probe")?;
        let mut told = Vec::new();
        // Whoever says nothing was reached all the same.
        let _ = (&mut stream).take(1024).read_to_end(&mut told);
        Ok(Reached::Told(String::from_utf8_lossy(&told).into_owned()))
    }

    /// Whether something behind an address answers the beginning of TLS within this time.
    #[must_use]
    pub fn answers(&self, address: Ipv4Addr, port: u16, limit: Duration) -> bool {
        self.answers_from(None, address, port, limit)
    }

    /// The same, as a visitor sees it.
    pub(super) fn answers_from(&self, from: Option<usize>, address: Ipv4Addr, port: u16, limit: Duration) -> bool {
        let asked = || -> Result<bool> {
            let mut stream = self.reach()?;
            stream.set_read_timeout(Some(limit)).context("preparing a probe")?;
            let mut request = serde_json::to_vec(&Request::Connect { to: Target::Address(address), port, from })?;
            request.push(b'\n');
            stream.write_all(&request).context("asking the lab")?;
            let mut reader = BufReader::new(&stream);
            let line = line(&mut reader)?.context("the lab ended")?;
            if serde_json::from_slice::<Answer>(&line)? != Answer::Done {
                return Ok(false);
            }
            (&stream).write_all(&HELLO).context("probing")?;
            Ok(matches!(reader.read(&mut [0; 1]), Ok(1)))
        };
        asked().unwrap_or(false)
    }

    /// Ends the lab.
    pub fn down(&self, keep: bool) -> Result<()> {
        self.must(&Request::Down { keep })
    }

    /// A connection to a machine's port.
    pub fn connect(&self, node: &str, port: u16) -> Result<BufReader<UnixStream>> {
        self.begin(&Request::Connect { to: Target::Node(node.to_owned()), port, from: None }).map(|(_, stream)| stream)
    }

    /// A connection to any address on the lab's networks.
    pub fn connect_to(&self, address: Ipv4Addr, port: u16) -> Result<BufReader<UnixStream>> {
        self.begin(&Request::Connect { to: Target::Address(address), port, from: None }).map(|(_, stream)| stream)
    }

    /// Joins a machine's port with the standard streams, until both sides have ended.
    pub fn join(&self, node: &str, port: u16) -> Result<()> {
        let mut reader = self.connect(node, port)?;
        let mut writer = reader.get_ref().try_clone().context("joining a connection")?;
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut writer);
            let _ = writer.shutdown(Shutdown::Write);
        });
        carry(&mut reader, &mut std::io::stdout().lock())
    }

    /// Joins a machine's console with the terminal, until Ctrl-] is typed.
    pub fn console(&self, node: &str) -> Result<()> {
        let (_, mut reader) = self.begin(&Request::Console { node: node.to_owned() })?;
        let mut writer = reader.get_ref().try_clone().context("joining a console")?;
        let _terminal = Terminal::keep();
        if std::io::stdin().is_terminal() {
            let mut raw = rustix::termios::tcgetattr(std::io::stdin()).context("preparing the terminal")?;
            raw.make_raw();
            raw.local_modes -= LocalModes::ISIG;
            rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &raw)
                .context("preparing the terminal")?;
        }
        std::thread::spawn(move || {
            let mut typed = [0; 256];
            while let Ok(length @ 1..) = std::io::stdin().read(&mut typed) {
                let until = typed[..length].iter().position(|byte| *byte == LEAVE);
                let sent = writer.write_all(&typed[..until.unwrap_or(length)]);
                if until.is_some() || sent.is_err() {
                    break;
                }
            }
            let _ = writer.shutdown(Shutdown::Both);
        });
        carry(&mut reader, &mut std::io::stdout().lock())
    }
}

/// Copies piece by piece, each shown at once.
fn carry(from: &mut impl Read, to: &mut impl Write) -> Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(&buffer[..length]).and_then(|()| to.flush()).context("writing")?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(error).context("reading from the lab"),
        }
    }
}
