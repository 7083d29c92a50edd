//! Hands out blocks from the front to the back: what lies before the next one is in use, what lies behind it is free
//! but for the fixed structures.

use super::WriteError;
use super::geometry::{BLOCK, Geometry};
use std::ops::Range;

pub(super) struct Allocator<'a> {
    geometry: &'a Geometry,
    next: u64,
    /// The first of the fixed runs that ends behind `next`.
    ahead: usize,
    /// Blocks that were asked for beyond the end: what is missing.
    missing: u64,
}

impl<'a> Allocator<'a> {
    pub(super) fn new(geometry: &'a Geometry) -> Self {
        Self { geometry, next: 0, ahead: 0, missing: 0 }
    }

    /// So many blocks in as few runs as there can be. Beyond the end it gives none, and counts what is missing.
    pub(super) fn take(&mut self, mut count: u64) -> Vec<Range<u64>> {
        let mut runs = Vec::new();
        while count > 0 {
            let fixed = self.geometry.fixed.get(self.ahead).cloned().unwrap_or(self.geometry.blocks..u64::MAX);
            if fixed.contains(&self.next) {
                if fixed.end == u64::MAX {
                    self.missing += count;
                    break;
                }
                self.next = fixed.end;
                self.ahead += 1;
                continue;
            }
            let end = fixed.start.min(self.next + count);
            count -= end - self.next;
            runs.push(self.next..end);
            self.next = end;
        }
        runs
    }

    /// One block.
    pub(super) fn one(&mut self) -> u64 {
        self.take(1).first().map_or(0, |run| run.start)
    }

    /// Ends handing out: what is in use then.
    ///
    /// # Errors
    /// When more was asked for than there was.
    pub(super) fn finish(self) -> Result<Used<'a>, WriteError> {
        match self.missing {
            0 => Ok(Used { geometry: self.geometry, next: self.next }),
            missing => Err(WriteError::TooSmall { needed: (self.geometry.blocks + missing) * BLOCK }),
        }
    }
}

/// Which blocks are in use.
pub(super) struct Used<'a> {
    geometry: &'a Geometry,
    next: u64,
}

impl Used<'_> {
    /// The runs of these blocks that are in use, in order.
    pub(super) fn within(&self, blocks: Range<u64>) -> Vec<Range<u64>> {
        let front = blocks.start..blocks.end.min(self.next);
        let from = front.end.max(blocks.start);
        let first = self.geometry.fixed.partition_point(|run| run.end <= from);
        let fixed = self.geometry.fixed[first..].iter().take_while(|run| run.start < blocks.end);
        let behind = fixed.map(|run| run.start.max(from)..run.end.min(blocks.end));
        std::iter::once(front).chain(behind).filter(|run| !run.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::size::MIB;

    #[test]
    fn blocks_go_around_the_fixed_structures_and_are_counted() {
        let geometry = Geometry::new(256 * MIB, 16_384).unwrap();
        assert_eq!(geometry.fixed, [0..1061, 32_768..32_801]);
        let mut allocator = Allocator::new(&geometry);
        assert_eq!(allocator.one(), 1061);
        assert_eq!(allocator.take(32_000), [1062..32_768, 32_801..33_095]);
        let used = allocator.finish().unwrap();
        assert_eq!(used.within(0..40_000), std::slice::from_ref(&(0..33_095)));
        assert_eq!(used.within(33_095..40_000), []);
        let mut allocator = Allocator::new(&geometry);
        allocator.take(10);
        let used = allocator.finish().unwrap();
        assert_eq!(used.within(0..65_536), [0..1071, 32_768..32_801]);
        assert_eq!(used.within(32_768..65_536), std::slice::from_ref(&(32_768..32_801)));
        let mut allocator = Allocator::new(&geometry);
        allocator.take(70_000);
        let said = allocator.finish().err().unwrap().to_string();
        assert!(said.contains(&(70_000 * BLOCK + 1094 * BLOCK).to_string()), "{said}");
    }
}
