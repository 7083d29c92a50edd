//! QEMU's control socket (QMP): JSON objects in lines, each command answered, events in between.

use crate::base::limits::{LAB_MONITOR_BYTES, LAB_MONITOR_TIME};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;

/// A connection to a machine's monitor.
#[derive(Debug)]
pub(super) struct Monitor {
    reader: BufReader<UnixStream>,
}

impl Monitor {
    /// Takes QEMU's greeting and agrees on the protocol.
    pub(super) fn greet(stream: UnixStream) -> Result<Self> {
        stream.set_read_timeout(Some(LAB_MONITOR_TIME)).context("preparing QEMU's monitor")?;
        stream.set_write_timeout(Some(LAB_MONITOR_TIME)).context("preparing QEMU's monitor")?;
        let mut monitor = Self { reader: BufReader::new(stream) };
        let greeting = monitor.read()?;
        if greeting.get("QMP").is_none() {
            bail!("QEMU's monitor does not greet: {greeting}");
        }
        monitor.call("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Gives a command and waits for its end.
    pub(super) fn call(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let mut line = json!({"execute": command, "arguments": arguments}).to_string();
        line.push('\n');
        self.reader.get_mut().write_all(line.as_bytes()).with_context(|| format!("telling QEMU to `{command}`"))?;
        loop {
            let answer = self.read().with_context(|| format!("hearing how QEMU's `{command}` went"))?;
            if let Some(error) = answer.get("error") {
                let said = error.get("desc").and_then(Value::as_str).unwrap_or("no reason given");
                bail!("QEMU refuses `{command}`: {said}");
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        (&mut self.reader).take(LAB_MONITOR_BYTES).read_until(b'\n', &mut line).context("reading QEMU's monitor")?;
        if !line.ends_with(b"\n") {
            bail!("QEMU's monitor ended");
        }
        serde_json::from_slice(&line).context("reading QEMU's monitor")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor whose other end has said all of this already.
    fn monitor(said: &str) -> (Result<Monitor>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(said.as_bytes()).unwrap();
        (Monitor::greet(ours), theirs)
    }

    #[test]
    fn answers_are_found_between_events() {
        let (monitor, theirs) = monitor(
            "{\"QMP\": {}}\n{\"return\": {}}\n{\"event\": \"STOP\"}\n{\"return\": {}}\n\
             {\"error\": {\"class\": \"DeviceNotFound\", \"desc\": \"no card\"}}\n",
        );
        let mut monitor = monitor.unwrap();
        monitor.call("stop", &json!({})).unwrap();
        let refused = monitor.call("set_link", &json!({"name": "card0", "up": false})).unwrap_err();
        assert_eq!(refused.to_string(), "QEMU refuses `set_link`: no card");
        drop(theirs);
        assert!(monitor.call("cont", &json!({})).is_err());
    }

    #[test]
    fn what_does_not_greet_is_no_monitor() {
        let (refused, _theirs) = monitor("{\"hello\": 1}\n");
        assert_eq!(refused.unwrap_err().to_string(), "QEMU's monitor does not greet: {\"hello\":1}");
        let (refused, _theirs) = monitor("no JSON\n");
        assert_eq!(refused.unwrap_err().to_string(), "reading QEMU's monitor");
    }
}
