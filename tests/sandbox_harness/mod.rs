//! Runs cases inside workers and beside them: as root, as an ordinary user with subordinate ids, or as whoever runs this.
//!
//! Such tests have a `main` of their own, because a worker is their executable started again.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    dead_code,
    reason = "shared by test programs"
)]

use anyhow::{Context as _, Result, ensure};
use imgbuild::base::process::Run;
use imgbuild::base::progress::{Progress, Silent};
use imgbuild::sandbox::{Access, Command, Worker};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a case does with a folder of its own.
pub(crate) type Test = fn(&Path) -> Result<()>;

/// One test.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Runs in the process that starts workers.
    pub(crate) outside: Option<Test>,
    /// Runs in a worker, after `outside`.
    pub(crate) inside: Option<Test>,
}

/// A case that runs in a worker.
pub(crate) const fn inside(name: &'static str, test: Test) -> Case {
    Case { name, outside: None, inside: Some(test) }
}

/// A case that runs in the process that starts workers.
pub(crate) const fn outside(name: &'static str, test: Test) -> Case {
    Case { name, outside: Some(test), inside: None }
}

/// The worker's job that performs cases: `name\nfolder`.
pub(crate) fn perform(cases: &[Case], request: &[u8]) -> Result<Vec<u8>> {
    let (name, folder) = std::str::from_utf8(request)?.split_once('\n').context("no case")?;
    let case = cases.iter().find(|case| case.name == name).context("unknown case")?;
    case.inside.context("not for a worker")?(Path::new(folder))?;
    Ok(Vec::new())
}

/// Cases whose names begin so only run when asked for by name: they take long and assert little.
const ON_DEMAND: &str = "measure";

/// Runs the cases whose names contain the first plain argument. With `--here`, as this user only.
pub(crate) fn main(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    let here = arguments.iter().any(|argument| argument == "--here");
    if !rustix::process::geteuid().is_root()
        && let Err(error) = Worker::run("clean", b"/nonexistent", &Silent)
        && !format!("{error:#}").contains("No such file")
    {
        skip(&format!("workers of an ordinary user: {error:#}"));
        return ExitCode::SUCCESS;
    }
    let mut failed = run(cases, &filter);
    if !here && rustix::process::geteuid().is_root() {
        match OrdinaryUser::new(true) {
            Ok(user) => {
                let said = user.run(&["--here", &filter]);
                print!("{}", String::from_utf8_lossy(&said.stdout));
                eprint!("{}", String::from_utf8_lossy(&said.stderr));
                failed += usize::from(!said.status.success());
            }
            Err(error) => skip(&format!("as an ordinary user: {error:#}")),
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says loudly that something cannot run here, unless root already ran it.
pub(crate) fn skip(what: &str) {
    if !std::env::args().any(|argument| argument == "--here") {
        println!("SKIPPED {what}");
    }
}

fn run(cases: &[Case], filter: &str) -> usize {
    let who = if rustix::process::geteuid().is_root() { "root" } else { "ordinary user" };
    let (mut passed, mut failed) = (0, 0);
    let wanted = |case: &&Case| case.name.contains(filter) && (!filter.is_empty() || !case.name.starts_with(ON_DEMAND));
    for case in cases.iter().filter(wanted) {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let result = (|| {
            case.outside.map_or(Ok(()), |test| test(folder.path()))?;
            case.inside.map_or(Ok(()), |_| in_worker(case.name, folder.path()))
        })();
        // Only a worker may remove what belongs to other ids.
        let cleaned = Worker::run("clean", folder.path().to_str().unwrap().as_bytes(), &Silent);
        match result.and(cleaned.map(drop)) {
            Ok(()) => {
                passed += 1;
                println!("test {} as {who} ... ok", case.name);
            }
            Err(error) => {
                failed += 1;
                println!("test {} as {who} ... FAILED\n    {error:#}", case.name);
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; as {who}");
    failed
}

/// Runs the worker's part of a case.
pub(crate) fn in_worker(name: &str, folder: &Path) -> Result<()> {
    let request = format!("{name}\n{}", folder.display());
    Worker::run("case", request.as_bytes(), &Silent).map(drop)
}

/// The worker's job that empties a folder.
pub(crate) fn clean(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    for item in std::fs::read_dir(std::str::from_utf8(request)?)? {
        let path = item?.path();
        if path.is_dir() && !path.is_symlink() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }?;
    }
    Ok(Vec::new())
}

/// An account made for the tests, gone when dropped.
pub(crate) struct OrdinaryUser {
    name: String,
    folder: tempfile::TempDir,
}

impl OrdinaryUser {
    /// Makes the account, with or without subordinate ids, and a copy of this executable that it may run.
    pub(crate) fn new(subordinate_ids: bool) -> Result<Self> {
        let name = format!("imgbuild-{}-{}", if subordinate_ids { "sub" } else { "none" }, std::process::id());
        let folder = tempfile::tempdir_in("/var/tmp")?;
        let kind = if subordinate_ids { "--no-create-home" } else { "--system" };
        Run::new("useradd").args([kind, "--home-dir", "/nonexistent", "--shell", "/bin/sh", &name]).run()?;
        let user = Self { name, folder };
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(user.folder.path(), open)?;
        std::fs::copy(std::env::current_exe()?, user.executable())?;
        if subordinate_ids {
            let granted = std::fs::read_to_string("/etc/subuid")?.contains(&user.name);
            ensure!(granted, "useradd granted no subordinate ids");
        }
        Ok(user)
    }

    fn executable(&self) -> PathBuf {
        self.folder.path().join("test")
    }

    /// Its account.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `imgbuild` as that user, in an empty folder of its own.
    pub(crate) fn imgbuild<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Result<std::process::Output> {
        let program = self.folder.path().join("imgbuild");
        std::fs::copy(env!("CARGO_BIN_EXE_imgbuild"), &program)?;
        let home = tempfile::tempdir_in(self.folder.path())?;
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
        self.as_user()
            .arg("env")
            .arg(format!("HOME={}", home.path().display()))
            .arg(program)
            .args(["-C"])
            .arg(home.path())
            .args(arguments)
            .output()
    }

    fn as_user(&self) -> Run {
        Run::new("setpriv").args(["--reuid", &self.name, "--regid", &self.name, "--init-groups", "--reset-env", "--"])
    }

    /// Runs this executable as that user.
    pub(crate) fn run(&self, arguments: &[&str]) -> std::process::Output {
        let program = self.executable();
        self.as_user().arg(program).args(arguments).output().unwrap()
    }
}

impl Drop for OrdinaryUser {
    fn drop(&mut self) {
        let _ = Run::new("userdel").arg(&self.name).run();
    }
}

/// A root that borrows the host's /usr: every tool, nothing else of the host.
pub(crate) fn root(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("usr"))?;
    for name in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(Path::new("usr").join(name), root.join(name))?;
    }
    Ok(root)
}

/// A shell script in such a root.
pub(crate) fn script(root: &Path, text: &str) -> Command {
    Command::new(root, "sh").args(["-c", text]).bind("/usr", "/usr", Access::ReadOnly)
}

/// What a script says, which must succeed.
pub(crate) fn said(command: &Command) -> Result<String> {
    Ok(String::from_utf8(command.output()?.success()?)?.trim_end().to_owned())
}
