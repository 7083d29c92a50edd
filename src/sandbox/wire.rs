//! Frames between the processes of the sandbox: one kind byte, a length, a payload, and file descriptors alongside.

use crate::base::limits::MESSAGE_BYTES;
use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

/// Most file descriptors that travel with one frame.
const DESCRIPTORS: usize = 2;
/// Kind byte and payload length.
const HEADER: usize = 5;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// To the gate: what to enter. To init: what to run.
    Start = 1,
    /// From the gate: the namespaces exist, map my ids.
    Ready = 2,
    /// To the gate: the ids are mapped. To init: the program has come to its next step.
    Go = 3,
    /// To the worker: the job's name, with the builder's standard input.
    Job = 4,
    /// To the worker: what the job is asked.
    Request = 5,
    /// From the worker: one progress event as JSON.
    Event = 6,
    /// From the worker: the job's answer. From init: how the program ended, as JSON.
    Reply = 7,
    /// From anyone below: why it did not work, as JSON.
    Failure = 8,
    /// From init: why it ended the program, as JSON.
    Overrun = 9,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        const ALL: [Kind; 9] = [
            Kind::Start,
            Kind::Ready,
            Kind::Go,
            Kind::Job,
            Kind::Request,
            Kind::Event,
            Kind::Reply,
            Kind::Failure,
            Kind::Overrun,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame as it arrived.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// One end of the conversation. Sending is possible from many threads at once.
pub(super) struct Wire {
    stream: UnixStream,
    sending: Mutex<()>,
}

impl Wire {
    /// Our end, and the other one to give to a process as its standard input.
    pub(super) fn pair() -> Result<(Self, OwnedFd)> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .context("making a socket pair")?;
        Ok((Self::over(ours), theirs))
    }

    /// The end that this process was started with.
    pub(super) fn inherited() -> Result<Self> {
        let stdin = std::io::stdin();
        Ok(Self::over(stdin.as_fd().try_clone_to_owned().context("taking over the control socket")?))
    }

    fn over(socket: OwnedFd) -> Self {
        Self { stream: UnixStream::from(socket), sending: Mutex::new(()) }
    }

    /// Another handle on the same end, to hand on.
    pub(super) fn hand_on(&self) -> Result<OwnedFd> {
        Ok(self.stream.try_clone().context("duplicating the control socket")?.into())
    }

    /// Sends one frame whole.
    pub(super) fn send(&self, kind: Kind, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= MESSAGE_BYTES);
        let Some(length) = length else {
            bail!("a message of {} bytes exceeds the {MESSAGE_BYTES} bytes allowed for it", payload.len());
        };
        let mut header = [kind as u8; HEADER];
        header[1..].copy_from_slice(&length.to_le_bytes());
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ensure!(ancillary.push(SendAncillaryMessage::ScmRights(descriptors)), "too many descriptors for one frame");
        }
        let _turn = self.sending.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sent = rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(&self.stream, &[IoSlice::new(&header)], &mut ancillary, SendFlags::NOSIGNAL)
        })?;
        let mut stream = &self.stream;
        stream.write_all(&header[sent..])?;
        stream.write_all(payload)?;
        Ok(())
    }

    /// Waits this long for a frame, and says whether there is one (or an end).
    pub(super) fn wait(&self, time: Duration) -> Result<bool> {
        use rustix::event::{PollFd, PollFlags, Timespec};
        let mut watched = [PollFd::new(&self.stream, PollFlags::IN)];
        let time = Timespec::try_from(time).context("waiting on the control socket")?;
        match rustix::event::poll(&mut watched, Some(&time)) {
            Ok(count) => Ok(count > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("waiting on the control socket"),
        }
    }

    /// The next frame; `None` when the other side is gone.
    pub(super) fn receive(&self) -> Result<Option<Frame>> {
        let mut header = [0; HEADER];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut header)];
            rustix::net::recvmsg(&self.stream, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL)
        });
        let received = match received {
            Ok(message) => message.bytes,
            Err(rustix::io::Errno::CONNRESET) => 0,
            Err(error) => return Err(error).context("reading from the control socket"),
        };
        if received == 0 {
            return Ok(None);
        }
        let descriptors = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let mut stream = &self.stream;
        stream.read_exact(&mut header[received..]).context("reading from the control socket")?;
        let [kind, length @ ..] = header;
        let Some(kind) = Kind::of(kind) else { bail!("the control socket carries an unknown message {kind}") };
        let length = u32::from_le_bytes(length);
        ensure!(length <= MESSAGE_BYTES, "a message of {length} bytes exceeds the {MESSAGE_BYTES} allowed for it");
        let mut payload = Vec::new();
        let read = stream.take(u64::from(length)).read_to_end(&mut payload)?;
        ensure!(read == length as usize, "a message ended after {read} of {length} bytes");
        Ok(Some(Frame { kind, payload, descriptors }))
    }

    /// The next frame, which must be of this kind; a failure that arrives instead becomes the error.
    pub(super) fn expect(&self, kind: Kind) -> Result<Frame> {
        match self.receive()? {
            Some(frame) if frame.kind == kind => Ok(frame),
            Some(frame) if frame.kind == Kind::Failure => Err(super::failure::read(&frame.payload)),
            Some(frame) => bail!("expected {kind:?} on the control socket, got {:?}", frame.kind),
            None => bail!("the other side of the control socket is gone"),
        }
    }

    /// Tells the other side why it did not work. That it may be gone itself changes nothing.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        let _ = self.send(Kind::Failure, &super::failure::write(error), &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Seek as _;

    #[test]
    fn frames_arrive_whole_with_their_descriptors() {
        let (ours, theirs) = Wire::pair().unwrap();
        let theirs = Wire::over(theirs);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"inside").unwrap();
        file.rewind().unwrap();
        let long = vec![7; 3 << 20];
        let sender = std::thread::spawn(move || {
            ours.send(Kind::Job, b"name", &[file.as_fd()]).unwrap();
            ours.send(Kind::Request, &long, &[]).unwrap();
        });
        let mut frame = theirs.expect(Kind::Job).unwrap();
        assert_eq!(frame.payload, b"name");
        let mut text = String::new();
        std::fs::File::from(frame.descriptors.remove(0)).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert_eq!(theirs.expect(Kind::Request).unwrap().payload, vec![7; 3 << 20]);
        sender.join().unwrap();
        assert!(theirs.receive().unwrap().is_none());
    }

    #[test]
    fn damaged_frames_are_refused() {
        for bytes in [&b"\x0a\x00\x00\x00\x00"[..], b"\x01\xff\xff\xff\xff", b"\x01\x05\x00\x00\x00abc"] {
            let (ours, theirs) = Wire::pair().unwrap();
            (&ours.stream).write_all(bytes).unwrap();
            drop(ours);
            assert!(Wire::over(theirs).receive().is_err(), "{bytes:?}");
        }
    }
}
