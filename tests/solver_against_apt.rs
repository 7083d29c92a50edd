//! The solver against the real apt: the same requests over the same indices must give the same packages.
//!
//! apt runs in a trixie root made by mmdebstrap (as root, from the host's own mirror), in simulation, over an empty
//! dpkg status for the base and over a made-up one (base installed) for a role. Where no such root can be made, the
//! test says so loudly. `IMGBUILD_TEST_TRIXIE_ROOT` names a root that is there already.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use anyhow::{Context as _, Result, bail, ensure};
use imgbuild::base::process::{Run, find};
use imgbuild::package::control::Stanzas;
use imgbuild::package::solver::{Problem, Request, SolveError, solve};
use imgbuild::package::universe::{EntryId, Origin, Universe};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What the recipe debian-trixie asks for.
const BASE: &str = "init systemd systemd-sysv systemd-resolved libpam-systemd dbus udev apt debian-archive-keyring \
    debconf login passwd mount mawk tzdata libpam-modules libpam-runtime netbase kmod procps linux-sysctl-defaults sudo \
    logrotate netplan.io iproute2 iputils-ping chrony openssh-server ca-certificates cloud-init lvm2 e2fsprogs xfsprogs \
    fdisk dosfstools initramfs-tools busybox zstd grub2-common grub-pc-bin grub-efi-amd64-bin grub-efi-amd64-signed \
    shim-signed less nano linux-image-amd64 qemu-guest-agent";

/// Name, whether upon [`BASE`], requests.
const SETS: &[(&str, bool, &str)] = &[
    ("base", false, BASE),
    ("minimal", false, "systemd-sysv linux-image-cloud-amd64"),
    ("empty", false, ""),
    ("haproxy-pcs", true, "haproxy corosync pacemaker crmsh pcs"),
    ("haproxy", true, "haproxy corosync pacemaker pacemaker-cli-utils resource-agents crmsh"),
    ("frontend", true, "haproxy keepalived nftables"),
    ("gateway", true, "dnsmasq nftables chrony ipxe"),
    ("etcd", true, "etcd-server etcd-client"),
    ("gluster", true, "glusterfs-server glusterfs-client xfsprogs"),
    ("worker", true, "containerd conntrack ethtool socat ebtables ipset"),
    ("ceph", true, "ceph ceph-mds cephadm"),
    ("mail", true, "mailutils"),
    ("virtual", true, "bsd-mailx apticron"),
    ("exim", true, "exim4 mutt"),
    ("web", true, "apache2 libapache2-mod-php mariadb-server php-mysql"),
    ("postgresql", true, "postgresql pgbouncer patroni"),
    ("build", true, "build-essential debhelper dkms"),
    ("hypervisor", true, "qemu-system-x86 libvirt-daemon-system virtinst guestfs-tools"),
    ("docker", true, "docker.io docker-compose buildah"),
    ("java", true, "tomcat10 maven"),
    ("samba", true, "samba winbind krb5-user"),
    ("monitoring", true, "prometheus prometheus-node-exporter nagios4"),
    ("python", true, "python3-all-dev python3-venv jupyter-notebook"),
    ("desktop", true, "xfce4 firefox-esr"),
    ("gnome", true, "gnome-core"),
    ("awk", true, "gawk original-awk"),
    ("resolver", true, "openresolv isc-dhcp-client"),
    ("syslog", true, "rsyslog logrotate"),
    ("editor", true, "vim emacs"),
    ("network", true, "network-manager wpasupplicant bird2 frr"),
    ("tex", true, "texlive-latex-extra"),
    ("init", false, "sysvinit-core"),
    ("tools", false, "e2fsprogs grub-common grub-pc-bin libarchive13t64"),
];

struct Root {
    path: PathBuf,
    texts: Vec<(String, String, Vec<u8>)>,
}

impl Root {
    fn find_or_make() -> Result<Self> {
        let path = std::env::var_os("IMGBUILD_TEST_TRIXIE_ROOT").map(PathBuf::from);
        let path = path.unwrap_or_else(|| PathBuf::from("/var/tmp/imgbuild-test-trixie-root"));
        if !path.join("usr/bin/apt-get").exists() {
            Self::make(&path)?;
        }
        let lists = path.join("var/lib/apt/lists");
        let indices = || -> Result<BTreeMap<String, PathBuf>> {
            let mut found = BTreeMap::new();
            for entry in std::fs::read_dir(&lists)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with("_binary-amd64_Packages") {
                    found.insert(name, entry.path());
                }
            }
            Ok(found)
        };
        if indices()?.is_empty() {
            Run::new("chroot").arg(&path).args(["apt-get", "update"]).output()?;
        }
        let found = indices()?;
        let mut texts = Vec::new();
        // In the order of sources.list, which is also apt's.
        for suite in ["trixie", "trixie-updates", "trixie-security"] {
            for component in ["main", "contrib", "non-free-firmware"] {
                let ending = format!("_dists_{suite}_{component}_binary-amd64_Packages");
                if let Some((_, file)) = found.iter().find(|(name, _)| name.ends_with(&ending)) {
                    texts.push((suite.to_owned(), component.to_owned(), std::fs::read(file)?));
                }
            }
        }
        ensure!(texts.len() >= 3, "the root at {} has {} indices", path.display(), texts.len());
        Ok(Self { path, texts })
    }

    fn make(path: &Path) -> Result<()> {
        ensure!(find("mmdebstrap").is_some(), "mmdebstrap is not installed");
        let policy = Run::new("apt-cache").arg("policy").output()?;
        let policy = String::from_utf8_lossy(&policy.stdout).into_owned();
        let mirrors = policy.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with("http")));
        let mirrors: Vec<&str> = mirrors.collect();
        let main =
            mirrors.iter().find(|url| url.ends_with("/debian")).context("the host's apt has no Debian mirror")?;
        let security = mirrors.iter().find(|url| url.ends_with("/debian-security"));
        let components = "main contrib non-free-firmware";
        let mut sources = format!("deb {main} trixie {components}\ndeb {main} trixie-updates {components}\n");
        if let Some(security) = security {
            sources.push_str(&format!("deb {security} trixie-security {components}\n"));
        }
        let made = Run::new("mmdebstrap")
            .args(["--mode=root", "--variant=apt", "--architectures=amd64", "--skip=cleanup/apt/lists", "trixie"])
            .arg(path)
            .arg("-")
            .input(sources)
            .output()?;
        if !made.status.success() {
            bail!("mmdebstrap failed: {}", String::from_utf8_lossy(&made.stderr));
        }
        Ok(())
    }

    fn universe(&self) -> Universe<'_> {
        let mut universe = Universe::new("amd64");
        for (suite, component, text) in &self.texts {
            let origin = Origin { repository: "debian", suite, aliases: [None; 2], priority: 500 };
            universe.add_index(origin, text).with_context(|| format!("reading {suite}/{component}")).unwrap();
        }
        universe
    }

    /// What apt would install, as `name version`; `None` when it refuses.
    fn apt(&self, requests: &str, essential: bool, recommends: bool, status: &str) -> Result<Option<BTreeSet<String>>> {
        std::fs::write(self.path.join("tmp/imgbuild-status"), status)?;
        // A cache of its own: the root's was made with apt itself counted as essential.
        std::fs::create_dir_all(self.path.join("tmp/imgbuild-cache"))?;
        let mut words: Vec<&str> = requests.split_whitespace().collect();
        if essential {
            words.insert(0, "?essential");
        }
        let output = Run::new("chroot")
            .arg(&self.path)
            .args(["apt-get", "-s", "-qq", "install"])
            .args(["-o", "Dir::State::status=/tmp/imgbuild-status", "-o", "Dir::State::extended_states=/dev/null"])
            .args(["-o", "Dir::Cache=/tmp/imgbuild-cache", "-o", "pkgCacheGen::ForceEssential=,"])
            .args(["-o", "APT::Get::AutomaticRemove=false"])
            .arg("-o")
            .arg(format!("APT::Install-Recommends={recommends}"))
            .args(words)
            .output()?;
        if !output.status.success() {
            eprintln!("apt refuses: {}", String::from_utf8_lossy(&output.stderr));
            return Ok(None);
        }
        let text = String::from_utf8(output.stdout)?;
        let mut found = BTreeSet::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("Inst") => {
                    let name = words.next().context("Inst without a name")?;
                    let version = words.next().context("Inst without a version")?.trim_start_matches('(');
                    found.insert(format!("{name} {version}"));
                }
                // Here nothing given is ever removed: where apt would, refusing is right.
                Some("Remv") => {
                    eprintln!("apt would remove: {line}");
                    return Ok(None);
                }
                _ => {}
            }
        }
        Ok(Some(found))
    }
}

fn ours(
    universe: &mut Universe<'_>,
    requests: &str,
    given: &[EntryId],
    essential: bool,
    recommends: bool,
) -> Result<Vec<EntryId>, SolveError> {
    let requests: Vec<Request> = requests.split_whitespace().map(|text| Request::parse(text).unwrap()).collect();
    let problem = Problem { requests: &requests, locals: &[], given, essential, recommends };
    Ok(solve(universe, &problem)?.into_iter().map(|chosen| chosen.entry).collect())
}

/// A dpkg status in which these packages are installed.
fn status(root: &Root, installed: &BTreeSet<String>) -> String {
    let mut text = String::new();
    let mut written = BTreeSet::new();
    for (_, _, index) in &root.texts {
        for stanza in Stanzas::new(index) {
            let stanza = stanza.unwrap();
            let key = format!("{} {}", stanza.get("Package").unwrap(), stanza.get("Version").unwrap());
            if installed.contains(&key) && written.insert(key) {
                let fields =
                    stanza.fields().filter(|(name, _)| !["Filename", "Size", "SHA256", "MD5sum"].contains(name));
                text.extend(fields.map(|(name, value)| format!("{name}: {value}\n")));
                text.push_str("Status: install ok installed\n\n");
            }
        }
    }
    text
}

#[test]
fn solutions_are_those_of_apt() {
    let root = match Root::find_or_make() {
        Ok(root) => root,
        Err(error) => {
            eprintln!("SKIPPED: solver_against_apt: no trixie root: {error:#}");
            return;
        }
    };
    let only = std::env::var("IMGBUILD_TEST_SET").ok();
    // All sets take minutes: an everyday run compares a third of them without Recommends and another third with.
    let long = std::env::var_os("IMGBUILD_TEST_LONG").is_some();
    let (mut compared, mut different) = (0, Vec::new());
    let whole = root.universe();
    for recommends in [false, true] {
        let mut universe = whole.clone();
        let base = ours(&mut universe, BASE, &[], true, recommends).unwrap();
        let shown = |universe: &Universe<'_>, ids: &[EntryId]| -> BTreeSet<String> {
            ids.iter().map(|id| universe.shown(*id)).collect()
        };
        let installed = status(&root, &shown(&universe, &base));
        for (at, (name, upon_base, requests)) in SETS.iter().enumerate() {
            let wanted = match &only {
                Some(only) => only == name,
                None => long || at % 3 == usize::from(recommends),
            };
            if !wanted {
                continue;
            }
            let mut universe = whole.clone();
            let given: &[EntryId] = if *upon_base { &base } else { &[] };
            let found = ours(&mut universe, requests, given, !upon_base, recommends);
            let status = if *upon_base { &*installed } else { "" };
            let expected = root.apt(requests, !upon_base, recommends, status).unwrap();
            compared += 1;
            match (found, expected) {
                (Ok(found), Some(expected)) => {
                    let found = shown(&universe, &found);
                    let more: Vec<&String> = found.difference(&expected).collect();
                    let less: Vec<&String> = expected.difference(&found).collect();
                    eprintln!("{name} (recommends: {recommends}): {} packages", expected.len());
                    if !more.is_empty() || !less.is_empty() {
                        different
                            .push(format!("{name} (recommends: {recommends}): only here {more:?}, only apt {less:?}"));
                    }
                }
                (Err(_), None) => eprintln!("{name} (recommends: {recommends}): refused by both"),
                (Ok(_), None) => different.push(format!("{name} (recommends: {recommends}): only apt refuses")),
                (Err(error), Some(_)) => different.push(format!("{name} (recommends: {recommends}): {error}")),
            }
        }
    }
    assert!(different.is_empty(), "of {compared} sets, {} differ:\n{}", different.len(), different.join("\n"));
    assert!(only.is_some() || compared >= if long { 60 } else { 20 }, "only {compared} sets were compared");
}
