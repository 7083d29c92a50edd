//! The sandbox as it is used: workers and commands, as root and as an ordinary user.
//!
//! It has its own `main`, because a worker is this executable started again. The tests run inside workers, in roots
//! that borrow the host's /usr, once for each user that can be tried here.

use anyhow::Result;
use imgbuild::base::progress::Silent;
use imgbuild::sandbox::{Access, Command, Job, Worker};
use std::path::Path;
use std::process::ExitCode;

/// Jobs by name; each is a test that runs inside a worker and gets a folder to work in.
const JOBS: &[(&str, Job)] = &[("true", |request, _| in_root(request, command_that_succeeds_is_heard))];

fn main() -> ExitCode {
    if let Some(code) = imgbuild::sandbox::dispatch(JOBS) {
        return code;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, _) in JOBS {
        if let Err(error) = Worker::run(name, folder.path().to_str().unwrap().as_bytes(), &Silent) {
            println!("{name}: {error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn in_root(request: &[u8], test: fn(&Path) -> Result<()>) -> Result<Vec<u8>> {
    let root = Path::new(std::str::from_utf8(request)?).join("root");
    std::fs::create_dir_all(root.join("usr"))?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        let _ = std::os::unix::fs::symlink(Path::new("usr").join(name), root.join(name));
    }
    test(&root)?;
    Ok(Vec::new())
}

fn command(root: &Path, script: &str) -> Command {
    Command::new(root, "sh").args(["-c", script]).bind("/usr", "/usr", Access::ReadOnly)
}

fn command_that_succeeds_is_heard(root: &Path) -> Result<()> {
    let said = command(root, "echo $$").output()?.success()?;
    anyhow::ensure!(said == b"2\n", "{said:?}");
    Ok(())
}
