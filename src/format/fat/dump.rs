//! A volume as lines that a reviewer can compare.

use super::Contents;
use std::fmt;

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, label, size, hidden, cluster, free, .. } = self;
        writeln!(f, "fat32 {id:08x} {label} bytes {size} hidden {hidden} cluster {cluster} free {free}")?;
        for entry in &self.entries {
            match entry.directory {
                true => writeln!(f, "{}/", entry.path)?,
                false => writeln!(f, "{} {}", entry.path, entry.size)?,
            }
        }
        Ok(())
    }
}
