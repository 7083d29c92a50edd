//! The worker's part: the root of an image, and in it the programs, each before one document, several at a time.

use super::finding::Finding;
use crate::base::parallel;
use crate::base::progress::{Progress, Unit};
use crate::package::{BuildPlan, PackageSet};
use crate::pipeline::work::Root;
use crate::sandbox::{Access, Command, Status};
use crate::seed::{How, JUDGES, UNABLE};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Where a machine's seed is shown.
const SEED: &str = "/run/imgbuild-seed";

/// What is to be judged in the root of one image.
#[derive(Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) cache: PathBuf,
    pub(super) jobs: usize,
    pub(super) plan: BuildPlan,
    pub(super) packages: PackageSet,
    /// Seeds as folders, by the machines' names.
    pub(super) seeds: PathBuf,
    /// Where the files of each machine lie on its volume, and where the machine will have them.
    pub(super) files: BTreeMap<String, Vec<(String, String)>>,
    /// Which document of which machine is looked at.
    pub(super) wanted: Vec<(String, usize)>,
}

/// What came of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) judged: usize,
    pub(super) findings: Vec<Finding>,
    /// Judges that could not judge, and why.
    pub(super) unable: BTreeMap<usize, String>,
}

/// What came of one document.
enum Verdict {
    Content,
    Refused(Finding),
    Unable(usize, String),
}

/// Does it.
pub(in crate::pipeline) fn job(request: &[u8], progress: &dyn Progress) -> Result<Vec<u8>> {
    let request: Request = serde_json::from_slice(request).context("reading the request")?;
    let assembled = Root::assemble(&request.cache, &request.plan, &request.packages, progress)?;
    let root = assembled.path();
    let missing = missing(root)?;
    let phase = progress.phase("judge", request.wanted.len() as u64, Unit::Items);
    let verdicts = parallel::map_on(request.jobs, &request.wanted, |(node, number)| {
        let verdict = judge(&request, root, &missing, node, *number);
        phase.advance(1);
        verdict
    })?;
    let mut answer = Answer::default();
    for verdict in verdicts {
        match verdict {
            Verdict::Content => answer.judged += 1,
            Verdict::Refused(finding) => {
                answer.judged += 1;
                answer.findings.push(finding);
            }
            Verdict::Unable(number, why) => drop(answer.unable.insert(number, why)),
        }
    }
    Ok(serde_json::to_vec(&answer)?)
}

/// Programs that this root does not have.
fn missing(root: &Path) -> Result<BTreeSet<String>> {
    let programs: BTreeSet<&str> = JUDGES.iter().map(|judge| judge.program).collect();
    let script = "for name; do command -v \"$name\" >/dev/null || echo \"$name\"; done";
    let said = Command::new(root, "/bin/sh").args(["-c", script, "sh"]).args(programs).output()?.success()?;
    Ok(String::from_utf8_lossy(&said).lines().map(str::to_owned).collect())
}

fn judge(request: &Request, root: &Path, missing: &BTreeSet<String>, node: &str, number: usize) -> Result<Verdict> {
    let judge = JUDGES.get(number).context("there is no such judge")?;
    let script = match judge.how {
        How::Not(why) => return Ok(Verdict::Unable(number, why.to_owned())),
        How::Asked(_) if missing.contains(judge.program) => {
            let why = format!("the image {} has no {}", request.plan.image.name, judge.program);
            return Ok(Verdict::Unable(number, why));
        }
        How::Asked(script) => script,
    };
    let seed = request.seeds.join(node);
    let document =
        if judge.document.starts_with('/') { judge.document.to_owned() } else { format!("{SEED}/{}", judge.document) };
    let mut command = Command::new(root, "/bin/sh").args(["-c", script, "sh", &document]).env("NODE", node).bind(
        &seed,
        SEED,
        Access::ReadOnly,
    );
    for (path, place) in request.files.get(node).into_iter().flatten() {
        command = command.bind(seed.join(path), place, Access::ReadOnly);
    }
    let output = command.output().with_context(|| format!("asking {} about {node}'s {document}", judge.program))?;
    let said = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned()).concat();
    Ok(match output.status {
        Status::Exited(0) => Verdict::Content,
        Status::Exited(UNABLE) => Verdict::Unable(number, said.trim().to_owned()),
        Status::Exited(_) => Verdict::Refused(Finding { node: node.to_owned(), judge: number, said }),
        Status::Signalled(_) => {
            let said = format!("{said}{} ended by {}", judge.program, output.status);
            Verdict::Refused(Finding { node: node.to_owned(), judge: number, said })
        }
    })
}
