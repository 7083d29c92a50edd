//! A volume group as lines that a reviewer can compare.

use super::VolumeGroup;
use std::fmt;

impl fmt::Display for VolumeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "vg {} {} sequence {}", self.name, self.id.dashed(), self.sequence)?;
        let physical = &self.physical;
        writeln!(f, "pv {} bytes {} extents {}", physical.id.dashed(), physical.size, physical.extents)?;
        for volume in &self.volumes {
            write!(f, "lv {} {}", volume.name, volume.id.dashed())?;
            for segment in &volume.segments {
                write!(f, " {}+{}", segment.start, segment.extents)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
