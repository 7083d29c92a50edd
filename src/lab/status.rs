//! How the machines of a lab are, as a value and as a table that needs no colour.

use super::stage::Stage;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Stages in which a machine stands still by itself, and seconds after which any other stage looks as if it hung.
const SLOW: u64 = 60;
/// Characters of a machine's last line that are shown.
const LINE: usize = 100;

/// How a lab is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The cluster.
    pub cluster: String,
    /// Whether the machines run at the processor's own speed.
    pub kvm: bool,
    /// In the order of the plan.
    pub nodes: Vec<NodeStatus>,
    /// Who has the floating addresses, when that was asked for.
    pub addresses: Vec<AddressStatus>,
}

/// Who has a floating address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressStatus {
    /// The address.
    pub address: String,
    /// Machines that answer for it.
    pub owners: Vec<String>,
}

/// How a machine is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Whether it runs.
    pub power: Power,
    /// How far it has come.
    pub stage: Stage,
    /// For how many seconds it has been in this stage.
    pub seconds: u64,
    /// After how many seconds since its start it was ready, when it is.
    pub ready_after: Option<u64>,
    /// What its console said last.
    pub last: String,
    /// What is wrong with its lines.
    pub faults: Vec<String>,
    /// Where its console's text is kept.
    pub log: String,
}

/// Whether a machine runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// It is off.
    Off,
    /// It runs.
    On,
    /// Its processors stand still.
    Frozen,
    /// QEMU gave up: what it said.
    Failed(String),
}

impl std::fmt::Display for Power {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Frozen => "frozen",
            Self::Failed(_) => "failed",
        })
    }
}

impl NodeStatus {
    /// Whether it has been for long in a stage that others pass through.
    #[must_use]
    pub fn hangs(&self) -> bool {
        let still = matches!(self.stage, Stage::Ready | Stage::Login);
        self.power == Power::On && !still && self.seconds >= SLOW
    }

    fn remark(&self) -> String {
        let mut remarks = self.faults.clone();
        match &self.power {
            Power::Failed(said) => remarks.push(shortened(said)),
            _ if self.hangs()
                || matches!(self.stage, Stage::Refused | Stage::Failed | Stage::Waiting | Stage::Panicked) =>
            {
                remarks.push(shortened(&self.last));
            }
            _ => {}
        }
        remarks.join("; ")
    }
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LINE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

fn time(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut rows = vec![["machine", "power", "stage", "for", "remarks"].map(str::to_owned)];
        for node in &self.nodes {
            let (stage, seconds) = match node.power {
                Power::Off | Power::Failed(_) => ("-".to_owned(), String::new()),
                _ => (node.stage.to_string(), time(node.seconds)),
            };
            rows.push([node.name.clone(), node.power.to_string(), stage, seconds, node.remark()]);
        }
        for address in &self.addresses {
            let owners = if address.owners.is_empty() { "nobody".to_owned() } else { address.owners.join(" and ") };
            rows.push([address.address.clone(), String::new(), String::new(), String::new(), format!("-> {owners}")]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..4).map(width).collect();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                write!(line, "{cell:width$}  ")?;
            }
            line.push_str(&row[4]);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, power: Power, stage: Stage, seconds: u64) -> NodeStatus {
        NodeStatus {
            name: name.to_owned(),
            roles: vec!["haproxy".to_owned()],
            power,
            stage,
            seconds,
            ready_after: None,
            last: "[  12.1] waiting for\u{1f980} something".to_owned(),
            faults: Vec::new(),
            log: "/x".to_owned(),
        }
    }

    #[test]
    fn table_says_where_each_machine_is_and_why_it_stays_there() {
        let mut cut = node("balancer2", Power::On, Stage::Ready, 7);
        cut.faults = vec!["in: cut".to_owned(), "no carrier".to_owned()];
        let status = Status {
            cluster: "x".to_owned(),
            kvm: false,
            nodes: vec![
                node("gateway", Power::Off, Stage::Ready, 3),
                node("balancer1", Power::On, Stage::Initrd, 125),
                cut,
                node("backend1", Power::Failed("no memory\nmore".to_owned()), Stage::Firmware, 0),
                node("backend2", Power::Frozen, Stage::Grub, 6000),
            ],
            addresses: vec![
                AddressStatus { address: "192.168.4.10".into(), owners: vec!["balancer1".into(), "balancer2".into()] },
                AddressStatus { address: "10.0.0.1".into(), owners: Vec::new() },
            ],
        };
        let expected = "\
machine       power   stage   for    remarks
gateway       off     -
balancer1     on      initrd  2 min  [  12.1] waiting for\u{1f980} something
balancer2     on      ready   7 s    in: cut; no carrier
backend1      failed  -              no memory
backend2      frozen  grub    1 h
192.168.4.10                         -> balancer1 and balancer2
10.0.0.1                             -> nobody
";
        assert_eq!(status.to_string(), expected);
    }
}
