//! A small signed archive made on the spot, and a server that can misbehave.

#![allow(dead_code, unreachable_pub, reason = "every test program uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

pub mod generator;
pub mod keys;
pub mod repack;
pub mod server;

use imgbuild::base::hint::hints;
use imgbuild::package::archive::{Client, ClientOptions, HostMirrors};
use imgbuild::package::download::Patience;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Options with this cache, at the tests' time of day.
pub fn options(cache: &Path) -> ClientOptions {
    ClientOptions {
        cache: cache.to_owned(),
        offline: false,
        jobs: 4,
        mirrors: BTreeMap::new(),
        host: HostMirrors::default(),
        now: generator::now(),
        verify: false,
    }
}

/// A client that gives up quickly.
pub fn client(options: ClientOptions) -> Client {
    let patience = Patience {
        attempts: 3,
        wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        connect: Duration::from_secs(5),
        stall: Duration::from_millis(300),
        pace: Duration::from_secs(1),
        slowest: 1000,
        whole: Duration::from_secs(60),
    };
    Client::new(options).with_patience(patience)
}

/// The whole message and its hints, with what changes from run to run replaced.
pub fn said(error: &anyhow::Error, server: &str, folder: &Path) -> String {
    let mut text = format!("{error:#}");
    for hint in hints(error) {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text.replace(server, "URL").replace(&folder.display().to_string(), "FOLDER")
}
