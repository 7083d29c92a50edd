//! `secrets`, and the door through which `seed` comes to a cluster's secrets.

use super::clusters;
use crate::base::hint::{Remedy as _, hinted};
use crate::base::private::{self, FolderLock, PrivateFiles};
use crate::base::progress::{Event, Progress, Silent};
use crate::base::{files, limits};
use crate::cli::meant::{Access, Keeping, Secrets, SecretsVerb, Settings};
use crate::cli::outcome::{Failure, Outcome};
use crate::format::seed;
use crate::plan::ClusterPlan;
use crate::secret::{self, ClusterIdentity, Entry, Kind, Place, Record, Renewal, Source, State, Vault, VaultAccess};
use anyhow::{Context as _, Result};
use serde_json::json;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A cluster's secrets, held against other processes.
#[derive(Debug)]
pub(super) struct Kept {
    /// The secrets, complete.
    pub(super) identity: ClusterIdentity,
    /// What the machines were told last.
    pub(super) record: Record,
    home: Home,
    place: Place,
    _lock: FolderLock,
}

/// The folder of a cluster, and what may lie in it.
#[derive(Clone, Debug)]
struct Home {
    folder: PathBuf,
}

impl Home {
    /// A cluster's own folder, also where the cluster itself is a built-in one.
    fn of(settings: &Settings, cluster: &str, plan: &ClusterPlan) -> Self {
        let folder = match clusters::file(settings, cluster) {
            Some(file) => file.parent().map(Path::to_owned).unwrap_or_else(|| settings.directory.clone()),
            None => settings.directory.join("seeds").join(&plan.name),
        };
        Self { folder }
    }

    fn secrets(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    fn sealed(&self) -> PathBuf {
        self.folder.join("secrets.age")
    }

    fn record(&self) -> PathBuf {
        self.folder.join("record.json")
    }
}

/// A cluster's secrets: those that are there, and what is missing, made and kept. `seed` begins with this.
pub(super) fn keep(
    settings: &Settings,
    cluster: &str,
    plan: &ClusterPlan,
    access: &Access,
    progress: &dyn Progress,
) -> Result<Kept> {
    let (home, lock) = hold(settings, cluster, plan, progress)?;
    let found = find(settings, &home, plan, access)?;
    let (place, there, record) = match found {
        Some(Found { place, files, identity, record }) => (place, Some((files, identity)), record),
        None if plan.vault.is_some() => (vault(plan, access)?, None, None),
        None => (Place::Folder(home.secrets()), None, None),
    };
    let (before, existing) = there.unzip();
    let identity = secret::make(plan, existing, &mut Source::system()?)?;
    let mut record = record.unwrap_or_else(|| Record::new(&plan.name, &identity.id));
    let after = secret::files(&identity);
    if before.as_ref() != Some(&after) {
        store(&place, &home, &after, &mut record)?;
        let made = after.len() - before.map_or(0, |before| before.len()).min(after.len());
        progress.event(Event::Note { text: format!("{made} new secrets of {} are in {}", plan.name, place.shown()) });
    }
    record.write(&home.record())?;
    out_of_date(&home, &place, &after, &record, progress)?;
    ending(&identity, progress)?;
    Ok(Kept { identity, record, home, place, _lock: lock })
}

impl Kept {
    /// Keeps what the machines were told: after their seeds are written.
    pub(super) fn told(&self) -> Result<()> {
        self.record.write(&self.home.record())
    }

    /// Where the secrets are kept, for people.
    pub(super) fn place(&self) -> String {
        self.place.shown()
    }
}

/// `secrets ...`.
pub(super) fn run(settings: &Settings, order: &Secrets, progress: &dyn Progress) -> Result<Outcome, Failure> {
    // What is doubtful about the document is for the commands that use all of it to say.
    let plan = clusters::draw(settings, &order.cluster, &Silent)?;
    if order.verb == SecretsVerb::Make {
        let kept = keep(settings, &order.cluster, &plan, &order.access, progress)?;
        let (id, place) = (&kept.identity.id, kept.place());
        return Ok(Outcome::new(format!("{place}\n"), &json!({"cluster": plan.name, "id": id, "place": place})));
    }
    let (home, _lock) = hold(settings, &order.cluster, &plan, progress)?;
    if let SecretsVerb::Move(to) = order.verb {
        return relocate(settings, &plan, &home, &order.access, to);
    }
    let found = find(settings, &home, &plan, &order.access)?.ok_or_else(|| none_yet(&plan))?;
    match &order.verb {
        SecretsVerb::Make | SecretsVerb::Move(_) | SecretsVerb::Show => show(&plan, &found),
        SecretsVerb::Renew(meant) => {
            let renewal = Renewal {
                names: meant.names.clone(),
                all: meant.all,
                authorities: meant.authorities,
                keys: meant.keys,
            };
            renew(&plan, &home, found, &renewal)
        }
        SecretsVerb::Seal { to } => seal(&plan, &home, found, to, &order.access),
        SecretsVerb::Unseal => unseal(&plan, &home, &found, &order.access),
    }
}

fn none_yet(plan: &ClusterPlan) -> anyhow::Error {
    hinted(format!("{} has no secrets yet", plan.name), format!("`imgbuild seed {}` makes them", plan.name))
}

/// Secrets that were found, and are the cluster's.
struct Found {
    place: Place,
    files: PrivateFiles,
    identity: ClusterIdentity,
    record: Option<Record>,
}

fn hold(settings: &Settings, cluster: &str, plan: &ClusterPlan, progress: &dyn Progress) -> Result<(Home, FolderLock)> {
    let home = Home::of(settings, cluster, plan);
    let text = format!("waiting for another imgbuild that works with the secrets of {}", plan.name);
    let lock = private::lock(&home.folder, || progress.event(Event::Note { text }))?;
    Ok((home, lock))
}

/// Looks for a cluster's secrets. That there are none is believed only where nothing says that there were some: new ones in
/// their place would lock everybody out of the machines that know the old ones.
fn find(settings: &Settings, home: &Home, plan: &ClusterPlan, access: &Access) -> Result<Option<Found>> {
    let record = Record::read(&home.record())?;
    let told = told(settings, plan)?;
    for place in places(home, plan, access)? {
        let Some(files) = place.read()? else { continue };
        let identity = secret::identity(files.clone(), &|path| place.of(path))?;
        if identity.name != plan.name {
            let message = format!("{} holds the secrets of the cluster `{}`", place.shown(), identity.name);
            let hint = format!(
                "a cluster cannot be renamed, because its machines know it by its name: call it `{}` again, or begin \
                 `{}` in a folder of its own",
                identity.name, plan.name
            );
            return Err(hinted(message, hint));
        }
        if let Some((whose, id)) = known(home, record.as_ref(), told.as_ref()).find(|(_, id)| *id != identity.id) {
            let message = format!(
                "{} holds the secrets of another cluster `{}` ({}) than {whose} ({id})",
                place.shown(),
                plan.name,
                identity.id
            );
            return Err(hinted(message, remedy(home, settings, plan)));
        }
        return Ok(Some(Found { place, files, identity, record }));
    }
    if plan.vault.is_some() && (home.secrets().exists() || home.sealed().exists()) {
        return Err(hinted(
            format!("the document of {} says that its secrets are in Vault, and they are beside it", plan.name),
            format!("`imgbuild secrets move {} --to vault` takes them there", plan.name),
        ));
    }
    match known(home, record.as_ref(), told.as_ref()).next() {
        None => Ok(None),
        Some((whose, id)) => {
            let message = format!(
                "the secrets of {} ({id}) are gone: neither {} nor {} is there, and {whose} names them",
                plan.name,
                home.secrets().display(),
                home.sealed().display()
            );
            Err(hinted(message, remedy(home, settings, plan)))
        }
    }
}

/// Where a cluster's secrets may lie, the place that counts first.
fn places(home: &Home, plan: &ClusterPlan, access: &Access) -> Result<Vec<Place>> {
    match &plan.vault {
        Some(_) => Ok(vec![vault(plan, access)?]),
        None => Ok(vec![Place::Folder(home.secrets()), sealed(home, access)]),
    }
}

/// The path in Vault that the document names.
fn vault(plan: &ClusterPlan, access: &Access) -> Result<Place> {
    let Some(at) = &plan.vault else {
        return Err(hinted(
            format!("the document of {} does not say where in Vault its secrets are", plan.name),
            format!("add `secrets: {{vault: {{path: imgbuild/{}}}}}` to it", plan.name),
        ));
    };
    let meant = &access.vault;
    let access = VaultAccess {
        address: meant.address.clone(),
        token: meant.token.clone(),
        token_file: meant.token_file.clone(),
        role: meant.role.clone(),
        namespace: meant.namespace.clone(),
        authority: meant.authority.clone(),
        patience: limits::VAULT_TIME,
    };
    Ok(Place::Vault(Box::new(Vault::open(&at.mount, &at.path, &access)?)))
}

/// Everything that names the cluster's id: who, and which.
fn known<'a>(
    home: &Home,
    record: Option<&'a Record>,
    told: Option<&'a (PathBuf, String)>,
) -> impl Iterator<Item = (String, &'a str)> {
    let record = record.map(|record| (home.record().display().to_string(), record.id.as_str()));
    record.into_iter().chain(told.map(|(file, id)| (file.display().to_string(), id.as_str())))
}

fn remedy(home: &Home, settings: &Settings, plan: &ClusterPlan) -> String {
    format!(
        "put back the secrets that its machines know, from a backup or from version control (secrets.age); if no machine of \
         it is left, remove {} and {} to begin a new cluster",
        home.record().display(),
        settings.out.join("clusters").join(&plan.name).display()
    )
}

/// The id that the seeds in the results name, and where.
fn told(settings: &Settings, plan: &ClusterPlan) -> Result<Option<(PathBuf, String)>> {
    for node in &plan.nodes {
        let seeds = settings.out.join("clusters").join(&plan.name).join("seeds");
        let file = seeds.join(&node.name).join(seed::MANIFEST);
        if !file.is_file() {
            continue;
        }
        let bytes = files::read(&file, limits::RECORD_BYTES)?;
        // What is no manifest says nothing: it is written again.
        if let Ok(manifest) = serde_json::from_slice::<seed::Manifest>(&bytes) {
            return Ok(Some((file, manifest.cluster.id)));
        }
    }
    Ok(None)
}

fn sealed(home: &Home, access: &Access) -> Place {
    Place::Sealed { file: home.sealed(), identity: access.identity.clone() }
}

/// Writes secrets to where they are kept.
fn store(place: &Place, home: &Home, secrets: &PrivateFiles, record: &mut Record) -> Result<()> {
    if matches!(place, Place::Sealed { .. }) {
        if record.recipients.is_empty() {
            return Err(hinted(
                format!("{} does not say to whom {} is sealed", home.record().display(), place.shown()),
                "say it: `imgbuild secrets seal CLUSTER --to RECIPIENT...`",
            ));
        }
        record.sealed = Some(secret::digest(secrets)?);
    }
    place.write(secrets, &record.recipients)
}

/// Says when the sealed file beside the folder lacks something.
fn out_of_date(
    home: &Home,
    place: &Place,
    secrets: &PrivateFiles,
    record: &Record,
    progress: &dyn Progress,
) -> Result<()> {
    if !matches!(place, Place::Folder(_)) || !home.sealed().exists() {
        return Ok(());
    }
    if record.sealed != Some(secret::digest(secrets)?) {
        let file = home.sealed();
        let text = format!("{} is older than the secrets: `imgbuild secrets seal {}`", file.display(), record.cluster);
        progress.event(Event::Warning { text });
    }
    Ok(())
}

/// Says what ends soon.
fn ending(identity: &ClusterIdentity, progress: &dyn Progress) -> Result<()> {
    let soon = |entry: &Entry| entry.state != State::Good;
    let entries: Vec<Entry> = secret::calendar(identity, Source::system()?.now())?.into_iter().filter(soon).collect();
    if let Some(first) = entries.first() {
        let more = if entries.len() > 1 { format!(" and {} more", entries.len() - 1) } else { String::new() };
        let text = format!(
            "the certificate {}{more}: {}; `imgbuild secrets renew {}`",
            first.name,
            ends(first),
            identity.name
        );
        progress.event(Event::Warning { text });
    }
    Ok(())
}

fn ends(entry: &Entry) -> String {
    match (entry.days, entry.state) {
        (Some(days), State::Expired) => format!("ended {} days ago", -days),
        (Some(days), _) => format!("ends in {days} days"),
        (None, _) => "has no end".to_owned(),
    }
}

fn show(plan: &ClusterPlan, found: &Found) -> Result<Outcome, Failure> {
    let entries = secret::calendar(&found.identity, Source::system()?.now())?;
    let mut text = format!("{} ({}) in {}\n", plan.name, found.identity.id, found.place.shown());
    let width = |of: fn(&Entry) -> usize| entries.iter().map(of).max().unwrap_or(0);
    let (names, days) = (width(|entry| entry.name.len()), width(|entry| ends(entry).len()));
    for entry in &entries {
        let kind = match entry.kind {
            Kind::Authority => "authority",
            Kind::Leaf => "certificate",
            Kind::HostCertificate => "SSH host certificate",
        };
        let mark = match entry.state {
            State::Expired => "  EXPIRED",
            State::Soon => "  renew it",
            State::Good => "",
        };
        let day = entry.ends.as_deref().unwrap_or("-");
        let gone = if entry.kind != Kind::Authority && !is_there(plan, &entry.name) { ", machine removed" } else { "" };
        let _ = writeln!(
            text,
            "  {day:<10}  {:<days$}  {:<names$}  {kind} of {}{gone}{mark}",
            ends(entry),
            entry.name,
            entry.subject
        );
    }
    let value =
        json!({"cluster": plan.name, "id": found.identity.id, "place": found.place.shown(), "entries": entries});
    Ok(Outcome::new(text, &value))
}

fn is_there(plan: &ClusterPlan, name: &str) -> bool {
    plan.nodes.iter().any(|node| name.split('/').next() == Some(node.name.as_str()))
}

fn renew(plan: &ClusterPlan, home: &Home, found: Found, renewal: &Renewal) -> Result<Outcome, Failure> {
    let Found { place, files, identity, record } = found;
    let mut source = Source::system()?;
    let (identity, renewed) = secret::renew(plan, identity, renewal, &mut source)?;
    if renewed.is_empty() {
        let text = format!("nothing of {} ends within {} days\n", plan.name, secret::SOON_DAYS);
        return Ok(Outcome::new(text, &json!({"renewed": renewed})));
    }
    // What was dropped with an authority's key is made again, or left out.
    let identity = secret::make(plan, Some(identity), &mut source)?;
    let mut record = record.unwrap_or_else(|| Record::new(&plan.name, &identity.id));
    let after = secret::files(&identity);
    if after != files {
        store(&place, home, &after, &mut record)?;
        record.write(&home.record())?;
    }
    let mut text = format!("renewed in {}:\n", place.shown());
    for name in &renewed {
        let _ = writeln!(text, "  {name}");
    }
    let _ = writeln!(text, "`imgbuild seed {}` writes the seeds that carry them", plan.name);
    Ok(Outcome::new(text, &json!({"renewed": renewed})))
}

fn seal(plan: &ClusterPlan, home: &Home, found: Found, to: &[String], access: &Access) -> Result<Outcome, Failure> {
    let mut record = found.record.unwrap_or_else(|| Record::new(&plan.name, &found.identity.id));
    if !to.is_empty() {
        record.recipients = to.to_vec();
    } else if record.recipients.is_empty() {
        let own = secret::key(&access.identity).and_then(|key| secret::recipients_of(&key));
        record.recipients = own.context("nobody is named who may open the sealed file").hint(
            "name them: `imgbuild secrets seal CLUSTER --to age1...`, yourself among them; `age-keygen -y IDENTITY` \
             prints your own",
        )?;
    }
    record.recipients.sort();
    record.recipients.dedup();
    sealed(home, access).write(&found.files, &record.recipients)?;
    record.sealed = Some(secret::digest(&found.files)?);
    record.write(&home.record())?;
    let file = home.sealed();
    let mut text = format!("{}\n", file.display());
    for recipient in &record.recipients {
        let _ = writeln!(text, "  opens for {recipient}");
    }
    Ok(Outcome::new(text, &json!({"file": file, "recipients": record.recipients})))
}

/// Moves secrets; removes them where they were only when they are read whole from where they are now.
fn relocate(
    settings: &Settings,
    plan: &ClusterPlan,
    home: &Home,
    access: &Access,
    to: Keeping,
) -> Result<Outcome, Failure> {
    let remote = vault(plan, access)?;
    let beside = ClusterPlan { vault: None, ..plan.clone() };
    let (source, target) = match to {
        Keeping::Vault => (find(settings, home, &beside, access)?, remote),
        Keeping::Files => (find(settings, home, plan, access)?, Place::Folder(home.secrets())),
    };
    let found = source.ok_or_else(|| none_yet(plan))?;
    if let Some(there) = target.read()?.filter(|there| *there != found.files) {
        let same = secret::identity(there, &|path| target.of(path)).is_ok_and(|there| there.id == found.identity.id);
        if !same {
            let message = format!("{} holds something else than the secrets of {}", target.shown(), plan.name);
            return Err(hinted(message, "move it away, or name another path").into());
        }
    }
    target.write(&found.files, &[])?;
    if target.read()?.as_ref() != Some(&found.files) {
        let message = format!("{} does not hold what was written to it", target.shown());
        return Err(hinted(message, "nothing was removed; look for what lies there besides, and try again").into());
    }
    let mut text = format!("the secrets of {} are in {}\n", plan.name, target.shown());
    match (&found.place, to) {
        (Place::Folder(folder), Keeping::Vault) => {
            private::remove(folder)?;
            let _ = writeln!(text, "{} is removed", folder.display());
        }
        (Place::Sealed { file, .. }, Keeping::Vault) => {
            let _ = writeln!(text, "{} is still there", file.display());
        }
        _ => text.push_str("they are still in Vault; take `secrets:` out of the document now\n"),
    }
    Ok(Outcome::new(text, &json!({"from": found.place.shown(), "to": target.shown()})))
}

fn unseal(plan: &ClusterPlan, home: &Home, found: &Found, access: &Access) -> Result<Outcome, Failure> {
    let folder = home.secrets();
    let files = match &found.place {
        Place::Sealed { .. } => found.files.clone(),
        Place::Folder(_) | Place::Vault(_) => {
            let place = sealed(home, access);
            let there = place.read()?;
            let there = there.with_context(|| format!("there is no {}", home.sealed().display()));
            let there = there.hint(format!("`imgbuild secrets seal {}` makes it", plan.name))?;
            // Read as strictly as for use: what is put in place must be whole.
            let identity = secret::identity(there.clone(), &|path| place.of(path))?;
            if there != found.files || identity != found.identity {
                return Err(hinted(
                    format!("{} is there, and differs from {}", folder.display(), home.sealed().display()),
                    format!(
                        "which of them counts is for you to say: `imgbuild secrets seal {}` seals the folder; move the \
                         folder away to open the file",
                        plan.name
                    ),
                )
                .into());
            }
            there
        }
    };
    Place::Folder(folder.clone()).write(&files, &[])?;
    Ok(Outcome::new(format!("{}\n", folder.display()), &json!({"folder": folder})))
}
