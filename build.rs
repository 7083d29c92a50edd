//! Compiles the guest executable of `node/` and leaves it where `include_bytes!` finds it.
//!
//! Its bytes go into every image, so they must depend on nothing but `node/` and the toolchain: not on the checkout's
//! path, not on the builder's home, not on flags or wrappers that the outer cargo was given (clippy's, for example).

use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Set for the build script when it runs as the nested cargo's compiler wrapper: what to remap, `from=to`.
const WRAPPER: &str = "IMGBUILD_NODE_REMAP";
/// Environment of the outer cargo that the nested one may see: where things are and how the network is reached.
const PASSED: [&str; 19] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TMPDIR",
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "MAKEFLAGS",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];
/// The same by prefix: registries, their credentials and mirrors.
const PASSED_PREFIXES: [&str; 5] =
    ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(remap) = env::var_os(WRAPPER) {
        return wrap(&remap);
    }
    println!("cargo::rerun-if-changed=build.rs");
    for path in ["Cargo.toml", "Cargo.lock", "src"] {
        println!("cargo::rerun-if-changed=node/{path}");
    }
    // Values that builder and guest share; the guest compiles the same files.
    println!("cargo::rerun-if-changed=src/format/seed");
    let manifest = PathBuf::from(required("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(required("OUT_DIR")?);
    let target = format!("{}-unknown-linux-gnu", required("CARGO_CFG_TARGET_ARCH")?.to_string_lossy());
    let built = compile(&manifest.join("node"), &out.join("node-target"), &target)?;
    let bytes = fs::read(&built).map_err(|error| format!("reading {}: {error}", built.display()))?;
    check_static(&bytes).map_err(|reason| format!("imgbuild-node {reason}"))?;
    fs::write(out.join("imgbuild-node"), bytes)?;
    Ok(())
}

fn required(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"))
}

/// Runs the nested cargo and gives the path of the executable.
fn compile(node: &Path, target_folder: &Path, target: &str) -> Result<PathBuf, Box<dyn Error>> {
    let cargo = required("CARGO")?;
    let mut command = nested(&cargo);
    command.arg("build").args(["--release", "--locked", "--target", target]);
    command.arg("--manifest-path").arg(node.join("Cargo.toml")).arg("--target-dir").arg(target_folder);
    // A person's own linker settings would change the bytes.
    command.arg("--config").arg(format!("target.{target}.linker=\"cc\""));
    let flags = ["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,--build-id=none"];
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    // Remapping is done by a wrapper, since cargo mixes all flags that it knows of into symbol names.
    command.env("RUSTC_WRAPPER", env::current_exe()?).env("RUSTC_WORKSPACE_WRAPPER", "");
    command.env(WRAPPER, remaps(node, target_folder)?);
    let status = command.current_dir(node).status().map_err(|error| format!("starting cargo for node/: {error}"))?;
    if !status.success() {
        return Err(format!("compiling node/ failed ({status})").into());
    }
    Ok(target_folder.join(target).join("release/imgbuild-node"))
}

/// A command with the part of the environment that may matter.
#[allow(clippy::disallowed_methods, reason = "a build script is a program of its own")]
fn nested(program: &OsString) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    for (name, value) in env::vars_os() {
        let text = name.to_string_lossy();
        if PASSED.contains(&text.as_ref()) || PASSED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env(&name, value);
        }
    }
    if let Some(compiler) = env::var_os("RUSTC") {
        command.env("RUSTC", compiler);
    }
    command
}

/// Which paths of this machine become which names, one pair a line.
fn remaps(node: &Path, target_folder: &Path) -> Result<OsString, Box<dyn Error>> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let mut pairs = vec![(node.to_owned(), "node"), (target_folder.to_owned(), "target")];
    if let Some(home) = home {
        // The registry's folder carries a digest of its address, which a mirror changes.
        let sources = home.join("registry/src");
        for registry in fs::read_dir(&sources).into_iter().flatten().flatten() {
            pairs.push((registry.path(), "registry"));
        }
        pairs.push((home, "cargo"));
    }
    let compiler = required("RUSTC")?;
    let output = nested(&compiler).args(["--print", "sysroot"]).output()?;
    pairs.push((PathBuf::from(String::from_utf8(output.stdout)?.trim()), "rust"));
    let mut text = OsString::new();
    for (from, to) in pairs {
        text.push(from);
        text.push(format!("=/imgbuild/{to}\n"));
    }
    Ok(text)
}

/// Stands between the nested cargo and the compiler and adds the remappings.
#[allow(clippy::disallowed_methods, reason = "a build script is a program of its own")]
fn wrap(remap: &OsString) -> Result<(), Box<dyn Error>> {
    let mut words = env::args_os().skip(1);
    let compiler = words.next().ok_or("no compiler to wrap")?;
    let mut command = Command::new(compiler);
    command.args(words);
    // The compiler takes the last prefix that matches: the more particular ones come first in the list.
    for pair in remap.to_string_lossy().lines().rev() {
        command.arg(format!("--remap-path-prefix={pair}"));
    }
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// Refuses an executable that needs a dynamic linker: the guest may have another C library.
fn check_static(bytes: &[u8]) -> Result<(), String> {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(length)?)?;
        Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let broken = || "is no 64-bit little-endian ELF file".to_owned();
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01".as_slice()) {
        return Err(broken());
    }
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let (Some(table), Some(size), Some(count)) = (table, size, count) else { return Err(broken()) };
    for index in 0..count {
        let at = usize::try_from(table + index * size).map_err(|_| broken())?;
        if number(at, 4).ok_or_else(broken)? == u64::from(INTERPRETER) {
            return Err("needs a dynamic linker: install the C library's static archive (libc6-dev)".to_owned());
        }
    }
    Ok(())
}
