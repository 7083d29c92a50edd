//! What must be on the disk at the end goes there while more is written: the last wait is then a short one.

use std::fs::File;
use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes between two turns of the disk.
const TURN: u64 = 32 << 20;

/// Sends a file's bytes to the disk from beside whoever writes them.
#[derive(Debug)]
pub(super) struct HeadStart {
    turn: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    written: u64,
}

impl HeadStart {
    /// For this file.
    ///
    /// # Errors
    /// When there cannot be a second handle of it.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let (turn, turns) = sync_channel::<()>(1);
        let file = file.try_clone()?;
        let thread = std::thread::spawn(move || {
            while turns.recv().is_ok() {
                file.sync_data()?;
            }
            Ok(())
        });
        Ok(Self { turn: Some(turn), thread: Some(thread), written: 0 })
    }

    /// Says that so many bytes more were written.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
        if self.written >= TURN {
            self.written = 0;
            // A disk that is busy gets to these bytes the next time.
            let _ = self.turn.as_ref().map(|turn| turn.try_send(()));
        }
    }

    /// Waits for the turn that is under way.
    ///
    /// # Errors
    /// When the disk did not take something: the kernel says so to the first who asks, and to nobody after.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.turn = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread that sends a file to the disk ended early")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn failures_of_the_disk_are_heard_and_all_turns_are_waited_for() {
        let mut file = tempfile::tempfile().unwrap();
        let mut start = HeadStart::of(&file).unwrap();
        for _ in 0..3 {
            file.write_all(&[1; 100]).unwrap();
            start.wrote(TURN);
        }
        start.end().unwrap();
        // The null device has no disk to go to, and says so.
        let mut start = HeadStart::of(&File::open("/dev/null").unwrap()).unwrap();
        start.wrote(TURN);
        assert_eq!(start.end().unwrap_err().raw_os_error(), Some(22));
    }
}
