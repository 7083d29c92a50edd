//! Programs that hang, multiply or never stop talking: each is ended, and the message says why.

use super::harness::{root, said, script};
use anyhow::{Context as _, Result, ensure};
use imgbuild::sandbox::{Excess, Overrun};
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn hanging_is_ended(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let text = "trap '' TERM INT HUP; echo one; echo two >&2; setsid sleep 1002 & sleep 1002";
    let error = script(&root, text).limit(Some(SECOND)).run(|_| {}).unwrap_err();
    let expected = format!("running `sh -c {text}`: it was ended after 1 second; the last that it said: one\ntwo");
    ensure!(format!("{error:#}") == expected, "{error:#}");
    let error = script(&root, "sleep 1002").limit(Some(SECOND)).output().unwrap_err();
    ensure!(format!("{error:#}") == "running `sh -c sleep 1002`: it was ended after 1 second", "{error:#}");
    ensure!(!super::commands::running("sleep\u{0}1002")?, "it still runs");
    // The twin: what ends in time does not notice.
    ensure!(said(&script(&root, "sleep 0.1; echo done").limit(Some(Duration::from_secs(60))))? == "done");
    Ok(())
}

pub(crate) fn steps_begin_time_anew(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let limit = Some(Duration::from_secs(4));
    // Who speaks is at work, and who comes to a next step too: together they take longer than one may.
    let text = "for i in 1 2 3 4 5 6; do echo step $i; sleep 1; done";
    script(&root, text).limit(limit).run(|_| {})?;
    script(&root, text).limit(limit).run_steps(|line| line.starts_with("step"))?;
    // Words alone are no step where steps are told.
    let error = script(&root, text).limit(limit).run_steps(|_| false).unwrap_err();
    let overrun = error.downcast_ref::<Overrun>().context("another error")?;
    ensure!(overrun.excess == Excess::Time(Duration::from_secs(4)), "{error:#}");
    ensure!(overrun.said.starts_with("step 1\nstep 2"), "{error:#}");
    Ok(())
}

pub(crate) fn multiplying_is_ended(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let many = "for i in $(seq 200); do sleep 1003 & done; wait";
    let error = script(&root, many).tasks(100).output().unwrap_err();
    let overrun = error.downcast_ref::<Overrun>().context("another error")?;
    ensure!(matches!(overrun.excess, Excess::Tasks { found: 101.., allowed: 100 }), "{error:#}");
    ensure!(!super::commands::running("sleep\u{0}1003")?, "they still run");
    // The twin: as many as are allowed.
    let some = "for i in $(seq 50); do sleep 0.5 & done; wait; echo done";
    ensure!(said(&script(&root, some).tasks(100))? == "done");
    Ok(())
}

pub(crate) fn talking_for_ever_is_ended(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let error = script(&root, "exec yes").output().unwrap_err();
    let expected = "running `sh -c exec yes`: it was ended when it had said more than the 67108864 bytes allowed";
    ensure!(format!("{error:#}") == expected, "{error:#}");
    let mut heard = 0;
    let error = script(&root, "yes $(seq 3000)").run(|line| heard += line.len()).unwrap_err();
    let expected =
        "running `sh -c yes $(seq 3000)`: it was ended when it had said more than the 268435456 bytes allowed";
    ensure!(format!("{error:#}") == expected, "{error:#}");
    ensure!((256 << 20..300 << 20).contains(&(heard + (1 << 20))), "{heard} bytes");
    ensure!(!super::commands::running("yes\u{0}")?, "it still runs");
    Ok(())
}
