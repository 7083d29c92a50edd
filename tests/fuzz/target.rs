//! What libFuzzer runs: the law that IMGBUILD_FUZZ_TARGET names.

#![no_main]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken law is a panic")]

mod guest;
mod lab;
mod laws;

use guest::{digest, files, format};
use imgbuild::base;

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static LAW: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = std::env::var("IMGBUILD_FUZZ_TARGET").unwrap_or_default();
    let known: Vec<&str> = laws::TARGETS.iter().map(|target| target.name).collect();
    let target = laws::TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("IMGBUILD_FUZZ_TARGET is `{name}`, known are {}", known.join(" "))).law
});

/// Asked for a list, says which targets there are and the longest input of each.
fn list() {
    if std::env::var("IMGBUILD_FUZZ_TARGET").is_ok_and(|name| name == "list") {
        laws::TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.longest));
        std::process::exit(0);
    }
}

fuzz_target!(init: list(), |input: &[u8]| LAW(input));
