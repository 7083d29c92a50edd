//! What was typed: the command line as the parser sees it, and the source of help, man pages and completions.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Builds immutable, per-role disk images for highly available clusters of virtual machines.
///
/// Needs a kernel with user namespaces and a package mirror: no root, no loop devices, no image tools.
/// Standard output is the result, everything else goes to standard error.
#[derive(Debug, Parser)]
#[command(name = "imgbuild", version, max_term_width = 100, disable_help_subcommand = true, after_long_help = AFTER)]
pub struct Typed {
    /// What all commands share.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const AFTER: &str = "\
Exit status: 0 done, 1 failed, 2 usage, 3 lock out of date, 4 not reproducible, 5 boot failed, 130 interrupted (143 by SIGTERM).

Environment: settings that last can be given as IMGBUILD_<FLAG> (IMGBUILD_OUT, IMGBUILD_LOCKED, ...); IMGBUILD_REPOSITORY_<NAME>=URL says where a \
repository is. XDG_CACHE_HOME, NO_COLOR, http_proxy, https_proxy and no_proxy are respected.";

const AUDIT: &str = "\
The list has the form of the Debian security tracker's JSON export, and may be compressed with gzip, xz or zstd. An image of Ubuntu cannot be \
held against it.

What was judged to be no concern is kept in audit.yaml beside the lock, with its reason:

    version: 1
    ignore:
      CVE-2024-0001: the affected module is not loaded

Exit status: 0 when nothing of the wanted severity was found that audit.yaml does not name, 1 otherwise or when something failed.";

const SECRETS: &str = "\
`imgbuild seed` makes a cluster's secrets once and keeps them in seeds/<cluster>/secrets, one file for each, which only you can read and git \
ignores. Beside them, seeds/<cluster>/record.json says which generation each machine was told last: it is no secret and belongs into version \
control. Keep a copy of the secrets: without them nothing new can be told to the cluster's machines. `secrets seal` makes one, which may \
be published to those who can open it.

With `secrets: {vault: {path: imgbuild/demo}}` in its document, a cluster's secrets are in HashiCorp Vault or OpenBao: VAULT_ADDR, and \
VAULT_TOKEN (or what `vault login` left, or VAULT_ROLE_ID and VAULT_SECRET_ID for AppRole), VAULT_NAMESPACE and VAULT_CACERT say how to get \
there.";

/// Flags of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// Work as if started in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR", env = "IMGBUILD_DIRECTORY", hide_env_values = true)]
    pub directory: Option<PathBuf>,
    /// Where results go [default: out]
    #[arg(long, global = true, value_name = "DIR", env = "IMGBUILD_OUT", hide_env_values = true)]
    pub out: Option<PathBuf>,
    /// Where packages, layers and tools are kept [default: $XDG_CACHE_HOME/imgbuild]
    #[arg(long, global = true, value_name = "DIR", env = "IMGBUILD_CACHE", hide_env_values = true)]
    pub cache: Option<PathBuf>,
    /// How many things are done at once [default: the number of processors]
    #[arg(short, long, global = true, value_name = "N", env = "IMGBUILD_JOBS", hide_env_values = true)]
    pub jobs: Option<NonZeroUsize>,
    /// Results and errors as JSON; progress too, unless --progress says otherwise
    #[arg(long, global = true, env = "IMGBUILD_JSON", hide_env_values = true)]
    pub json: bool,
    /// How progress is shown
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        default_value = "auto",
        env = "IMGBUILD_PROGRESS",
        hide_env_values = true
    )]
    pub progress: ProgressStyle,
    /// Show what is being done, line by line; twice: also what the programs of the target say
    #[arg(short, long, global = true, action = clap::ArgAction::Count, env = "IMGBUILD_VERBOSE", hide_env_values = true)]
    pub verbose: u8,
    /// Show only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", env = "IMGBUILD_QUIET", hide_env_values = true)]
    pub quiet: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressStyle {
    /// Bars on a terminal, lines otherwise
    Auto,
    /// One line per phase
    Plain,
    /// One JSON object per event and line
    Json,
    /// Warnings and errors only
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build role images
    #[command(visible_alias = "build")]
    Role(Role),
    /// Show what would be built; uses no network and writes nothing
    #[command(subcommand)]
    Plan(Plan),
    /// Write a cluster's secrets, where they are missing, and one seed for each of its machines
    ///
    /// Seeds go to out/clusters/CLUSTER/seeds: NODE.iso for the machine (its volume `cidata`), and NODE/ with the same files
    /// to read. They hold the machines' secrets and are readable to you alone. Written again, they are the same to the
    /// byte; a machine's generation rises when what it is told has changed.
    ///
    /// `--form http` writes a folder `nocloud.http` beside them that any web server can serve as it is, and prints what each
    /// machine's kernel argument or SMBIOS serial number must be. Plain cloud-init images read it. Images of imgbuild do not,
    /// whether they trust a key or not: a verified seed comes from a volume alone, before there is any network.
    Seed(super::typed_seed::Seed),
    /// Check every input, or a cluster with all that it names
    Check {
        /// A cluster: its folder below seeds/, or a path [default: every document there is]
        cluster: Option<String>,
        /// Show the machines' documents to the programs that will read them, in the roots of their images
        #[arg(long, requires = "cluster")]
        deep: bool,
        /// How plans are drawn.
        #[command(flatten)]
        selection: Selection,
    },
    /// Write or refresh the pins in imgbuild.lock, or compare them
    #[command(args_conflicts_with_subcommands = true)]
    Lock(Lock),
    /// Start one machine in QEMU, its console here
    Boot(Boot),
    /// A whole cluster on this machine, in QEMU
    #[command(subcommand)]
    Lab(super::typed_lab::Lab),
    /// A shell in a role's root, in the sandbox
    Shell(Shell),
    /// Provide the root with QEMU that `boot` uses where the host's own will not do, and print its path
    #[command(hide = true)]
    MachineTools(Selection),
    /// Put everything that a locked build takes into one file, for machines without any mirror
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Bundle(Bundle),
    /// Hold built images against a list of known vulnerabilities
    #[command(after_long_help = AUDIT)]
    Audit(Audit),
    /// Show what an image holds, from its bytes
    ///
    /// With a path behind the image's name (`web.qcow2:/etc/fstab`) the file or folder of that path, as the machine
    /// would see it: nothing is mounted or booted.
    Inspect {
        /// A disk image (qcow2 or raw) or a seed; an image may be followed by `:/PATH`
        #[arg(value_name = "FILE[:/PATH]")]
        file: PathBuf,
    },
    /// Show why two images or results differ, down to the file and the byte
    ///
    /// Exit status: 0 the same, 1 different, 2 trouble.
    Diff {
        /// A built image's name, the folder of a result, or an image file
        a: String,
        /// The other
        b: String,
    },
    /// Read everything of a result again: checksums, signature, manifest, disk, cached packages
    ///
    /// Exit status: 0 sound, 1 damaged, 4 another build gives other bytes.
    Verify(Verify),
    /// Look after a cluster's secrets: what expires when, renewal, sealing for version control
    #[command(subcommand, after_long_help = SECRETS)]
    Secrets(Secrets),
    /// Show or tidy the cache
    #[command(subcommand)]
    Cache(Cache),
    /// Look at this machine and say what is missing, with the command that mends it
    Doctor(Repositories),
    /// Write a starting set of recipes and roles into the project folder
    Init {
        /// Replace files that are there already
        #[arg(long)]
        force: bool,
    },
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages
    Man {
        /// The folder to write them to
        folder: PathBuf,
    },
}

/// Which images.
#[derive(Args, Debug)]
pub struct Names {
    /// Roles; `haproxy+gateway` is one image with both
    #[arg(value_name = "NAME", required_unless_present = "all")]
    pub names: Vec<String>,
    /// Every role there is
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

/// How plans are drawn.
#[derive(Args, Debug)]
#[command(next_help_heading = "Selection")]
pub struct Selection {
    /// The recipe [default: debian-trixie]
    #[arg(long, value_name = "RECIPE", env = "IMGBUILD_RECIPE", hide_env_values = true)]
    pub recipe: Option<String>,
    /// The kernel flavour [default: the recipe's]
    #[arg(long, value_name = "FLAVOUR", env = "IMGBUILD_KERNEL", hide_env_values = true)]
    pub kernel: Option<String>,
    /// Accept seeds only of clusters whose key was signed by the key in this file (`ssh-ed25519 ...`); may be repeated
    #[arg(long, value_name = "KEY.pub", env = "IMGBUILD_TRUST", hide_env_values = true)]
    pub trust: Vec<PathBuf>,
    /// Value of a role's parameter (`NAME` or `ROLE.NAME`); may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// Where repositories are.
    #[command(flatten)]
    pub repositories: Repositories,
    /// Fail (exit status 3) rather than add anything to imgbuild.lock
    #[arg(long, env = "IMGBUILD_LOCKED", hide_env_values = true)]
    pub locked: bool,
    /// Use no network: everything comes from the cache
    #[arg(long, env = "IMGBUILD_OFFLINE", hide_env_values = true)]
    pub offline: bool,
}

/// Where repositories are.
#[derive(Args, Debug)]
pub struct Repositories {
    /// Where a repository is; may be repeated (or IMGBUILD_REPOSITORY_<NAME>)
    #[arg(long = "repository", value_name = "NAME=URL", value_parser = pair)]
    pub repositories: Vec<(String, String)>,
}

/// `imgbuild role`.
#[derive(Args, Debug)]
pub struct Role {
    /// Which images.
    #[command(flatten)]
    pub names: Names,
    /// How their plans are drawn.
    #[command(flatten)]
    pub selection: Selection,
    /// Image formats, separated by commas
    #[arg(
        long = "format",
        value_name = "FORMAT",
        value_delimiter = ',',
        default_value = "qcow2",
        env = "IMGBUILD_FORMAT",
        hide_env_values = true,
        help_heading = "Results"
    )]
    pub formats: Vec<Format>,
    /// How qcow2 clusters are compressed
    #[arg(
        long,
        value_name = "HOW",
        default_value = "zstd",
        env = "IMGBUILD_COMPRESSION",
        hide_env_values = true,
        help_heading = "Results"
    )]
    pub compression: Compression,
    /// Take packages from this bundle; in an empty folder, documents and pins too, and leave the network alone
    #[arg(long, value_name = "FILE", env = "IMGBUILD_BUNDLE", hide_env_values = true, help_heading = "Selection")]
    pub bundle: Option<PathBuf>,
    /// Sign the results' checksums: a secret key of minisign or OpenSSH
    #[arg(long, value_name = "KEYFILE", env = "IMGBUILD_SIGN", hide_env_values = true, help_heading = "Results")]
    pub sign: Option<PathBuf>,
    /// A file with the key's password in its first line, which nobody else can read [default: asked on the terminal]
    #[arg(long, value_name = "FILE", env = "IMGBUILD_SIGN_PASSWORD", hide_env_values = true, help_heading = "Results")]
    pub sign_password: Option<PathBuf>,
    /// When a root cannot be assembled, a shell in it as it stands then
    #[arg(long, env = "IMGBUILD_DEBUG_SHELL", hide_env_values = true, help_heading = "Results")]
    pub debug_shell: bool,
}

/// An image format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Compressed, for QEMU, libvirt, Proxmox and OpenStack
    Qcow2,
    /// The disk byte for byte, sparse
    Raw,
}

/// How qcow2 clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Fast and small; needs QEMU 5.1 or newer
    Zstd,
    /// Read by everything
    Zlib,
}

/// `imgbuild plan`.
#[derive(Debug, Subcommand)]
pub enum Plan {
    /// What role images would hold
    Role {
        /// Which images.
        #[command(flatten)]
        names: Names,
        /// How their plans are drawn.
        #[command(flatten)]
        selection: Selection,
    },
    /// What the machines of a cluster would be: names, addresses, services
    Cluster {
        /// Its folder below seeds/, or a path
        cluster: String,
    },
}

/// `imgbuild lock`.
#[derive(Args, Debug)]
pub struct Lock {
    /// `lock diff`.
    #[command(subcommand)]
    pub verb: Option<LockVerb>,
    /// Roles; every role when none is named
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Resolve everything anew instead of keeping what is pinned
    #[arg(long)]
    pub update: bool,
    /// How plans are drawn.
    #[command(flatten)]
    pub selection: Selection,
}

/// `imgbuild lock diff`.
#[derive(Debug, Subcommand)]
pub enum LockVerb {
    /// Compare the pins with what the repositories carry now; writes nothing
    Diff(Selection),
}

/// `imgbuild boot`.
#[derive(Args, Debug)]
pub struct Boot {
    /// A built image's name, or a file
    pub image: String,
    /// Which firmware starts it
    #[arg(long, value_name = "FIRMWARE", default_value = "uefi", env = "IMGBUILD_FIRMWARE", hide_env_values = true)]
    pub firmware: Firmware,
    /// A NoCloud seed: a folder or an ISO file
    #[arg(long, value_name = "DIR|ISO", env = "IMGBUILD_SEED", hide_env_values = true)]
    pub seed: Option<PathBuf>,
    /// Size of the machine's disk, such as 20G [default: the image's own]
    #[arg(long, value_name = "SIZE", value_parser = crate::base::size::Bytes::parse, env = "IMGBUILD_SIZE", hide_env_values = true)]
    pub size: Option<crate::base::size::Bytes>,
    /// Main memory
    #[arg(long, value_name = "SIZE", value_parser = crate::base::size::Bytes::parse, default_value = "2 GiB", env = "IMGBUILD_MEMORY", hide_env_values = true)]
    pub memory: crate::base::size::Bytes,
    /// Processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), default_value = "2", env = "IMGBUILD_PROCESSORS", hide_env_values = true)]
    pub processors: u32,
    /// Keep the machine's disk in this file, to boot it again [default: thrown away]
    #[arg(long, value_name = "FILE", env = "IMGBUILD_DISK", hide_env_values = true)]
    pub disk: Option<PathBuf>,
    /// Port of 127.0.0.1 that leads to the machine's port 22
    #[arg(long, value_name = "PORT", env = "IMGBUILD_SSH_PORT", hide_env_values = true)]
    pub ssh_port: Option<u16>,
    /// Where the emulator's packages come from.
    #[command(flatten)]
    pub selection: Selection,
}

/// `imgbuild verify`.
#[derive(Args, Debug)]
pub struct Verify {
    /// A built image's name, the folder of a result, or an image file
    pub name: String,
    /// Whose signature must be there: a public key of minisign or OpenSSH, allowed signers, or a file with one
    #[arg(long, value_name = "PUBLIC_KEY", env = "IMGBUILD_SIGNER", hide_env_values = true)]
    pub signer: Option<String>,
    /// Build it a second time, from its packages alone, and compare every byte
    #[arg(long, env = "IMGBUILD_REBUILD", hide_env_values = true)]
    pub rebuild: bool,
    /// How the plan of the second build is drawn; recipe and kernel are those of the result.
    #[command(flatten)]
    pub selection: Selection,
}

/// Which firmware starts a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Firmware {
    /// SeaBIOS
    Bios,
    /// OVMF
    Uefi,
    /// OVMF with Secure Boot enforced
    Secure,
}

/// `imgbuild shell`.
#[derive(Args, Debug)]
pub struct Shell {
    /// The role, or several joined by `+`
    pub name: String,
    /// How its plan is drawn.
    #[command(flatten)]
    pub selection: Selection,
}

/// `imgbuild bundle`.
#[derive(Args, Debug)]
pub struct Bundle {
    /// `bundle import`.
    #[command(subcommand)]
    pub verb: Option<BundleVerb>,
    /// Which images.
    #[command(flatten)]
    pub names: Names,
    /// Where the bundle goes [default: <out>/bundles/<names>.bundle]
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How their plans are drawn.
    #[command(flatten)]
    pub selection: Selection,
}

/// `imgbuild bundle import`.
#[derive(Debug, Subcommand)]
pub enum BundleVerb {
    /// Take a bundle's packages and indices into the cache, its documents and pins into the project folder
    Import {
        /// The bundle
        file: PathBuf,
    },
}

/// `imgbuild audit`.
#[derive(Args, Debug)]
pub struct Audit {
    /// Names of built images, or folders of results
    #[arg(value_name = "NAME", required = true)]
    pub images: Vec<String>,
    /// The list: a file or a URL [default: the recipe's `vulnerabilities:`]
    #[arg(long, value_name = "URL|FILE", env = "IMGBUILD_AGAINST", hide_env_values = true)]
    pub against: Option<String>,
    /// The least severity that makes the exit status 1
    #[arg(long, value_name = "SEVERITY", default_value = "low", env = "IMGBUILD_FAIL_ON", hide_env_values = true)]
    pub fail_on: Severity,
    /// Use no network: a list from a URL is the one that was fetched last
    #[arg(long, env = "IMGBUILD_OFFLINE", hide_env_values = true)]
    pub offline: bool,
}

/// How bad something is, by Debian's own judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Severity {
    /// No risk in practice
    Unimportant,
    /// Low
    Low,
    /// Nobody has judged it yet
    Unassigned,
    /// Medium
    Medium,
    /// High
    High,
    /// Whatever is found, the exit status is 0
    Never,
}

/// `imgbuild secrets`.
#[derive(Debug, Subcommand)]
pub enum Secrets {
    /// Make what is missing of them, without writing seeds
    ///
    /// `imgbuild seed` does so itself. Alone it serves to have the cluster's key (seeds/<cluster>/secrets/seed.pub) signed for
    /// images that trust another one: `ssh-keygen -Y sign -n imgbuild-cluster -f KEY .../seed.pub` writes seed.pub.sig beside it,
    /// and every seed carries that signature.
    Make(SecretsOf),
    /// Show what expires when; shows no secret
    Show(SecretsOf),
    /// Renew certificates: with no name, those that end within 90 days
    ///
    /// A certificate keeps its key and gets a new serial number and period. The next `imgbuild seed` tells the machines.
    Renew {
        /// Which cluster, and how its secrets are opened.
        #[command(flatten)]
        of: SecretsOf,
        /// Machines (all certificates of each), certificates (MACHINE/NAME) or authorities, as `secrets show` names them
        #[arg(value_name = "NAME", conflicts_with = "all")]
        names: Vec<String>,
        /// Every certificate of every machine
        #[arg(long)]
        all: bool,
        /// Authorities too, where they are named or end soon; they keep their keys, so that all they signed stays valid
        #[arg(long)]
        authority: bool,
        /// With new keys; an authority's new key makes everything anew that the old one signed
        #[arg(long)]
        new_keys: bool,
    },
    /// Seal the secrets into seeds/<cluster>/secrets.age, for version control
    ///
    /// Where the folder of the secrets is not there, every command opens this file with the identity instead.
    Seal {
        /// Which cluster, and how its secrets are opened.
        #[command(flatten)]
        of: SecretsOf,
        /// Who can open it: age's recipients [default: as the last time, at first the identity's own]
        #[arg(long, value_name = "RECIPIENT", num_args = 1.., value_delimiter = ',')]
        to: Vec<String>,
    },
    /// Open the sealed file into the folder of the secrets
    Unseal(SecretsOf),
    /// Move the secrets into Vault, or out of it
    ///
    /// Into Vault: the cluster's document says where (`secrets: {vault: {path: imgbuild/demo}}`); what is there is compared
    /// before the folder is removed. Out of it: into the folder; what is in Vault stays there.
    Move {
        /// Which cluster, and how its secrets are opened.
        #[command(flatten)]
        of: SecretsOf,
        /// Where to
        #[arg(long)]
        to: Keeping,
    },
}

/// Where secrets can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keeping {
    /// In HashiCorp Vault or OpenBao (key-value store, version 2)
    Vault,
    /// In seeds/<cluster>/secrets
    Files,
}

/// Which cluster's secrets, and how they are opened.
#[derive(Args, Debug)]
pub struct SecretsOf {
    /// A cluster: its folder below seeds/, or a path
    pub cluster: String,
    /// How they are opened.
    #[command(flatten)]
    pub access: Access,
}

/// How a cluster's secrets are opened.
#[derive(Args, Debug)]
pub struct Access {
    /// Your identities for age, to open sealed secrets [default: $XDG_CONFIG_HOME/imgbuild/identity.txt]
    #[arg(long, value_name = "FILE", env = "IMGBUILD_IDENTITY", hide_env_values = true)]
    pub identity: Option<PathBuf>,
}

/// `imgbuild cache`.
#[derive(Debug, Subcommand)]
pub enum Cache {
    /// Show what the cache holds and how much room it takes
    Status,
    /// Remove what no lock and no recent build needs; of each image the newest three stay
    Prune,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
