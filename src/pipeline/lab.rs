//! `imgbuild lab`: finds what a cluster's machines start from, starts the process that runs them, and asks it.

use super::visit::Pass;
use super::{clusters, machine};
use crate::base::files;
use crate::base::hint::hinted;
use crate::base::interrupt;
use crate::base::limits::{LAB_START_TIME, SMALL_FILE_BYTES};
use crate::base::process::{Run, find};
use crate::base::progress::Progress;
use crate::cli::meant::{Lab as Order, LabCut, LabDirection, LabSsh, LabUp, LabVerb, Settings};
use crate::cli::outcome::{Failure, Outcome, Status};
use crate::lab::{self, Accelerator, Damage, Direction, Lab, NodeOrder, Qemu, Trial, Verdict};
use crate::plan::ClusterPlan;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often `status --watch` looks.
const GLANCE: Duration = Duration::from_secs(1);
/// How long a command on a machine may take, the log-in included.
const ASKING: Duration = Duration::from_secs(120);
/// What the lab's process says, in its run folder.
const LOG: &str = "log";

/// The process behind a lab.
pub(super) fn serve(folder: &Path) -> Result<Outcome, Failure> {
    // The terminal that it was started from is not its own.
    let _ = rustix::process::setsid();
    lab::serve(folder)?;
    Ok(Outcome::nothing())
}

/// Does what was ordered with a cluster on this machine.
pub(super) fn run(settings: &Settings, order: &Order, progress: &dyn Progress) -> Result<Outcome, Failure> {
    let plan = clusters::draw(settings, &order.cluster, &crate::base::progress::Silent)?;
    let folder = lab::run_folder(&settings.directory, &plan.name)?;
    let lab = Lab::at(&folder, &order.cluster);
    match &order.verb {
        LabVerb::Up(up) => return start(settings, &plan, order, up, progress),
        LabVerb::Test { scenarios, rounds, up } => {
            return try_out(settings, &plan, order, (scenarios, *rounds, up), progress);
        }
        LabVerb::Status { watch: false, .. } => return Ok(Outcome::of(&lab.status(true)?)),
        LabVerb::Status { watch: true, json } => watch(&lab, *json)?,
        LabVerb::Ssh(ssh) => log_in(settings, &plan, &order.cluster, ssh, &lab)?,
        LabVerb::Console(node) => lab.console(node)?,
        LabVerb::Connect { node, port } => lab.join(node, *port)?,
        LabVerb::Owner(address) => {
            let owners = lab.owners(*address)?;
            let text = if owners.is_empty() { "nobody\n".to_owned() } else { format!("{}\n", owners.join("\n")) };
            return Ok(Outcome::new(text, &owners));
        }
        LabVerb::Kill { node, button } => lab.kill(node, *button)?,
        LabVerb::Start { node, clock } => lab.start(node, *clock)?,
        LabVerb::Wipe { node, data } => lab.wipe(node, *data)?,
        LabVerb::Cut { node, cut } => sever(&lab, node, cut)?,
        LabVerb::Heal => lab.heal()?,
        LabVerb::Freeze { node, frozen } => lab.freeze(node, *frozen)?,
        LabVerb::Down { keep } => {
            lab.down(*keep)?;
            if !lab.gone(LAB_START_TIME) {
                return Err(anyhow!("the lab of {} does not end", plan.name).into());
            }
        }
    }
    Ok(Outcome::nothing())
}

fn sever(lab: &Lab, node: &str, cut: &LabCut) -> Result<()> {
    let way = |direction: &Option<LabDirection>| {
        direction.map(|direction| match direction {
            LabDirection::In => Direction::In,
            LabDirection::Out => Direction::Out,
        })
    };
    match cut {
        LabCut::Carrier => lab.carrier(node, false),
        LabCut::Off { other, direction } => lab.cut(node, other.as_deref(), way(direction)),
        LabCut::Worse { direction, delay, loss } => {
            lab.worsen(node, way(direction), Damage { delay: *delay, loss: loss.saturating_mul(10) })
        }
    }
}

/// Shows how it is, until a signal comes or the lab ends.
fn watch(lab: &Lab, json: bool) -> Result<()> {
    let terminal = std::io::stdout().is_terminal();
    let mut shown = String::new();
    while interrupt::pending().is_none() {
        let status = match lab.status(true) {
            Ok(status) => status,
            // It was there and has ended.
            Err(_) if !shown.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        let text = if json { format!("{}\n", serde_json::to_string(&status)?) } else { status.to_string() };
        let mut out = std::io::stdout().lock();
        let written = if terminal && !json {
            // To the top, each line to its end, and what is below.
            let lines = text.replace('\n', "\u{1b}[K\n");
            write!(out, "{}\u{1b}[H{lines}\u{1b}[J", if shown.is_empty() { "\u{1b}[2J" } else { "" })
        } else if text == shown {
            Ok(())
        } else {
            writeln!(out, "{}", text.trim_end())
        };
        written.and_then(|()| out.flush()).context("writing")?;
        shown = text;
        std::thread::sleep(GLANCE);
    }
    Ok(())
}

fn log_in(settings: &Settings, plan: &ClusterPlan, cluster: &str, order: &LabSsh, lab: &Lab) -> Result<()> {
    if !lab.runs() {
        // Better words than those of ssh.
        lab.status(false)?;
    }
    let session = Session::open(settings, plan, cluster, order, &[])?;
    let ended = session.run.attached(None)?;
    match ended.and_then(|output| output.status.code()) {
        Some(0) => Ok(()),
        Some(255) => bail!("ssh could not log in as {} on {}", session.user, order.node),
        code => bail!("the command ended with exit status {}", code.unwrap_or(-1)),
    }
}

/// Does a command on a machine as its administrator, and gives what it said.
fn ask(settings: &Settings, plan: &ClusterPlan, cluster: &str, node: &str, command: &str) -> Result<String> {
    let order = LabSsh {
        node: node.to_owned(),
        user: None,
        identity: None,
        command: vec![format!("sudo --non-interactive {command}")],
    };
    let session = Session::open(settings, plan, cluster, &order, &["BatchMode=yes"])?;
    let output = session.run.within(Some(ASKING))?;
    let output = output.with_context(|| format!("{node} did not end `{command}` within {} s", ASKING.as_secs()))?;
    ensure!(output.status.success(), "`{command}` on {node}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What logs in, with the key that it needs for it.
struct Session {
    run: Run,
    user: String,
    _pass: Option<Pass>,
}

impl Session {
    fn open(settings: &Settings, plan: &ClusterPlan, cluster: &str, order: &LabSsh, options: &[&str]) -> Result<Self> {
        let ssh = find("ssh").ok_or_else(|| hinted("there is no `ssh` on this machine", "install openssh-client"))?;
        let user = order.user.clone().or_else(|| plan.site.users.first().map(|user| user.name.clone()));
        let user = user.ok_or_else(|| hinted("the cluster has no users", "say whose account with `--user NAME`"))?;
        let own = std::env::current_exe().context("finding this program")?;
        let words = [own.as_path(), Path::new("-C"), &settings.directory].map(quoted);
        let proxy = format!(
            "ProxyCommand={} --cache {} lab connect {} {} %p",
            words.join(" "),
            quoted(&settings.cache),
            quoted(Path::new(cluster)),
            order.node
        );
        let mut run = Run::new(ssh).args(["-o", &proxy, "-o", "LogLevel=ERROR", "-l", &user]);
        run = run.args(options.iter().flat_map(|option| ["-o", option]));
        let folder = lab::run_folder(&settings.directory, &plan.name)?;
        let pass = Pass::issue(settings, cluster, plan, (&user, &order.node), &folder)?;
        run = run.args(known(pass.as_ref(), &order.node).iter().flat_map(|option| ["-o", option]));
        match (&order.identity, &pass) {
            (Some(identity), _) => run = run.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity),
            (None, Some(pass)) => {
                let certificate = format!("CertificateFile={}", worded(&pass.certificate()));
                run = run.args(["-o", &certificate, "-i"]).arg(pass.key());
            }
            (None, None) => {}
        }
        Ok(Self { run: run.arg(&order.node).args(&order.command), user, _pass: pass })
    }
}

/// How `ssh` makes sure that it speaks to the machine: the cluster's secrets say which key it has. Where they are sealed
/// or lie in Vault, nothing does; between us and a machine of our own lab there is no network.
fn known(pass: Option<&Pass>, node: &str) -> Vec<String> {
    let (checking, file) = match pass {
        Some(pass) => ("yes", pass.known_hosts()),
        None => ("no", PathBuf::from("/dev/null")),
    };
    vec![
        format!("StrictHostKeyChecking={checking}"),
        format!("UserKnownHostsFile={}", worded(&file)),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        format!("HostKeyAlias={node}"),
    ]
}

/// A path in an option of `ssh`, which splits at spaces and gives `%` a meaning.
fn worded(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

/// A word of a ProxyCommand: quoted for its shell, and `%`, which is ssh's own, doubled.
fn quoted(word: &Path) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', "'\\''").replace('%', "%%"))
}

/// How long a machine may take until its role is at work, at the processor's own speed and emulated.
const PATIENCE: [Duration; 2] = [Duration::from_secs(240), Duration::from_secs(900)];

/// Starts a lab without machines, plays scenarios, ends the lab.
fn try_out(
    settings: &Settings,
    plan: &ClusterPlan,
    order: &Order,
    (names, rounds, up): (&[String], usize, &LabUp),
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let chosen = lab::choose(plan, names)?;
    let mut up = up.clone();
    up.only = lab::machines(plan, &chosen);
    let value = prepare(settings, plan, order, &up, false, progress)?;
    let folder = lab::run_folder(&settings.directory, &plan.name)?;
    let lab = Lab::at(&folder, &order.cluster);
    // Interrupted, it still ends its lab.
    let _hold = interrupt::Hold::to_the_end();
    launch(&folder, &lab, settings)?;
    let play = || -> Result<Vec<Verdict>> {
        let patience = PATIENCE[usize::from(!value.kvm)];
        let ask = |node: &str, command: &str| ask(settings, plan, &order.cluster, node, command);
        let shell: Option<lab::Shell<'_>> = find("ssh").map(|_| &ask as lab::Shell<'_>);
        let mut trial = Trial::new(&lab, plan, &chosen, rounds, patience, shell, progress)?;
        let mut verdicts = Vec::new();
        for scenario in &chosen {
            interrupt::check()?;
            progress.note(format!("{}: {}", scenario.name, scenario.what));
            let verdict = trial.play(scenario);
            progress.note(verdict.to_string());
            verdicts.push(verdict);
        }
        Ok(verdicts)
    };
    let played = play();
    // Whatever came of it, no machine stays.
    let ended = lab.down(false).map(|()| lab.gone(LAB_START_TIME));
    let verdicts = played?;
    ended?;
    let failed = verdicts.iter().any(|verdict| verdict.failure.is_some());
    let text: String = verdicts.iter().map(|verdict| format!("{verdict}\n")).collect();
    Ok(Outcome::new(text, &verdicts).with_status(if failed { Status::BootFailed } else { Status::Done }))
}

fn start(
    settings: &Settings,
    plan: &ClusterPlan,
    order: &Order,
    up: &LabUp,
    progress: &dyn Progress,
) -> Result<Outcome, Failure> {
    let value = prepare(settings, plan, order, up, true, progress)?;
    let folder = lab::run_folder(&settings.directory, &plan.name)?;
    let lab = Lab::at(&folder, &order.cluster);
    launch(&folder, &lab, settings)?;
    let status = lab.status(false)?;
    let hint = format!("imgbuild lab status {} --watch", order.cluster);
    let started = value.nodes.iter().filter(|node| node.start).count();
    let text = format!("{status}{started} machines start; watch them: {hint}\n");
    Ok(Outcome::new(text, &status))
}

/// Checks all that is needed and writes the order for the lab's process; whether it starts machines by itself is told.
fn prepare(
    settings: &Settings,
    plan: &ClusterPlan,
    order: &Order,
    up: &LabUp,
    starts: bool,
    progress: &dyn Progress,
) -> Result<lab::Order> {
    let folder = lab::run_folder(&settings.directory, &plan.name)?;
    let lab = Lab::at(&folder, &order.cluster);
    if lab.runs() {
        let end = format!("see `imgbuild lab status {0}`, or end it with `imgbuild lab down {0}`", order.cluster);
        return Err(hinted(format!("the lab of {} runs already", plan.name), end));
    }
    let known = |name: &String| plan.nodes.iter().any(|node| node.name == *name);
    let named = up.only.iter().chain(up.clocks.iter().map(|(node, _)| node));
    if let Some(stranger) = named.into_iter().find(|name| !known(name)) {
        let names: Vec<&str> = plan.nodes.iter().map(|node| node.name.as_str()).collect();
        let message = format!("{} has no machine `{stranger}`", plan.name);
        return Err(hinted(message, format!("it has {}", names.join(", "))));
    }
    let nodes = supplies(settings, plan, order, up)?;
    let mut value = lab::Order {
        cluster: plan.clone(),
        disks: settings.out.join("lab").join(&plan.name),
        qemu: Qemu::Host { version: 0 },
        kvm: false,
        firmware: up.firmware,
        closed: !starts,
        random: up.random,
        nodes,
    };
    value.fits(lab::free_memory()?)?;
    value.qemu = Qemu::choose(up.firmware, || machine::provide(settings, &up.selection, progress))?;
    files::create_dir_all(&settings.cache)?;
    value.kvm = !up.emulate && lab::probe(&value.qemu, &settings.cache, Accelerator::Kvm)?;
    if !value.kvm && !up.emulate {
        progress.note("KVM does not work here: the machines are emulated in software, which is several times slower");
    }
    for node in &mut value.nodes {
        node.start &= starts;
    }
    value.write(&folder)?;
    Ok(value)
}

/// Starts the lab's process and waits until it answers.
fn launch(folder: &Path, lab: &Lab, settings: &Settings) -> Result<()> {
    let log = folder.join(LOG);
    let own = std::env::current_exe().context("finding this program")?;
    let run = Run::new(own).arg("-C").arg(&settings.directory).arg("--cache").arg(&settings.cache);
    let mut process =
        run.args(["--progress", "none", "lab", "serve"]).arg(folder).detached(files::create_new(&log)?)?;
    let began = Instant::now();
    while !lab.runs() {
        if process.ended() || began.elapsed() > LAB_START_TIME {
            let said = files::read(&log, SMALL_FILE_BYTES).unwrap_or_default();
            bail!("the lab's process did not start: {}", String::from_utf8_lossy(&said).trim());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Images and seeds of all machines; those that are to start must have both.
fn supplies(settings: &Settings, plan: &ClusterPlan, order: &Order, up: &LabUp) -> Result<Vec<NodeOrder>> {
    let seeds = up.seeds.clone().unwrap_or_else(|| settings.out.join("clusters").join(&plan.name).join("seeds"));
    let mut nodes = Vec::new();
    let (mut images, mut unseeded): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for node in &plan.nodes {
        let start = up.only.is_empty() || up.only.contains(&node.name);
        let image = machine::find_image(settings, &node.image).ok();
        let seed = seed_of(&seeds, &node.name);
        if start && image.is_none() && !images.contains(&node.image.as_str()) {
            images.push(&node.image);
        }
        if start && seed.is_none() {
            unseeded.push(&node.name);
        }
        let clock = up.clocks.iter().rev().find(|(name, _)| *name == node.name).map_or(0, |(_, clock)| *clock);
        nodes.push(NodeOrder { image, seed, clock, start });
    }
    if !images.is_empty() {
        let message = format!(
            "{} not built: {}",
            if images.len() == 1 { "an image is" } else { "images are" },
            images.join(", ")
        );
        return Err(hinted(
            message,
            format!("build them with `imgbuild role {} --recipe {}`", images.join(" "), plan.recipe),
        ));
    }
    if !unseeded.is_empty() {
        let message = format!("no seed in {} for {}", seeds.display(), unseeded.join(", "));
        return Err(hinted(message, format!("write them with `imgbuild seed {}`", order.cluster)));
    }
    Ok(nodes)
}

/// A machine's seed: the volume, or the folder when there is no volume.
fn seed_of(seeds: &Path, node: &str) -> Option<PathBuf> {
    let volume = seeds.join(format!("{node}.iso"));
    let folder = seeds.join(node);
    if volume.is_file() { Some(volume) } else { folder.is_dir().then_some(folder) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_proxy_command_are_quoted() {
        assert_eq!(quoted(Path::new("/a b/it's 5%")), r"'/a b/it'\''s 5%%'");
    }

    #[test]
    fn a_seeds_volume_wins_over_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(seed_of(folder.path(), "a"), None);
        std::fs::create_dir(folder.path().join("a")).unwrap();
        assert_eq!(seed_of(folder.path(), "a"), Some(folder.path().join("a")));
        std::fs::write(folder.path().join("a.iso"), "").unwrap();
        assert_eq!(seed_of(folder.path(), "a"), Some(folder.path().join("a.iso")));
    }
}
