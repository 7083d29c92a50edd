//! Boots built images in QEMU, asks them how they are and checks the answers.
//!
//! `cargo test --test boot -- [NAME...]` runs the named tests, all of them without names. Environment:
//!
//! - `IMGBUILD_BOOT_IMAGE`: the image (raw or qcow2). Without it nothing is booted, and that is said loudly.
//! - `IMGBUILD_BOOT_TOOLS`: an unpacked root with QEMU (see `lab::PACKAGES`), for hosts whose own is missing or old.
//! - `IMGBUILD_BOOT_PACKAGES`: a folder with `.deb` files of another kernel, for the test `kernel`.
//! - `IMGBUILD_BOOT_KEEP`: a folder in which consoles, reports and disks are kept.
//! - `IMGBUILD_BOOT_TIMEOUT`: seconds for one boot; 900 unless said otherwise.

mod checks;
mod machine;
mod report;
mod seed;
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = imgbuild::sandbox::dispatch(&[imgbuild::lab::JOB]) {
        return code;
    }
    let names: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if std::env::args().any(|word| word == "--list") {
        for (name, _) in tests::ALL {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let Some(image) = std::env::var_os("IMGBUILD_BOOT_IMAGE") else {
        println!("SKIP: boot tests: IMGBUILD_BOOT_IMAGE names no image");
        return ExitCode::SUCCESS;
    };
    let lab = match machine::Lab::new(image.into()) {
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
