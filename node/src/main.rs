//! `imgbuild-node`: what runs inside a machine that was booted from one of imgbuild's images.

mod console;
mod digest;
mod files;
#[path = "../../src/format/seed/mod.rs"]
#[allow(unreachable_pub, unused_imports, reason = "the builder, which shares these files, is a library")]
mod format;
mod grow;
mod install;
mod places;
mod process;
mod role;
mod seed;
mod status;

use std::process::ExitCode;

const USAGE: &str = "usage: imgbuild-node seed | role | apply [DEVICE|FOLDER] | check FOLDER MAC [KEY.pub...] | grow [--dry-run] | status [--json] | --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["seed"] => forming(seed::run()),
        ["role"] => forming(role::run()),
        ["apply"] => report(seed::apply(None)),
        ["apply", source] if !source.starts_with('-') => report(seed::apply(Some(source))),
        ["check", folder, mac, trusted @ ..] => report(seed::check(folder, mac, trusted)),
        ["grow"] => report(grow::run(false)),
        ["grow", "--dry-run"] => report(grow::run(true)),
        ["status"] => report(status::run(false)),
        ["status", "--json"] => report(status::run(true)),
        ["--version" | "-V"] => {
            println!("imgbuild-node {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What goes wrong while the machine forms is said where its other lines are.
fn forming(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            console::say("failed", &message);
            ExitCode::FAILURE
        }
    }
}

fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("imgbuild-node: error: {}", console::plain(&message));
            ExitCode::FAILURE
        }
    }
}
