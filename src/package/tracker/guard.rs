//! Bounds on JSON before it is parsed: a parser that keeps nothing still holds one text and one path at a time.

use crate::base::limits::{VULNERABILITY_DEPTH, VULNERABILITY_TEXT_BYTES};
use std::io::{self, Read};

/// Hands on what it reads, and fails when a text is too long or a value too deep.
pub(super) struct Guard<R> {
    inner: R,
    text: Option<usize>,
    escaped: bool,
    depth: usize,
}

impl<R: Read> Guard<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, text: None, escaped: false, depth: 0 }
    }

    fn look(&mut self, byte: u8) -> Result<(), String> {
        if let Some(length) = &mut self.text {
            *length += 1;
            if *length > VULNERABILITY_TEXT_BYTES {
                return Err(format!("a text in it has more than {VULNERABILITY_TEXT_BYTES} bytes"));
            }
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.text = None,
                _ => {}
            }
            return Ok(());
        }
        match byte {
            b'"' => self.text = Some(0),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        match self.depth > VULNERABILITY_DEPTH {
            true => Err(format!("it is nested more than {VULNERABILITY_DEPTH} levels deep")),
            false => Ok(()),
        }
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.inner.read(buffer)?;
        for byte in &buffer[..taken] {
            self.look(*byte).map_err(|problem| io::Error::new(io::ErrorKind::InvalidData, problem))?;
        }
        Ok(taken)
    }
}
