//! Boots built images in QEMU, asks them how they are and checks the answers.
//!
//! `cargo test --test boot -- [NAME...]` runs the named tests, all of them without names. Environment:
//!
//! - `IMGBUILD_BOOT_IMAGE`: the image (raw or qcow2).
//! - `IMGBUILD_BOOT_ROLE`: a role that is built first when no image is named. Without both nothing is booted, loudly.
//! - `IMGBUILD_BOOT_TOOLS`: an unpacked root with QEMU (see `lab::PACKAGES`) instead of `imgbuild machine-tools`.
//! - `IMGBUILD_BOOT_PACKAGES`: a folder with `.deb` files of another kernel, for the test `kernel`.
//! - `IMGBUILD_BOOT_VERIFY`: the test `secure` also runs `dpkg --verify`, `apt-get check`, and `debsums` where it is.
//! - `IMGBUILD_BOOT_TRUSTING`: an image that trusts the key of `-- --owner`, for the test `trust`.
//! - `IMGBUILD_BOOT_KEEP`: a folder in which consoles, reports and disks are kept.
//! - `IMGBUILD_BOOT_TIMEOUT`: seconds for one boot; 900 unless said otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

mod checks;
mod journal;
mod machine;
mod report;
mod seed;
mod seeds;
mod signed;
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = imgbuild::sandbox::dispatch(&[imgbuild::lab::JOB]) {
        return code;
    }
    let names: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--owner") {
        println!("{}", signed::key(signed::OWNER).public_key().to_openssh().unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in tests::ALL {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let lab = match machine::image() {
        Ok(Some(image)) => machine::Lab::new(image),
        Ok(None) => {
            println!("SKIP: boot tests: neither IMGBUILD_BOOT_IMAGE nor IMGBUILD_BOOT_ROLE names an image");
            return ExitCode::SUCCESS;
        }
        Err(error) => Err(error),
    };
    let lab = match lab {
        Ok(lab) => lab,
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    };
    let mut failed = 0;
    for (name, test) in tests::ALL {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        let began = std::time::Instant::now();
        let outcome = test(&lab);
        let seconds = began.elapsed().as_secs();
        match outcome {
            Ok(None) => println!("test {name} ... ok ({seconds} s)"),
            Ok(Some(reason)) => println!("SKIP: test {name}: {reason}"),
            Err(error) => {
                failed += 1;
                println!("test {name} ... FAILED ({seconds} s)\n{error:#}");
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
