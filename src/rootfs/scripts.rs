//! Runs what packages bring to be run: preinst scripts, and everything else through the target's own dpkg.

use super::database::FOLDER;
use super::deferred::Deferred;
use super::incoming::Incoming;
use super::root::Root;
use crate::base::epoch::Epoch;
use crate::base::hint::hinted;
use crate::base::limits::DPKG_FILE_BYTES;
use crate::base::progress::Progress;
use crate::sandbox::{Command, Excess, Overrun};
use anyhow::{Context as _, Result, anyhow};
use std::fmt::Write as _;

/// Where the control files of packages lie whose preinst is about to run.
const STAGE: &str = "var/lib/dpkg/imgbuild.ci";
/// Says that services are not to be started (policy-rc.d(8)).
const POLICY: &str = "usr/sbin/policy-rc.d";

/// A command in the root, with the environment that makes its result the same every time.
pub(super) fn command(root: &Root, epoch: Epoch, program: &str) -> Command {
    Command::new(root.folder(), program)
        .env("SOURCE_DATE_EPOCH", epoch.0.to_string())
        .env("PYTHONHASHSEED", "0")
        .env("PERL_HASH_SEED", "0")
        .env("DEBCONF_NONINTERACTIVE_SEEN", "true")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("UCF_FORCE_CONFFOLD", "1")
        .env("SYSTEMD_OFFLINE", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

/// Keeps services from being started while scripts run.
pub(super) fn forbid_services(root: &Root) -> Result<()> {
    root.write(POLICY, b"#!/bin/sh\nexit 101\n", 0o755, (0, 0))
}

/// Undoes [`forbid_services`].
pub(super) fn allow_services(root: &Root) -> Result<()> {
    root.remove(POLICY)
}

/// Begins the line that says whose preinst runs next.
const NEXT: &str = "imgbuild: preinst of ";

/// Runs `preinst install` of these packages, in this order.
pub(super) fn preinst(
    root: &Root,
    packages: &[&Incoming],
    epoch: Epoch,
    deferred: &Deferred,
    progress: &dyn Progress,
) -> Result<()> {
    let packages: Vec<&&Incoming> = packages.iter().filter(|package| package.has("preinst")).collect();
    if packages.is_empty() {
        return Ok(());
    }
    // Scripts find their package by the place from which they run, as dpkg runs them: tmp.ci.
    let mut script = String::from("set -u\ncd /var/lib/dpkg\n");
    script.push_str(
        "run() {\n  echo \"imgbuild: preinst of $2\"\n  ln -sfn \"imgbuild.ci/$1\" tmp.ci\n  export DPKG_MAINTSCRIPT_PACKAGE=\"$2\" DPKG_MAINTSCRIPT_ARCH=\"$3\"\n  \
         (cd / && /var/lib/dpkg/tmp.ci/preinst install) && return\n  \
         echo \"the preinst script of $2 failed (exit status $?)\"\n  exit 1\n}\n",
    );
    for (at, package) in packages.iter().enumerate() {
        for (name, file) in &package.control.files {
            root.write(&format!("{STAGE}/{at}/{name}"), &file.bytes, file.mode & 0o777, (0, 0))?;
        }
        writeln!(script, "run {at} '{}' '{}'", package.pin.name, package.pin.architecture)?;
    }
    let version = dpkg_version(root)?;
    let mut last = String::new();
    let mut said: Vec<String> = Vec::new();
    let result = deferred
        .command(root, epoch, "/bin/sh")?
        .args(["-c", &script])
        .env("DPKG_MAINTSCRIPT_NAME", "preinst")
        .env("DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT", "1")
        .env("DPKG_RUNNING_VERSION", version)
        .env("DPKG_ADMINDIR", format!("/{FOLDER}"))
        .env("DPKG_ROOT", "")
        .env("DPKG_FORCE", "")
        .run_steps(|line| {
            if let Some(name) = line.strip_prefix(NEXT) {
                name.clone_into(&mut last);
                said.clear();
                return true;
            }
            progress.log(line);
            said.push(line.to_owned());
            false
        });
    root.remove(STAGE)?;
    root.remove(&format!("{FOLDER}/tmp.ci"))?;
    let said = tail(&said.join("\n"));
    result.map_err(|error| match overrun(&error, &last, "preinst", &said) {
        Some(overrun) => overrun,
        // That it failed is said by the script around it.
        None if !said.is_empty() => anyhow!("running preinst scripts: {said}"),
        None => error.context("running preinst scripts"),
    })
}

/// The version of the target's dpkg, by its own status.
fn dpkg_version(root: &Root) -> Result<String> {
    let text = root.read_text(&format!("{FOLDER}/status"), DPKG_FILE_BYTES)?;
    for stanza in crate::package::control::Stanzas::new(text.as_bytes()) {
        let stanza = stanza.context("reading dpkg's status")?;
        if stanza.get("Package").is_some_and(|name| name == "dpkg") {
            return Ok(stanza.get("Version").unwrap_or_default().to_owned());
        }
    }
    Ok(String::new())
}

/// Configures these packages, or with none named all that are not configured yet, and what triggers ask for.
pub(super) fn configure(
    root: &Root,
    packages: &[&Incoming],
    epoch: Epoch,
    deferred: &Deferred,
    advance: &mut dyn FnMut(&str),
    progress: &dyn Progress,
) -> Result<()> {
    let mut command = deferred.command(root, epoch, "/usr/bin/dpkg")?.args([
        "--force-confold",
        "--force-confdef",
        "--force-unsafe-io",
        "--no-pager",
        "--configure",
    ]);
    command = if packages.is_empty() {
        command.arg("-a")
    } else {
        command.args(packages.iter().map(|package| &package.info_name))
    };
    let mut last = String::new();
    let mut said: Vec<String> = Vec::new();
    let mut begun = 0;
    let mut script = "postinst";
    let result = command.run_steps(|line| {
        let before = said.len();
        if let Some(rest) = line.strip_prefix("Setting up ") {
            let name = rest.split(' ').next().unwrap_or(rest).to_owned();
            advance(&name);
            (last, script, begun) = (name, "postinst", before + 1);
        } else if let Some(rest) = line.strip_prefix("Processing triggers for ") {
            last = rest.split(' ').next().unwrap_or(rest).to_owned();
            (script, begun) = ("postinst (for triggers)", before + 1);
        }
        progress.log(line);
        said.push(line.to_owned());
        begun == before + 1
    });
    result.map_err(|error| {
        let spoken = tail(&said[begun..].join("\n"));
        overrun(&error, &last, script, &spoken)
            .or_else(|| failure(&said))
            .unwrap_or_else(|| error.context(format!("configuring {last}")))
    })
}

/// What a script had too much of, when it was ended for that.
fn overrun(error: &anyhow::Error, package: &str, script: &str, said: &str) -> Option<anyhow::Error> {
    let overrun = crate::base::hint::find::<Overrun>(error)?;
    let overrun = Overrun { excess: overrun.excess, said: said.to_owned() };
    let message = format!("configuring {package}: its {script} script: {overrun}");
    let remedy = match overrun.excess {
        Excess::Time(_) => "it may wait for a service or an answer, and there are neither in the sandbox",
        Excess::Tasks { .. } | Excess::Output(_) => "leave the package out, or answer its questions with `debconf`",
    };
    Some(hinted(message, format!("{remedy}; see what it does with `imgbuild role NAME --debug-shell`")))
}

/// Which package's script failed and what it said, from dpkg's own words.
fn failure(said: &[String]) -> Option<anyhow::Error> {
    const MARK: &str = "dpkg: error processing package ";
    let at = said.iter().position(|line| line.starts_with(MARK))?;
    let package = said[at][MARK.len()..].split(' ').next()?;
    let begin = said[..at].iter().rposition(|line| {
        let rest = line.strip_prefix("Setting up ").or_else(|| line.strip_prefix("Processing triggers for "));
        rest.is_some_and(|rest| rest.split(' ').next() == Some(package))
    });
    let spoken = said[begin.map_or(0, |begin| begin + 1)..at].join("\n");
    let why = said.get(at + 1).map_or("", |line| line.trim());
    let spoken = tail(&spoken);
    Some(match spoken.trim() {
        "" => anyhow!("configuring {package}: {why}"),
        spoken => anyhow!("configuring {package}: {why}: {spoken}"),
    })
}

/// The end of what scripts said.
fn tail(said: &str) -> String {
    let lines: Vec<&str> = said.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_were_ended_are_named_with_the_limit() {
        let long = Excess::Time(std::time::Duration::from_secs(1800));
        let error = anyhow::Error::new(Overrun::from(long)).context("running `dpkg`");
        let named = overrun(&error, "slow", "postinst", "waiting\nstill waiting").unwrap();
        assert_eq!(
            named.to_string(),
            "configuring slow: its postinst script: it was ended after 30 minutes; the last that it said: \
             waiting\nstill waiting"
        );
        assert_eq!(
            crate::base::hint::hints(&named),
            ["it may wait for a service or an answer, and there are neither in the sandbox; see what it does with \
              `imgbuild role NAME --debug-shell`"]
        );
        assert!(overrun(&anyhow!("another"), "slow", "postinst", "").is_none());
    }

    #[test]
    fn failed_scripts_are_named_with_what_they_said() {
        let said = [
            "Setting up a (1) ...",
            "fine",
            "Setting up b:amd64 (2) ...",
            "cannot do it",
            "dpkg: error processing package b:amd64 (--configure):",
            " installed b:amd64 package post-installation script subprocess returned error exit status 1",
            "Setting up c (1) ...",
            "Errors were encountered while processing:",
            " b",
        ];
        let error = failure(&said.map(str::to_owned)).unwrap();
        assert_eq!(
            error.to_string(),
            "configuring b:amd64: installed b:amd64 package post-installation script subprocess returned error exit \
             status 1: cannot do it"
        );
        assert!(failure(&["Setting up a (1) ...".to_owned()]).is_none());
    }
}
