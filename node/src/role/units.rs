//! What systemd says of units.

use crate::process;
use std::collections::BTreeMap;

/// What is asked.
const PROPERTIES: &str =
    "Id,Names,LoadState,ActiveState,SubState,UnitFileState,Type,Result,ExecMainStartTimestampMonotonic";

/// One unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    /// `loaded`, `not-found`, `masked`, ...
    pub(crate) load: String,
    /// `active`, `inactive`, `activating`, `failed`, ...
    pub(crate) active: String,
    /// `running`, `exited`, `dead`, ...
    pub(crate) sub: String,
    /// `enabled`, `disabled`, `static`, ...
    pub(crate) file: String,
    /// Whether it is a one-shot that has done its work.
    pub(crate) done: bool,
}

impl State {
    /// Whether it runs, or has done what it is there for.
    pub(crate) fn is_up(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing") || self.done
    }
}

/// The states of these units, by the names they were asked for.
pub(crate) fn states(names: &[&str]) -> Result<BTreeMap<String, State>, String> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut words = vec!["systemctl", "show", "--property", PROPERTIES, "--"];
    words.extend(names);
    let output = process::output(&words, "")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = parse(names, &text);
    if found.len() != names.len() {
        return Err(format!("systemd does not tell of all units: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(found)
}

/// Blocks of `Name=value` lines, one for each unit, in the order asked.
fn parse(names: &[&str], text: &str) -> BTreeMap<String, State> {
    let blocks = text.split("\n\n").filter(|block| !block.trim().is_empty());
    names.iter().zip(blocks).map(|(name, block)| ((*name).to_owned(), state(block))).collect()
}

fn state(block: &str) -> State {
    let value = |name: &str| {
        let found = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or_default().to_owned()
    };
    let ran = !matches!(value("ExecMainStartTimestampMonotonic").as_str(), "" | "0");
    let oneshot = value("Type") == "oneshot" && value("ActiveState") == "inactive";
    State {
        load: value("LoadState"),
        active: value("ActiveState"),
        sub: value("SubState"),
        file: value("UnitFileState"),
        done: oneshot && ran && value("Result") == "success",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_are_read_in_the_order_asked() {
        let text = "Type=notify\nResult=success\nExecMainStartTimestampMonotonic=0\nId=corosync.service\n\
                    LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n\n\
                    Type=oneshot\nResult=success\nExecMainStartTimestampMonotonic=99\nId=nftables.service\n\
                    LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=enabled\n";
        let found = parse(&["corosync.service", "nftables.service"], text);
        let corosync = &found["corosync.service"];
        assert_eq!((corosync.active.as_str(), corosync.file.as_str()), ("inactive", "disabled"));
        assert!(!corosync.is_up());
        assert!(found["nftables.service"].is_up());
    }

    proptest! {
        #[test]
        fn reader_never_panics(text in any::<String>()) {
            let _ = parse(&["a.service", "b.service"], &text);
        }
    }
}
