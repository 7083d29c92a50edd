//! The guest executable's bytes do not depend on where, by whom or with which flags imgbuild itself is compiled.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::digest::Digest;
use imgbuild::base::process::Run;
use std::path::{Path, PathBuf};

/// Runs the build script as cargo would, for a checkout and a cargo home elsewhere.
fn build(script: &Path, checkout: &Path, home: &Path, out: &Path, hostile: &[(&str, &str)]) -> Digest {
    for folder in [checkout, home, out] {
        std::fs::create_dir_all(folder).unwrap();
    }
    Run::new("cp")
        .arg("-r")
        .args(["Cargo.toml", "Cargo.lock", "src"].map(|name| source().join(name)))
        .arg(node(checkout))
        .run()
        .unwrap();
    // What builder and guest share.
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/format/seed");
    std::fs::create_dir_all(checkout.join("src/format")).unwrap();
    Run::new("cp").arg("-r").args([shared, checkout.join("src/format")]).run().unwrap();
    std::os::unix::fs::symlink(cargo_home().join("registry"), home.join("registry")).unwrap();
    let mut run = Run::new(script)
        .env("CARGO_MANIFEST_DIR", checkout)
        .env("OUT_DIR", out)
        .env("CARGO_HOME", home)
        .env("CARGO_CFG_TARGET_ARCH", std::env::consts::ARCH)
        .env("CARGO", env!("CARGO"))
        .env("RUSTC", std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    for (name, value) in hostile {
        run = run.env(name, value);
    }
    run.run().unwrap();
    Digest::of(&std::fs::read(out.join("imgbuild-node")).unwrap())
}

fn node(checkout: &Path) -> PathBuf {
    let folder = checkout.join("node");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node")
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map_or_else(|| Path::new(&std::env::var("HOME").unwrap()).join(".cargo"), PathBuf::from)
}

#[test]
fn node_executable_built_elsewhere_has_the_same_bytes() {
    let work = tempfile::tempdir().unwrap();
    let script = work.path().join("build-script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    Run::new("rustc").args(["--edition", "2024", "-o"]).arg(&script).arg(source).run().unwrap();
    let at = |name: &str| work.path().join(name);
    let plain = build(&script, &at("a"), &at("home-a"), &at("out-a"), &[]);
    let hostile = [
        ("RUSTFLAGS", "-C target-cpu=native"),
        ("CARGO_ENCODED_RUSTFLAGS", "-Copt-level=0"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
        ("CARGO_BUILD_TARGET_DIR", "/nonexistent"),
        ("RUSTC_WORKSPACE_WRAPPER", "/nonexistent/clippy-driver"),
    ];
    let elsewhere = build(&script, &at("some/where/else"), &at("another home"), &at("o"), &hostile);
    assert_eq!(plain, elsewhere);
    assert_eq!(plain, Digest::of(imgbuild::rootfs::node::executable()));
}
