//! Workers: ids, errors, progress, and how they end.

use super::harness::{OrdinaryUser, root, said, script, skip};
use anyhow::{Context as _, Result, bail, ensure};
use imgbuild::base::hint::{Remedy as _, hinted, hints};
use imgbuild::base::process::Run;
use imgbuild::base::progress::{Event, Progress, Silent, Unit};
use imgbuild::sandbox::Worker;
use rustix::process::{Pid, Signal};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) fn ids_are_all_there(folder: &Path) -> Result<()> {
    let root = root(folder)?;
    std::fs::create_dir(root.join("d"))?;
    let given = said(&script(
        &root,
        "set -e; for id in 0 1 100 999 1000 65534 65535; do touch /d/$id; chown $id:$id /d/$id; chmod 6755 /d/$id; done; \
         cd /d; stat -c '%u %g %a' 0 1 100 999 1000 65534 65535; setpriv --reuid 33 --regid 33 --clear-groups id -u",
    ))?;
    let expected: Vec<String> = [0, 1, 100, 999, 1000, 65_534, 65_535].map(|id| format!("{id} {id} 6755")).into();
    ensure!(given == format!("{}\n33", expected.join("\n")), "{given}");
    // This worker sees the same ids as the command.
    ensure!(std::fs::metadata(root.join("d/999"))?.uid() == 999);
    Ok(())
}

pub(crate) fn says_why(_: &Path) -> Result<()> {
    let error = Worker::run("fail", b"x", &Silent).unwrap_err();
    ensure!(format!("{error:#}") == "doing x: no room", "{error:#}");
    ensure!(hints(&error) == ["outer", "inner"], "{:?}", hints(&error));
    let error = Worker::run("panic", b"", &Silent).unwrap_err();
    ensure!(format!("{error:#}") == "a defect of imgbuild ended the job: told so", "{error:#}");
    let error = Worker::run("nonsense", b"", &Silent).unwrap_err();
    ensure!(format!("{error:#}") == "no job `nonsense`", "{error:#}");
    Ok(())
}

pub(crate) fn fail_job(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let text = String::from_utf8_lossy(request).into_owned();
    Err::<(), _>(hinted("no room", "inner")).context(format!("doing {text}")).hint("outer")?;
    Ok(Vec::new())
}

pub(crate) fn panic_job(_: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    std::panic::set_hook(Box::new(|_| {}));
    panic!("told so")
}

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Progress for Heard {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

pub(crate) fn reports_in_order(_: &Path) -> Result<()> {
    let heard = Heard::default();
    let request = vec![b'r'; 5 << 20];
    let reply = Worker::run("report", &request, &heard)?;
    ensure!(reply == request, "the reply is not the request");
    let events = heard.0.into_inner()?;
    ensure!(events.len() == 1002, "{} events", events.len());
    ensure!(events[0] == Event::Begin { phase: "count".into(), total: 1000, unit: Unit::Items });
    let counted = events[1..1001].iter().enumerate().all(|(number, event)| {
        *event == Event::Advance { phase: "count".into(), by: 1, item: Some(number.to_string()) }
    });
    ensure!(counted, "out of order");
    Ok(())
}

pub(crate) fn report_job(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let phase = progress.phase("count", 1000, Unit::Items);
    for number in 0..1000 {
        phase.item(1, number.to_string());
    }
    Ok(request.to_vec())
}

pub(crate) fn single_id(folder: &Path) -> Result<()> {
    Worker::run_single("single", folder.to_str().unwrap().as_bytes(), &Silent).map(drop)
}

pub(crate) fn single_job(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let root = root(Path::new(std::str::from_utf8(request)?))?;
    let owner = said(&script(&root, "id -u; touch /tmp/x; stat -c %u /tmp/x; chown 1 /tmp/x || echo no"))?;
    ensure!(owner == "0\n0\nno", "{owner}");
    Ok(Vec::new())
}

/// Without a request: the part of a process that a case started, which is killed later.
pub(crate) fn main_for_children() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next()?.as_str() {
        "--hang" => {
            let folder = arguments.next().unwrap_or_default();
            let _ = Worker::run("hang", folder.as_bytes(), &Silent);
        }
        "--talk" => talk(&arguments.next().unwrap_or_default()),
        "--refuse" => match Worker::run("report", b"", &Silent) {
            Ok(_) => println!("accepted"),
            Err(error) => println!("{error:#}\n{}", hints(&error).join("\n")),
        },
        "--refuse-single" => match Worker::run_single("report", b"", &Silent) {
            Ok(_) => println!("accepted"),
            Err(error) => println!("{error:#}\n{}", hints(&error).join("\n")),
        },
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

pub(crate) fn hang_job(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let folder = Path::new(std::str::from_utf8(request)?);
    let root = root(folder)?;
    let token = folder.file_name().unwrap().to_string_lossy();
    let text = format!(
        "perl -e 'setpgrp; $SIG{{TERM}} = $SIG{{INT}} = \"IGNORE\"; sleep 1000' {token} & perl -e 'sleep 1000' {token}"
    );
    script(&root, &text).output()?;
    bail!("it ended")
}

/// For how long it talks: much longer than a signal may take.
const TALK: Duration = Duration::from_secs(60);

/// Says something all the time: nobody who waits for a pause comes to anything.
pub(crate) fn talk_job(_: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let begun = Instant::now();
    let phase = progress.phase("talk", 1 << 40, Unit::Items);
    while begun.elapsed() < TALK {
        phase.item(1, "and another thing");
    }
    Ok(Vec::new())
}

/// Notes that the first word was heard.
struct Listener<'a>(&'a Path);

impl Progress for Listener<'_> {
    fn event(&self, _: Event) {
        if !self.0.exists() {
            std::fs::write(self.0, "").unwrap();
        }
    }
}

/// The builder of a worker that talks: notes how that ended.
fn talk(folder: &str) {
    let folder = Path::new(folder);
    imgbuild::base::interrupt::listen(|_| ()).unwrap();
    let outcome = Worker::run("talk", b"", &Listener(&folder.join("heard")));
    std::fs::write(folder.join("end"), outcome.map_or_else(|error| format!("{error:#}"), |_| "done".to_owned()))
        .unwrap();
    std::fs::rename(folder.join("end"), folder.join("ended")).unwrap();
}

pub(crate) fn talking_is_interrupted(folder: &Path) -> Result<()> {
    let start = "perl -e '$SIG{INT} = \"DEFAULT\"; exec @ARGV' \"$0\" --talk \"$1\" >/dev/null 2>&1 & echo $!";
    let started = Run::new("sh").args(["-c", start]).arg(std::env::current_exe()?).arg(folder).run()?;
    let builder = Pid::from_raw(String::from_utf8(started)?.trim().parse()?).context("no process")?;
    let waited = |name: &str, longest: u64| -> Result<()> {
        let begun = Instant::now();
        while !folder.join(name).exists() {
            ensure!(begun.elapsed() < Duration::from_secs(longest), "nothing {name} within {longest} seconds");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    };
    waited("heard", 60)?;
    rustix::process::kill_process(builder, Signal::INT)?;
    let ended = waited("ended", 30);
    // One that does not end would be there for ever.
    let _ = ended.is_err().then(|| rustix::process::kill_process(builder, Signal::KILL));
    ended?;
    let said = std::fs::read_to_string(folder.join("ended"))?;
    ensure!(said == "interrupted by SIGINT", "{said}");
    Ok(())
}

pub(crate) fn leaves_nothing(folder: &Path) -> Result<()> {
    for (number, signal) in [Signal::KILL, Signal::TERM, Signal::INT].into_iter().enumerate() {
        let folder = folder.join(format!("case-{number}-{}", std::process::id()));
        std::fs::create_dir(&folder)?;
        let token = folder.file_name().unwrap().to_string_lossy().into_owned();
        // A shell starts background processes with SIGINT ignored: the interpreter between takes that back.
        let start = "perl -e '$SIG{INT} = \"DEFAULT\"; exec @ARGV' \"$0\" --hang \"$1\" >/dev/null 2>&1 & echo $!";
        let started = Run::new("sh").args(["-c", start]).arg(std::env::current_exe()?).arg(&folder).run()?;
        let builder: i32 = String::from_utf8(started)?.trim().parse()?;
        let begun = Instant::now();
        while processes(&token)?.len() < 4 {
            ensure!(begun.elapsed() < Duration::from_secs(60), "only {:?} started", processes(&token)?);
            std::thread::sleep(Duration::from_millis(10));
        }
        rustix::process::kill_process(Pid::from_raw(builder).context("no process")?, signal)?;
        let begun = Instant::now();
        while !processes(&token)?.is_empty() {
            ensure!(begun.elapsed() < Duration::from_secs(10), "{signal:?} left {:?}", processes(&token)?);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

pub(crate) fn killed_is_reported(folder: &Path) -> Result<()> {
    let request = folder.to_str().unwrap().to_owned();
    let worker = std::thread::spawn(move || Worker::run("hang", request.as_bytes(), &Silent));
    let token = folder.file_name().unwrap().to_string_lossy();
    let begun = Instant::now();
    while processes(&token)?.len() < 3 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "it did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    let gate = child_of(std::process::id())?.context("no gate")?;
    let pid = child_of(gate)?.and_then(|pid| Pid::from_raw(pid.cast_signed())).context("no worker")?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    let error = worker.join().unwrap().unwrap_err();
    ensure!(format!("{error:#}") == "the sandbox was ended by signal 9", "{error:#}");
    ensure!(hints(&error).len() == 1 && processes(&token)?.is_empty());
    Ok(())
}

/// A process that this one started.
fn child_of(parent: u32) -> Result<Option<u32>> {
    for item in std::fs::read_dir("/proc")? {
        let text = std::fs::read_to_string(item?.path().join("stat")).unwrap_or_default();
        // The name, in parentheses, may hold anything.
        let Some((before, after)) = text.rsplit_once(')') else { continue };
        if after.split_ascii_whitespace().nth(1) == Some(&parent.to_string()) {
            return Ok(before.split(' ').next().and_then(|pid| pid.parse().ok()));
        }
    }
    Ok(None)
}

/// Command lines with this word in them.
fn processes(token: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for item in std::fs::read_dir("/proc")? {
        let line = std::fs::read(item?.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(token) {
            found.push(line);
        }
    }
    Ok(found)
}

pub(crate) fn without_subordinate_ids(_: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        skip("an account without subordinate ids: only root can make one");
        return Ok(());
    }
    let user = OrdinaryUser::new(false)?;
    let heard = String::from_utf8(user.run(&["--refuse"]).stdout)?;
    let (sentence, hint) = heard.trim_end().split_once('\n').context("no hint")?;
    let name = user.name();
    let expected = format!("{name} has 0 subordinate uids in /etc/subuid, and a root filesystem needs 65536");
    ensure!(sentence == expected, "{heard}");
    let (before, after) = ("grant them: `sudo usermod --add-subuids ", format!(" {name}` (or build as root)"));
    let range = hint.strip_prefix(before).and_then(|rest| rest.strip_suffix(&after)).context("another hint")?;
    let (first, last) = range.split_once('-').context("no range")?;
    ensure!(last.parse::<u64>()? - first.parse::<u64>()? == 65_535, "{heard}");
    refused_before_fetching(&user, sentence, hint)
}

/// The commands that need a sandbox say so in the same words as `doctor`, and ask no mirror for anything first.
fn refused_before_fetching(user: &OrdinaryUser, sentence: &str, hint: &str) -> Result<()> {
    let mirror = std::net::TcpListener::bind("127.0.0.1:0")?;
    mirror.set_nonblocking(true)?;
    let url = format!("http://{}/debian", mirror.local_addr()?);
    let given = ["--repository", &format!("debian={url}"), "--repository", &format!("debian-security={url}-security")];
    let asked = || mirror.accept().is_ok();
    let expected = format!("error: {sentence}\nhint: {hint}\n");
    for command in [["role", "base"], ["shell", "base"]] {
        let output = user.imgbuild(command.into_iter().chain(given))?;
        let heard = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1) && heard == expected, "{command:?}: {heard}");
        ensure!(!asked(), "{command:?} asked the mirror first");
    }
    // The twin: who looks at the mirror on purpose is seen doing so.
    let output = user.imgbuild(["doctor"].into_iter().chain(given))?;
    let heard = String::from_utf8(output.stdout)?;
    ensure!(output.status.code() == Some(1), "{heard}");
    ensure!(heard.contains(&format!("FAILED   subordinate ids       {sentence}\n")), "{heard}");
    ensure!(heard.contains(&format!("-> {hint}\n")), "{heard}");
    ensure!(asked(), "doctor did not ask the mirror");
    Ok(())
}

pub(crate) fn without_namespaces(_: &Path) -> Result<()> {
    // A worker forbids further user namespaces below it: there the refusal can be seen.
    let heard = String::from_utf8(Worker::run("nested", b"", &Silent)?)?;
    let expected = "this kernel allows no user namespaces: entering new namespaces: No space left on device (os error 28)\n\
                    `sudo sysctl -w user.max_user_namespaces=15000` allows it";
    ensure!(heard == expected, "{heard}");
    Ok(())
}

pub(crate) fn in_a_chroot(folder: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        skip("in a chroot: only root can enter one");
        return Ok(());
    }
    std::fs::copy(std::env::current_exe()?, folder.join("test"))?;
    for name in ["usr", "proc"] {
        std::fs::create_dir(folder.join(name))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        std::os::unix::fs::symlink(Path::new("usr").join(name), folder.join(name))?;
    }
    let enter = "mount --bind /usr \"$1/usr\" && mount -t proc proc \"$1/proc\" && exec chroot \"$1\" /test --refuse";
    let heard = Run::new("unshare").args(["--mount", "sh", "-c", enter, "sh"]).arg(folder).run()?;
    let heard = String::from_utf8(heard)?;
    let expected = "this process runs in a chroot, where the kernel allows no user namespaces: entering new namespaces: \
                    Operation not permitted (os error 1)\n\
                    build outside of it, or enter it with `sudo systemd-nspawn --directory=DIR`, which is no chroot\n";
    ensure!(heard == expected, "{heard}");
    Ok(())
}

/// As in a container: a filter (our own, of a command) that refuses namespaces, and a kernel that allows them.
pub(crate) fn under_a_filter(folder: &Path) -> Result<()> {
    let request = folder.to_str().context("no name")?;
    let heard = String::from_utf8(Worker::run_single("filtered", request.as_bytes(), &Silent)?)?;
    let expected = "this environment allows no user namespaces: entering new namespaces: Operation not permitted \
                    (os error 1)\n\
                    a chroot and many containers forbid them: build outside, or in a container started with \
                    `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`";
    ensure!(heard == expected, "{heard}");
    Ok(())
}

pub(crate) fn filtered_job(request: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let root = root(Path::new(std::str::from_utf8(request)?))?;
    // Allowed again by whoever is root here: now the filter alone is in the way.
    std::fs::write("/proc/sys/user/max_user_namespaces", "100").context("allowing namespaces")?;
    let command = script(&root, "exec /run/test --refuse-single");
    let command = command.bind(std::env::current_exe()?, "/run/test", imgbuild::sandbox::Access::ReadOnly);
    Ok(said(&command)?.into_bytes())
}

pub(crate) fn nested_job(_: &[u8], _: &dyn Progress) -> Result<Vec<u8>> {
    let error = Worker::run_single("report", b"", &Silent).unwrap_err();
    Ok(format!("{error:#}\n{}", hints(&error).join("\n")).into_bytes())
}
