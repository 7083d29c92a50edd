//! `imgbuild-node`: what runs inside a machine that was booted from one of imgbuild's images.

mod grow;
mod process;
mod status;

use std::process::ExitCode;

const USAGE: &str = "usage: imgbuild-node grow [--dry-run] | status | --version";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["grow"] => report(grow::run(false)),
        ["grow", "--dry-run"] => report(grow::run(true)),
        ["status"] => report(status::run()),
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

fn report(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("imgbuild-node: error: {message}");
            ExitCode::FAILURE
        }
    }
}
