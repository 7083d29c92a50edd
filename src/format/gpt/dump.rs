//! A table as lines that a reviewer can compare.

use super::Table;
use std::fmt;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "gpt {} sectors {}", self.guid, self.sectors)?;
        for (number, entry) in (1..).zip(&self.partitions) {
            let (first, last) = (entry.first, entry.last);
            write!(f, "{number} {first}..={last} type {} guid {}", entry.kind, entry.guid)?;
            writeln!(f, " attributes {:#x} name {:?}", entry.attributes, entry.name)?;
        }
        Ok(())
    }
}
