//! Commands: what they see, how they are fed, heard and reported.

use super::harness::{root, said, script};
use anyhow::{Context as _, Result, ensure};
use imgbuild::sandbox::{Access, Command, Status, Stdin, ToolRoot};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) fn has_a_root_of_its_own(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let listing = said(&script(&root, "echo /*; pwd; hostname; umask; id -u; id -g; id -G"))?;
    ensure!(
        listing == "/bin /dev /lib /lib64 /proc /run /sbin /sys /tmp /usr\n/\nlocalhost\n0022\n0\n0\n0",
        "saw {listing}"
    );
    let devices =
        said(&script(&root, "cd /dev; echo *; echo x >null; head -c 4 zero | od -An -tx1; echo y >/dev/stderr"))?;
    ensure!(
        devices == "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero\n 00 00 00 00",
        "saw {devices}"
    );
    let mut environment: Vec<String> = said(&script(&root, "env"))?.lines().map(str::to_owned).collect();
    environment.sort();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let expected = ["DEBIAN_FRONTEND=noninteractive", "HOME=/root", "LC_ALL=C.UTF-8", path, "PWD=/", "TZ=UTC"];
    ensure!(environment == expected, "saw {environment:?}");
    // What was mounted left nothing but empty folders.
    for name in ["dev", "proc", "run", "sys", "tmp"] {
        ensure!(std::fs::read_dir(root.join(name))?.next().is_none(), "{name} is not empty");
    }
    Ok(())
}

pub(crate) fn is_reported_exactly(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    ensure!(script(&root, "exit 0").output()?.status == Status::Exited(0));
    ensure!(script(&root, "exit 42").output()?.status == Status::Exited(42));
    ensure!(script(&root, "kill -9 $$").output()?.status == Status::Signalled(9));
    let output = script(&root, "echo out; echo err >&2").output()?;
    ensure!(output.stdout == b"out\n" && output.stderr == b"err\n", "heard {output:?}");
    let mut lines = Vec::new();
    let error = Command::new(&root, "sh")
        .args(["-c", "echo one; echo two >&2; exit 3"])
        .bind("/usr", "/usr", Access::ReadOnly)
        .run(|line| lines.push(line.to_owned()))
        .unwrap_err();
    ensure!(lines == ["one", "two"], "heard {lines:?}");
    let expected = "`sh -c echo one; echo two >&2; exit 3` failed (exit status 3): one\ntwo";
    ensure!(format!("{error:#}") == expected, "{error:#}");
    Ok(())
}

pub(crate) fn is_fed(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    ensure!(said(&script(&root, "wc -c"))? == "0");
    let bytes = vec![b'x'; 3_000_000];
    ensure!(said(&script(&root, "wc -c").stdin(Stdin::Bytes(bytes.clone())))? == "3000000");
    // Who does not read does not block.
    ensure!(said(&script(&root, "echo done").stdin(Stdin::Bytes(bytes.clone())))? == "done");
    let mut child = script(&root, "wc -c").stdin(Stdin::Pipe).spawn()?;
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(&bytes)?;
    pipe.write_all(&bytes)?;
    drop(pipe);
    ensure!(child.wait()?.success()? == b"6000000\n");
    let mut child = script(&root, "exit 1").stdin(Stdin::Pipe).spawn()?;
    let mut pipe = child.stdin.take().unwrap();
    let error = (0..100).find_map(|_| pipe.write_all(&bytes).err()).expect("the reader is gone");
    ensure!(error.kind() == std::io::ErrorKind::BrokenPipe, "{error}");
    ensure!(child.wait()?.status == Status::Exited(1));
    Ok(())
}

pub(crate) fn is_heard_within_limits(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let output = script(&root, "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2").output()?;
    ensure!((output.stdout.len(), output.stderr.len()) == (3_000_000, 3_000_000));
    let error = script(&root, "head -c 70000000 /dev/zero").output().unwrap_err();
    ensure!(format!("{error:#}").ends_with("had said more than the 67108864 bytes allowed"), "{error:#}");
    let mut longest = 0;
    script(&root, "head -c 1000000 /dev/zero | tr '\\0' x").run(|line| longest = longest.max(line.len()))?;
    ensure!(longest == 16 << 10, "a line of {longest} bytes");
    Ok(())
}

pub(crate) fn leaves_no_processes(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    ensure!(said(&script(&root, "echo $$"))? == "2", "pid 1 is not init");
    let seen = said(&script(&root, "cd /proc; echo [0-9]*"))?;
    ensure!(seen == "1 2", "saw processes {seen}");
    let begun = Instant::now();
    // A daemon that keeps the output open holds nobody up.
    ensure!(said(&script(&root, "setsid sleep 1000 & echo started"))? == "started");
    ensure!(begun.elapsed() < Duration::from_secs(60));
    ensure!(!running("sleep\u{0}1000")?, "the daemon still runs");
    // Orphans are reaped: none stays as a zombie while the command runs.
    let zombies = said(&script(
        &root,
        "for i in 1 2 3; do (true & ) ; done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l",
    ))?;
    ensure!(zombies == "0", "{zombies} zombies");
    Ok(())
}

pub(crate) fn dropped_ends(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let child = script(&root, "sleep 1001").spawn()?;
    while !running("sleep\u{0}1001")? {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(child);
    ensure!(!running("sleep\u{0}1001")?, "it still runs");
    Ok(())
}

/// Whether this worker has a process with this command line.
pub(crate) fn running(line: &str) -> Result<bool> {
    for item in std::fs::read_dir("/proc")? {
        let found = std::fs::read(item?.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&found).starts_with(line) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn sees_what_is_shown(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let shared = folder.join("shared");
    std::fs::create_dir(&shared)?;
    std::fs::write(shared.join("file"), "text")?;
    let shown = script(&root, "cat /run/in/file /run/file; echo new >/run/in/new")
        .bind(&shared, "/run/in", Access::ReadWrite)
        .bind(shared.join("file"), "/run/file", Access::ReadOnly);
    ensure!(said(&shown)? == "texttext");
    ensure!(std::fs::read_to_string(shared.join("new"))? == "new\n");
    let writing = script(&root, "echo >/run/in/file").bind(&shared, "/run/in", Access::ReadOnly).output()?;
    ensure!(String::from_utf8_lossy(&writing.stderr).contains("Read-only file system"), "{writing:?}");
    let missing = script(&root, "true").bind("/does/not/exist", "/run/x", Access::ReadOnly).output().unwrap_err();
    ensure!(format!("{missing:#}").contains("opening /does/not/exist: No such file"), "{missing:#}");
    ensure!(said(&script(&root, "pwd; echo $A $LC_ALL").cwd("/usr").env("A", "b").env("LC_ALL", "C"))? == "/usr\nb C");
    Ok(())
}

pub(crate) fn tools_root_is_read_only(folder: &Path) -> Result<()> {
    let tools = ToolRoot { root: root(folder)? };
    let command = |text: &str| tools.command("sh").args(["-c", text]).bind("/usr", "/usr", Access::ReadOnly);
    let output = command("touch /x; touch /usr/x; touch /tmp/x && echo written").output()?;
    ensure!(output.stdout == b"written\n", "{output:?}");
    ensure!(String::from_utf8_lossy(&output.stderr).matches("Read-only file system").count() == 2, "{output:?}");
    Ok(())
}

pub(crate) fn has_no_network(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let names = "sed -n 's/^ *\\([^ ]*\\):.*/\\1/p' /proc/net/dev";
    ensure!(said(&script(&root, names))? == "lo");
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    let theirs = |granted| said(&script(&root, "readlink /proc/self/ns/net").network(granted));
    ensure!(theirs(false)? != ours.to_string_lossy());
    ensure!(theirs(true)? == ours.to_string_lossy());
    Ok(())
}

pub(crate) fn missing_is_an_error(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let error = Command::new(&root, "no-such-program").output().unwrap_err();
    let expected = "running `no-such-program`: starting no-such-program: No such file or directory (os error 2)";
    ensure!(format!("{error:#}") == expected, "{error:#}");
    let error = Command::new(&folder.join("nowhere"), "true").output().unwrap_err();
    ensure!(format!("{error:#}").contains("nowhere: mounting it on itself: No such file"), "{error:#}");
    Ok(())
}

pub(crate) fn interact_is_reported(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let command = script(&root, "cat >/dev/null; exit 3").stdin(Stdin::Inherit);
    ensure!(command.interact()? == Status::Exited(3));
    let error = command.output().err().context("a captured command got the terminal")?;
    ensure!(format!("{error:#}").ends_with("can only have the terminal when it is run with it"), "{error:#}");
    Ok(())
}

pub(crate) fn side_by_side(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let root = &root;
                scope.spawn(move || -> Result<()> {
                    for round in 0..10 {
                        let text = format!("echo {thread} {round} >/tmp/own; cat; cat /tmp/*");
                        let heard = said(&script(root, &text).stdin(Stdin::Bytes(b"in ".to_vec())))?;
                        ensure!(heard == format!("in {thread} {round}"), "heard {heard}");
                    }
                    Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap())
    })
}

pub(crate) fn costs_milliseconds(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    let command = Command::new(&root, "true").bind("/usr", "/usr", Access::ReadOnly);
    command.output()?.success()?;
    let mut times = Vec::new();
    for _ in 0..51 {
        let begun = Instant::now();
        command.output()?.success()?;
        times.push(begun.elapsed());
    }
    times.sort();
    println!("    one sandboxed `true`: median {:.2?}, fastest {:.2?}", times[25], times[0]);
    // Far above what it takes, and far below what would hurt.
    ensure!(times[0] < Duration::from_millis(50), "{:?}", times[0]);
    Ok(())
}
