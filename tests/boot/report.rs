//! What a machine reported: named sections, each the output of a command and its exit status.

use std::collections::BTreeMap;

/// The exit status of what was not asked.
pub(crate) const ABSENT: i32 = -1;

/// One report.
#[derive(Debug)]
pub(crate) struct Report {
    sections: BTreeMap<String, (i32, String)>,
}

impl Report {
    /// Reads a report that is complete.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.replace('\r', "");
        let (_, body) = text.rsplit_once("@@ report\n").ok_or("no report arrived")?;
        let (body, _) = body.split_once("@@ done").ok_or("the report is cut off")?;
        let mut sections = BTreeMap::new();
        let mut open: Option<(&str, String)> = None;
        for line in body.lines() {
            if let Some(name) = line.strip_prefix("@@ begin ") {
                open = Some((name, String::new()));
            } else if let Some((before, status)) = line.rsplit_once("@@ end ") {
                let (name, mut said) = open.take().ok_or("a section ends that never began")?;
                let status = status.strip_prefix(name).and_then(|rest| rest.trim().parse().ok());
                let status = status.ok_or_else(|| format!("section {name} has no exit status"))?;
                said.push_str(before);
                sections.insert(name.to_owned(), (status, said.trim_end().to_owned()));
            } else if let Some((_, said)) = &mut open {
                said.push_str(line);
                said.push('\n');
            }
        }
        Ok(Self { sections })
    }

    /// What a command said.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.sections.get(name).map_or("(no such section)", |(_, text)| text)
    }

    /// How a command exited.
    pub(crate) fn status(&self, name: &str) -> i32 {
        self.sections.get(name).map_or(ABSENT, |(status, _)| *status)
    }

    /// The whole report, for failures.
    pub(crate) fn whole(&self) -> String {
        self.sections.iter().map(|(name, (status, text))| format!("[{name}] ({status})\n{text}\n\n")).collect()
    }

    /// Bytes of a logical volume.
    pub(crate) fn volume(&self, name: &str) -> Option<u64> {
        self.text("lvs").lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == name).then(|| words.next()?.parse().ok())?
        })
    }

    /// Bytes of a device of `lsblk`, by its name.
    pub(crate) fn device(&self, name: &str) -> Option<u64> {
        let field = |line: &str, key: &str| {
            let (_, rest) = line.split_once(&format!("{key}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let line = self.text("lsblk").lines().find(|line| field(line, "NAME").as_deref() == Some(name))?.to_owned();
        field(&line, "SIZE")?.parse().ok()
    }

    /// Seconds that a unit's process ran.
    pub(crate) fn seconds(&self, unit: &str) -> Option<f64> {
        let block = self.text("grow-time").split("\n\n").find(|block| block.contains(&format!("Id={unit}")))?;
        let time = |key: &str| -> Option<f64> {
            block.lines().find_map(|line| line.strip_prefix(&format!("ExecMain{key}TimestampMonotonic=")))?.parse().ok()
        };
        Some((time("Exit")? - time("Start")?) / 1e6)
    }
}
