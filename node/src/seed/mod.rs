//! `imgbuild-node seed`: finds the seed, believes it only when all of it is verified, installs it. Runs before
//! cloud-init, which reads no volume by itself.
//!
//! A volume is copied first and judged then, so that nobody changes it in between. What is refused changes nothing.

mod base64;
pub(crate) mod copy;
mod devices;
#[cfg(test)]
pub(crate) mod example;
mod identity;
pub(crate) mod judge;
mod mount;
mod policy;
mod ssh;
#[cfg(test)]
mod tests;

pub(crate) use judge::Verified;

use crate::console::{plain, say};
use crate::files::{self, failed};
use crate::format::{Effect, Manifest};
use crate::install::{self, Done, Pending, boot_id};
use crate::places::{Places, run, state};
use crate::process;
use copy::Volume;
use judge::{Accepted, Known};
use ssh::PublicKey;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

/// The longest key.
const KEY_BYTES: u64 = 16 << 10;
/// How long a network card may appear after all others.
const CARDS: Duration = Duration::from_secs(5);

/// At boot: every volume that might be the seed.
pub(crate) fn run() -> Result<(), String> {
    let places = Places::new("/");
    let _lock = lock(&places)?;
    let _ = process::run(&["udevadm", "settle", "--timeout=30"], "");
    files::remove(&places.run(run::REFUSED))?;
    let boot = boot_id(&places);
    let pending = Pending::read(&places)?;
    if pending != Pending::default() {
        pending.since_boot(&boot).write(&places)?;
    }
    resume(&places)?;
    let mut found = Vec::new();
    let mut refused = 0;
    for candidate in devices::candidates(&places) {
        let name = candidate.device.display().to_string();
        match mount::copied(&places, &candidate).and_then(|volume| judged(&places, volume)) {
            Ok(accepted) => found.push((name, accepted)),
            Err(reason) => {
                refused += 1;
                refuse(&places, &name, &reason)?;
            }
        }
        keep_copies(&places, &found)?;
    }
    let Some((name, accepted)) = best(found) else {
        let installed = install::installed(&places)?;
        return match (refused, installed) {
            (0, None) => {
                say("seed", "there is no volume with the label cidata, and nothing was installed before");
                Ok(())
            }
            (0, Some(manifest)) => {
                say("seed", &format!("there is no volume with the label cidata: {} stays", title(&manifest)));
                Ok(())
            }
            (_, Some(manifest)) => {
                say("seed", &format!("{} stays", title(&manifest)));
                Ok(())
            }
            (_, None) => Err("no seed was accepted, and nothing was installed before".to_owned()),
        };
    };
    let outcome = accept(&places, &name, &accepted);
    // cloud-init reads the documents of this boot after this.
    files::remove(&places.run(run::REBOOT))?;
    clear(&places)?;
    outcome?;
    let mut pending = Pending::read(&places)?;
    if pending.effects.contains(&Effect::DaemonReload) {
        // Units that start later in this boot were read before their files were written.
        process::run(&["systemctl", "daemon-reload"], "")?;
        pending.effects.remove(&Effect::DaemonReload);
        pending.write(&places)?;
    }
    Ok(())
}

/// At run time: a device or a folder, or every volume that might be the seed.
pub(crate) fn apply(source: Option<&str>) -> Result<(), String> {
    let places = Places::new("/");
    let outcome = {
        let _lock = lock(&places)?;
        resume(&places)?;
        let volumes: Vec<(String, Result<Volume, String>)> = match source {
            Some(path) if Path::new(path).is_dir() => {
                vec![(path.to_owned(), copy::copy(Path::new(path), &mount::stage(&places)?, copy::SEED))]
            }
            Some(path) => {
                let candidate = devices::candidate_at(Path::new(path))
                    .ok_or_else(|| format!("{path} is neither a folder nor a device with ISO 9660 or FAT"))?;
                vec![(path.to_owned(), mount::copied(&places, &candidate))]
            }
            None => {
                let copied = |candidate: &devices::Candidate| mount::copied(&places, candidate);
                devices::candidates(&places).iter().map(|c| (c.device.display().to_string(), copied(c))).collect()
            }
        };
        let mut found = Vec::new();
        let mut last = "there is no volume with the label cidata".to_owned();
        for (name, volume) in volumes {
            match volume.and_then(|volume| judged(&places, volume)) {
                Ok(accepted) => found.push((name, accepted)),
                Err(reason) => {
                    refuse(&places, &name, &reason)?;
                    last = format!("{name}: {reason}");
                }
            }
        }
        keep_copies(&places, &found)?;
        let outcome = match best(found) {
            Some((_, Accepted::Plain(_))) => {
                Err("a seed without a manifest takes effect at a restart alone".to_owned())
            }
            Some((name, accepted)) => accept(&places, &name, &accepted),
            None => Err(last),
        };
        clear(&places)?;
        outcome?
    };
    if outcome.documents {
        say("seed", "cloud-init's documents changed: users, names and network follow at the next restart");
    }
    process::run(&["systemctl", "--no-block", "restart", "imgbuild-role.service"], "")
}

/// Says whether a folder would be accepted by a new machine with this network card and an image that trusts these keys;
/// asks nothing of the machine it runs on.
pub(crate) fn check(folder: &str, mac: &str, trusted: &[&str]) -> Result<(), String> {
    let trusted = trusted.iter().map(|path| key(Path::new(path))).collect::<Result<Vec<_>, _>>()?;
    let known = Known { trusted, macs: [mac.to_owned()].into(), ..Known::default() };
    let stage = std::env::temp_dir().join(format!("imgbuild-node-check-{}", std::process::id()));
    let judged = copy::copy(Path::new(folder), &stage, copy::SEED).and_then(|volume| judge::judge(volume, &known));
    files::remove_folder(&stage)?;
    match judged? {
        Accepted::Signed(verified) => say("seed", &format!("{} would be accepted", title(&verified.manifest))),
        Accepted::Plain(_) => say("seed", "it is not signed: cloud-init would get its documents"),
    }
    Ok(())
}

/// Whoever installs is alone.
fn lock(places: &Places) -> Result<File, String> {
    files::make_public(&places.run(""))?;
    files::make_private(&places.state(""))?;
    let path = places.run(run::LOCK);
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("opening", &path))?;
    file.lock().map_err(failed("locking", &path))?;
    Ok(file)
}

/// Installs what a cut interrupted. It was verified when it was kept, and is again: a cut may have damaged it.
fn resume(places: &Places) -> Result<(), String> {
    let next = places.state(state::NEXT);
    files::remove_folder(&places.state(state::COPYING))?;
    if !next.exists() {
        return Ok(());
    }
    let stage = mount::stage(places)?;
    let volume = copy::copy(&next, &stage, copy::SEED);
    let verified = volume.and_then(|volume| match judge::judge(volume, &known(places)?)? {
        Accepted::Signed(verified) => Ok(verified),
        Accepted::Plain(_) => Err("it is not signed".to_owned()),
    });
    match verified {
        Ok(verified) => {
            say("seed", &format!("going on with {}, which was interrupted", title(&verified.manifest)));
            // What is in the way may be gone with the next seed: that one is looked for all the same.
            if let Err(why) = install::go_on(places, &verified, &is_active) {
                say("failed", &format!("{} could not be installed: {why}", title(&verified.manifest)));
            }
        }
        Err(reason) => {
            say("seed", &format!("what was interrupted is given up: {reason}"));
            install::forget(places)?;
        }
    }
    clear(places)
}

/// Judges a copy. Cards may appear late: a refusal for want of one is tried again.
fn judged(places: &Places, volume: Volume) -> Result<Accepted, String> {
    let mut known = known(places)?;
    let step = Duration::from_millis(500);
    let mut waited = Duration::ZERO;
    while known.macs.is_empty() && waited < CARDS {
        std::thread::sleep(step);
        waited += step;
        known.macs = identity::macs(places);
    }
    judge::judge(volume, &known)
}

/// What this machine knows already.
fn known(places: &Places) -> Result<Known, String> {
    let mut trusted = Vec::new();
    for entry in fs::read_dir(places.trust()).into_iter().flatten() {
        let path = entry.map_err(failed("reading", &places.trust()))?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            trusted.push(key(&path)?);
        }
    }
    let pinned = places.state(state::CLUSTER_KEY);
    let pinned = if pinned.exists() { Some(key(&pinned)?) } else { None };
    Ok(Known { trusted, pinned, installed: install::installed(places)?, macs: identity::macs(places) })
}

fn key(path: &Path) -> Result<PublicKey, String> {
    let bytes = files::read(path, KEY_BYTES)?;
    PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(|why| format!("{} {why}", path.display()))
}

/// The seed that counts: signed before plain, then the newest generation, then the first device.
fn best(found: Vec<(String, Accepted)>) -> Option<(String, Accepted)> {
    let rank = |accepted: &Accepted| match accepted {
        Accepted::Signed(verified) => (1, verified.manifest.generation),
        Accepted::Plain(_) => (0, 0),
    };
    found.into_iter().rev().max_by_key(|(_, accepted)| rank(accepted))
}

/// Installs an accepted seed and says so.
fn accept(places: &Places, name: &str, accepted: &Accepted) -> Result<Done, String> {
    match accepted {
        Accepted::Plain(volume) => {
            install::hand_over(places, volume)?;
            say("seed", &format!("{name} is not signed: cloud-init gets its documents, and the role stays off"));
            Ok(Done::default())
        }
        Accepted::Signed(verified) => {
            let text = title(&verified.manifest);
            mount::payload_folders(places, &verified.manifest);
            let done = install::install(places, verified, &is_active);
            let done = done.map_err(|why| format!("{text} could not be installed: {why}"))?;
            match done {
                Done { files: 0, documents: false } => say("seed", &format!("{text} is installed and unchanged")),
                Done { files, .. } => say("seed", &format!("{text} installed from {name}: {files} files changed")),
            }
            Ok(done)
        }
    }
}

/// Tells the console why, and keeps it for `status`.
fn refuse(places: &Places, name: &str, reason: &str) -> Result<(), String> {
    let line = plain(&format!("{name}: {reason}"));
    say("refused", &line);
    let path = places.run(run::REFUSED);
    let mut text = fs::read_to_string(&path).unwrap_or_default();
    text.push_str(&line);
    text.push('\n');
    fs::write(&path, text).map_err(failed("writing", &path))
}

/// Removes the copies.
fn clear(places: &Places) -> Result<(), String> {
    keep_copies(places, &[])
}

/// Removes the copies of all volumes but these: they lie in memory.
fn keep_copies(places: &Places, found: &[(String, Accepted)]) -> Result<(), String> {
    let kept = |path: &Path| {
        found.iter().any(|(_, accepted)| match accepted {
            Accepted::Signed(verified) => verified.volume.folder == path,
            Accepted::Plain(volume) => volume.folder == path,
        })
    };
    for entry in fs::read_dir(places.run("")).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with("seed-") && !kept(&path) {
            files::remove_folder(&path)?;
        }
    }
    Ok(())
}

fn is_active(unit: &str) -> bool {
    process::run(&["systemctl", "is-active", "--quiet", "--", unit], "").is_ok()
}

/// A seed's title for people.
fn title(manifest: &Manifest) -> String {
    let (node, cluster) = (&manifest.node.name, &manifest.cluster.name);
    format!("generation {} of {node} in the cluster {cluster}", manifest.generation)
}
