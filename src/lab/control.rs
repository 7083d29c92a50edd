//! What is said over a lab's control socket: one JSON object in a line, answered by one. After some requests the
//! connection carries a machine's bytes instead.

use super::network::{Faults, Lease, Way};
use super::status::Status;
use crate::base::hint::{hinted, hints};
use crate::base::limits::LAB_MESSAGE_BYTES;
use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    /// How everything is; with `owners`, it is also asked who has the floating addresses.
    Status { owners: bool },
    /// Starts a machine, its clock so many seconds ahead of what it was told last.
    Start { node: String, clock: Option<i64> },
    /// Ends a machine: as if its plug were pulled, or by its power button.
    Kill { node: String, button: bool },
    /// Gives a machine that is off a fresh disk; data disks, too, when asked.
    Wipe { node: String, data: bool },
    /// Breaks the way to a machine, or between two.
    Cut { node: String, other: Option<String>, way: Option<Way> },
    /// Takes the carrier off a machine's cards, as when cables are pulled, or gives it back.
    Carrier { node: String, up: bool },
    /// Makes the lines of a machine worse.
    Worsen { node: String, way: Option<Way>, faults: Faults },
    /// Mends everything that was cut or worsened.
    Heal,
    /// Stops a machine's processors, or lets them go on.
    Freeze { node: String, frozen: bool },
    /// Who answers for an address.
    Owners { address: Ipv4Addr },
    /// Lets the lab itself answer at a port of a machine that is off.
    StandIn { node: String, port: u16 },
    /// Plugs a station of the lab's own into a network: with a card of its own or this one; with an address of its own or,
    /// where it borrows, one that it is lent; stubborn when it believes nobody who announces himself.
    Visit { network: String, card: Option<[u8; 6]>, borrows: bool, stubborn: bool },
    /// Unplugs such a station.
    Leave { visitor: usize },
    /// Which addresses a name has, or which names an address, as a server tells such a station.
    Resolve { visitor: usize, server: Ipv4Addr, name: Name },
    /// From here on, the bytes of a connection to a machine; from such a station when one is named.
    Connect {
        to: Target,
        port: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<usize>,
    },
    /// From here on, a machine's console.
    Console { node: String },
    /// Ends the lab; disks are kept when asked.
    Down { keep: bool },
}

/// What a name server is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Name {
    /// For a name's addresses.
    Forward(String),
    /// For an address's names.
    Backward(Ipv4Addr),
}

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Target {
    /// A machine of the plan.
    Node(String),
    /// Any address on one of the lab's networks.
    Address(Ipv4Addr),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(super) enum Answer {
    Done,
    Status {
        status: Status,
    },
    Owners {
        owners: Vec<String>,
    },
    Visitor {
        visitor: usize,
        lease: Lease,
    },
    /// Nothing when nobody answered.
    Names {
        names: Option<Vec<String>>,
    },
    Failed {
        error: String,
        hint: Option<String>,
    },
}

/// What is said of a connection that was refused, and of one that nobody answered.
pub(super) const REFUSES: &str = "the machine refuses the connection";
pub(super) const SILENT: &str = "the machine does not answer";

impl Answer {
    /// Why something could not be done, with what to do about it.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self::Failed { error: format!("{error:#}"), hint: hints(error).into_iter().next() }
    }

    /// The line that is sent.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// Reads one line of a peer that may be hostile or slow; nothing when it hung up.
pub(super) fn line(stream: &mut impl std::io::BufRead) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.take(LAB_MESSAGE_BYTES).read_until(b'\n', &mut line).context("reading from the lab's socket")?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => bail!("a line on the lab's socket did not end"),
    }
}

/// A running lab, as others see it.
#[derive(Clone, Debug)]
pub struct Lab {
    socket: PathBuf,
    cluster: String,
}

impl Lab {
    /// The lab of a run folder, whether it runs or not.
    #[must_use]
    pub fn at(folder: &Path, cluster: &str) -> Self {
        Self { socket: folder.join(super::daemon::SOCKET), cluster: cluster.to_owned() }
    }

    /// Whether somebody answers.
    #[must_use]
    pub fn runs(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    pub(super) fn reach(&self) -> Result<UnixStream> {
        match UnixStream::connect(&self.socket) {
            Ok(stream) => Ok(stream),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Err(hinted(
                format!("the lab of {} does not run", self.cluster),
                format!("start it with `imgbuild lab up {}`", self.cluster),
            )),
            Err(error) => Err(error).with_context(|| format!("connecting to {}", self.socket.display())),
        }
    }

    /// Asks, and hears the answer.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer> {
        self.begin(request).map(|(answer, _)| answer)
    }

    /// Asks for something that has no answer but that it was done.
    pub(super) fn must(&self, request: &Request) -> Result<()> {
        match self.ask(request)? {
            Answer::Done => Ok(()),
            other => bail!("the lab gave an answer to another question: {other:?}"),
        }
    }

    /// Asks, hears the answer, and gives the connection with what was read of it beyond the answer.
    pub(super) fn begin(&self, request: &Request) -> Result<(Answer, BufReader<UnixStream>)> {
        let mut stream = self.reach()?;
        let mut bytes = serde_json::to_vec(request)?;
        bytes.push(b'\n');
        stream.write_all(&bytes).context("asking the lab")?;
        let mut reader = BufReader::new(stream);
        let Some(line) = line(&mut reader)? else { bail!("the lab ended without an answer") };
        match serde_json::from_slice(&line).context("reading the lab's answer")? {
            Answer::Failed { error, hint: Some(hint) } => Err(hinted(error, hint)),
            Answer::Failed { error, hint: None } => bail!(error),
            answer => Ok((answer, reader)),
        }
    }

    /// Waits until nobody answers any more. Gives whether that came about in time.
    #[must_use]
    pub fn gone(&self, limit: Duration) -> bool {
        let began = std::time::Instant::now();
        while self.runs() {
            if began.elapsed() >= limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_lines_of_json() {
        let request = Request::Cut { node: "a".into(), other: None, way: Some(Way::In) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"request":"cut","node":"a","other":null,"way":"in"}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let connect = Request::Connect { to: Target::Address(Ipv4Addr::new(10, 0, 0, 1)), port: 22, from: None };
        let text = serde_json::to_string(&connect).unwrap();
        assert_eq!(text, r#"{"request":"connect","to":{"address":"10.0.0.1"},"port":22}"#);
        assert_eq!(Answer::Done.line(), b"{\"answer\":\"done\"}\n");
    }

    #[test]
    fn lines_that_do_not_end_are_refused() {
        assert_eq!(line(&mut &b"{}\nrest"[..]).unwrap(), Some(b"{}".to_vec()));
        assert_eq!(line(&mut &b""[..]).unwrap(), None);
        assert_eq!(line(&mut &b"{"[..]).unwrap_err().to_string(), "a line on the lab's socket did not end");
    }

    #[test]
    fn a_lab_that_does_not_run_says_how_to_start_it() {
        let folder = tempfile::tempdir().unwrap();
        let lab = Lab::at(folder.path(), "demo");
        let error = lab.must(&Request::Heal).unwrap_err();
        assert_eq!(error.to_string(), "the lab of demo does not run");
        assert_eq!(crate::base::hint::hints(&error), ["start it with `imgbuild lab up demo`"]);
    }
}
