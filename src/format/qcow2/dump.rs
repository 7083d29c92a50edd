//! An image's own shape as one line.

use super::read::{Count, Reader};
use crate::format::ReadAt;
use std::io;

impl<S: ReadAt> Reader<S> {
    /// Size, compression and clusters by kind.
    ///
    /// # Errors
    /// When a table cannot be read.
    pub fn dump(&self) -> io::Result<String> {
        let Count { compressed, plain, absent } = self.count()?;
        let compression = format!("{:?}", self.compression()).to_lowercase();
        Ok(format!("qcow2 {} bytes {compression} compressed {compressed} plain {plain} absent {absent}", self.size()))
    }
}
