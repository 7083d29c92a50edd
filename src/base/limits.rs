//! Every limit on what comes from the network or from a file, in one place: sizes, counts, depths, memory and time.
//!
//! Whatever is read is hostile until it is verified, and some of it is read before it can be verified. Each limit is far
//! above anything seen in a real archive or image and far below what would fill memory, disk or a day. The unit is the
//! last word of the name, or is said. Limits that a format itself sets (the clusters of a FAT, the sectors of a GPT) stand
//! with its layout; those of the guest's executable in `node/`, which knows nothing of the builder.

use super::size::{GIB, KIB, MIB};
use std::time::Duration;

// --- the network: package/download ---

/// Attempts for one file at all, however much progress each makes: a server that cuts every connection is left.
pub const DOWNLOAD_ATTEMPTS: u32 = 100;
/// Attempts for one file in a row without progress.
pub const DOWNLOAD_FAILURES: u32 = 5;
/// Redirections followed for one request: mirrors redirect once or twice.
pub const DOWNLOAD_REDIRECTIONS: usize = 10;
/// Name resolution, connection and TLS handshake, each.
pub const DOWNLOAD_CONNECT_TIME: Duration = Duration::from_secs(15);
/// Silence of a server, before and within an answer.
pub const DOWNLOAD_SILENCE_TIME: Duration = Duration::from_secs(30);
/// Wait between two attempts that is of our own making.
pub const DOWNLOAD_WAIT_TIME: Duration = Duration::from_secs(8);
/// A server's wish for a pause is heard up to this long.
pub const DOWNLOAD_RETRY_AFTER_TIME: Duration = Duration::from_secs(30);
/// Over how long a server's speed is judged: one that drips a byte before each silence grows too long gives nothing.
pub const DOWNLOAD_RATE_TIME: Duration = Duration::from_secs(60);
/// Bytes per second, over [`DOWNLOAD_RATE_TIME`], below which a server counts as silent. A modem gives ten times as many.
pub const DOWNLOAD_RATE_BYTES: u64 = 512;
/// One file in all: a gigabyte comes within it over a line of one megabit.
pub const DOWNLOAD_TIME: Duration = Duration::from_secs(6 * 3600);

// --- archives: package/archive, package/openpgp, package/control ---

/// A Release or InRelease file. Debian's unstable has some 250 KB.
pub const RELEASE_BYTES: u64 = 32 * MIB;
/// The signatures beside a Release file.
pub const RELEASE_SIGNATURE_BYTES: u64 = MIB;
/// Files that one Release file lists. Debian's unstable lists some 4,000 per digest.
pub const RELEASE_FILES: usize = 200_000;
/// Signatures of one text: each costs a verification per key. Debian's own carry three.
pub const RELEASE_SIGNATURES: usize = 16;
/// A keyring. Debian's have 60 KB.
pub const KEYRING_BYTES: usize = 4 << 20;
/// Certificates of one keyring. Debian's have some ten.
pub const KEYRING_CERTIFICATES: usize = 1024;
/// An unpacked index. Debian's main has 57 MB, Ubuntu's universe 70 MB.
pub const INDEX_BYTES: u64 = GIB;
/// Packages of all indices together. Debian's main has 70,000.
pub const INDEX_PACKAGES: usize = 2_000_000;
/// What a decoder of an index may allocate: xz needs 65 MiB at most.
pub const INDEX_DECODER_MEMORY_BYTES: u64 = 256 * MIB;
/// Base-2 logarithm of the largest zstd window (128 MiB): the library's own default.
pub const ZSTD_WINDOW_LOG: u32 = 27;
/// Fields of one stanza of a control file. Real ones have some 30.
pub const STANZA_FIELDS: usize = 256;
/// One relationship field. The longest real ones have some 30 KB.
pub const RELATION_BYTES: usize = 256 << 10;
/// A version number. Real ones have up to 80.
pub const VERSION_BYTES: usize = 256;
/// A `.deb`, and a pinned download whose size is not known.
pub const DOWNLOAD_BYTES: u64 = 16 * GIB;
/// Decisions of one resolution: several hundred times what the largest real one takes.
pub const SOLVER_CHOICES: usize = 200_000;
/// The lock file, half a kilobyte for each package.
pub const LOCK_BYTES: u64 = 256 * MIB;
/// One list of the sources of the host's apt.
pub const HOST_LIST_BYTES: u64 = MIB;
/// Lists of the sources of the host's apt that are looked at.
pub const HOST_LISTS: usize = 1000;

// --- what is carried and compared: package/bundle, package/tracker ---

/// The index of a bundle: some 150 bytes for each file.
pub const BUNDLE_INDEX_BYTES: u64 = 64 * MIB;
/// Files and links of a bundle.
pub const BUNDLE_FILES: usize = 200_000;
/// A name in a bundle: a tar header has 155 bytes for folders and 100 for the rest.
pub const BUNDLE_PATH_BYTES: usize = 250;
/// Zeros behind the last file of a bundle: some programs fill up to 10 KiB.
pub const BUNDLE_PADDING_BYTES: u64 = 64 * KIB;
/// An unpacked list of vulnerabilities. Debian's has some 70 MB.
pub const VULNERABILITY_LIST_BYTES: u64 = GIB;
/// One text in it: descriptions have some kilobytes.
pub const VULNERABILITY_TEXT_BYTES: usize = 1 << 20;
/// Values within one another in it: five levels mean something.
pub const VULNERABILITY_DEPTH: usize = 32;
/// Vulnerabilities of the packages of one image. All of Debian has some 45,000.
pub const VULNERABILITIES: usize = 200_000;
/// Suites that one vulnerability names.
pub const VULNERABILITY_SUITES: usize = 64;

// --- packages and roots: package/deb, rootfs ---

/// Members of the outer archive of a `.deb`: three, and perhaps a few signatures.
pub const DEB_MEMBERS: usize = 32;
/// What one `control.tar` may unpack to. The largest in Debian has 6 MiB of md5sums.
pub const DEB_CONTROL_BYTES: u64 = 64 * MIB;
/// Files of one `control.tar`.
pub const DEB_CONTROL_FILES: usize = 256;
/// What one `data.tar` may unpack to: far above any real package, far below what fills a disk unseen.
pub const DEB_DATA_BYTES: u64 = 64 * GIB;
/// Members of one `data.tar`. The largest in Debian has some 100,000.
pub const DEB_DATA_MEMBERS: usize = 2_000_000;
/// The names of all members of one `data.tar` together: they are kept, so that none is there twice.
pub const DEB_NAMES_BYTES: usize = 256 << 20;
/// A long name, a long link target or an extended header before a member.
pub const TAR_EXTENSION_BYTES: u64 = MIB;
/// What one decoder inside a `.deb` may allocate (xz -9 needs 65 MiB, zstd --ultra 22 needs 128 MiB).
pub const DEB_DECODER_MEMORY_BYTES: u64 = 160 * MIB;
/// A kernel module as its package has it, compressed: the largest of Debian's have 5 MB.
pub const KERNEL_MODULE_PACKED_BYTES: u64 = 64 * MIB;
/// A kernel module, in memory for each processor: the largest of Debian's have 30 MB.
pub const KERNEL_MODULE_BYTES: u64 = 128 * MIB;
/// One of the files that `depmod` makes: Debian's have up to 2 MB.
pub const KERNEL_INDEX_BYTES: u64 = 256 * MIB;
/// What a pinned download may unpack to.
pub const ARCHIVE_BYTES: u64 = 16 * GIB;
/// Members of a pinned download.
pub const ARCHIVE_MEMBERS: usize = 1_000_000;
/// What a decoder of a pinned download may allocate.
pub const ARCHIVE_DECODER_MEMORY_BYTES: u64 = 256 * MIB;
/// A path in an archive: what the kernel takes (PATH_MAX).
pub const PATH_BYTES: usize = 4096;
/// Folders above one another in a root. The deepest of Debian's have some 20.
pub const PATH_DEPTH: usize = 256;
/// Extended attributes of one file, names or one value, in bytes: the kernel's own limit.
pub const ATTRIBUTE_BYTES: usize = 64 << 10;
/// A file of a dpkg database.
pub const DPKG_FILE_BYTES: u64 = 256 * MIB;
/// Diversions, statoverrides, passwd, group and their shadows in a root.
pub const ROOT_TABLE_BYTES: u64 = 4 * MIB;
/// A loader or kernel that is taken out of a root.
pub const LOADER_BYTES: u64 = 16 * MIB;
/// A file that is read out of a tools root.
pub const TOOLS_FILE_BYTES: u64 = 64 * MIB;
/// The kernel's name of a boot, as a base at rest is marked with it.
pub const BOOT_ID_BYTES: u64 = 128;

// --- documents: input, output, pipeline ---

/// One YAML document.
pub const DOCUMENT_BYTES: u64 = MIB;
/// Lists and mappings within one another in a YAML document.
pub const DOCUMENT_DEPTH: usize = 24;
/// Lists, mappings, keys and texts of one YAML document.
pub const DOCUMENT_NODES: usize = 50_000;
/// Documents that extend one another.
pub const DOCUMENT_CHAIN: usize = 8;
/// Machines in one row of a cluster: more are not named by counting.
pub const CLUSTER_ROW_NODES: i64 = 5000;
/// Files of a role's tree, or of the list of recipes.
pub const TREE_FILES: usize = 10_000;
/// One file of a role's tree, a build script, a keyring beside a document.
pub const TREE_FILE_BYTES: u64 = 4 * MIB;
/// All files of a role's tree together: they travel within the plan.
pub const TREE_BYTES: usize = 16 << 20;
/// A manifest.json: some 300 bytes for each package.
pub const MANIFEST_BYTES: u64 = 64 * MIB;
/// A list of software in SPDX: some kilobyte for each package.
pub const SBOM_BYTES: u64 = 64 * MIB;
/// A reason in audit.yaml, in characters.
pub const REASON_CHARACTERS: usize = 1000;
/// A file of the project that is compared with a built-in one, a file of the host that doctor reads.
pub const SMALL_FILE_BYTES: u64 = 16 * MIB;

// --- disks: format, disk, lab ---

/// Nested sections of LVM's text; LVM itself uses four.
pub const LVM_DEPTH: usize = 8;
/// Settings and sections of LVM's text: six hundred volumes. Each is compared with its neighbours.
pub const LVM_NODES: usize = 20_000;
/// The FAT that is taken into memory: four million clusters.
pub const FAT_TABLE_BYTES: u64 = 16 * MIB;
/// Entries of all folders of a FAT volume together.
pub const FAT_ENTRIES: usize = 65_536;
/// All folders of a FAT volume together: room for every believed entry with a long name.
pub const FAT_FOLDERS_BYTES: u64 = 32 * MIB;
/// Folders within one another of a FAT volume.
pub const FAT_DEPTH: usize = 16;
/// Groups of an ext4 filesystem: 16 TiB of 128 MiB each.
pub const EXT4_GROUPS: u64 = 131_072;
/// Extents of one file of an ext4 filesystem.
pub const EXT4_EXTENTS: u64 = 1 << 20;
/// Bytes of the entries of one folder of an ext4 filesystem: five million names.
pub const EXT4_FOLDER_BYTES: u64 = 256 * MIB;
/// Names in an ext4 filesystem. A large root has some 100,000.
pub const EXT4_NAMES: usize = 1 << 22;
/// Folders within one another of an ext4 filesystem.
pub const EXT4_DEPTH: usize = 256;
/// Symbolic links on the way to a file, as in the kernel.
pub const EXT4_LINKS: usize = 40;
/// Volume descriptors of an ISO 9660 volume before the terminator.
pub const ISO_DESCRIPTORS: usize = 16;
/// Continuation areas of one record of an ISO 9660 volume.
pub const ISO_CONTINUATIONS: usize = 8;
/// A Rock Ridge name: it fits into one directory record (255 bytes) beside its other entries.
pub const ISO_NAME_BYTES: usize = 128;
/// Folders within one another of an ISO 9660 volume. The specification says 8; readers of Rock Ridge or Joliet take more.
pub const ISO_DEPTH: usize = 32;
/// Files and folders of an ISO 9660 volume; path tables number folders with 16 bits.
pub const ISO_ENTRIES: usize = 60_000;
/// The L1 table of a qcow2 image: what QEMU still opens.
pub const QCOW2_L1_BYTES: u64 = 32 * MIB;
/// A volume that `inspect` lists: seeds are small, installation media are not seeds.
pub const INSPECT_VOLUME_BYTES: u64 = 64 * MIB;
/// The head of an image by which `boot` tells its format.
pub const IMAGE_HEAD_BYTES: u64 = 32;
/// The part of an overlay within which the name of its image lies: QEMU writes it into the first cluster.
pub const IMAGE_OVERLAY_BYTES: u64 = 64 * KIB;
/// Differences that a comparison lists.
pub const DIFFERENCES: usize = 10_000;
/// A file of an EFI system partition that is taken into memory to be compared.
pub const ESP_FILE_BYTES: u64 = 64 * MIB;
/// A file of an image that is shown.
pub const SHOWN_FILE_BYTES: u64 = 64 * MIB;
/// A key, a signature or a list of signers.
pub const SIGNATURE_BYTES: u64 = MIB;
/// A seed; packages may travel in it.
pub const SEED_BYTES: u64 = GIB;
/// The guest that probes for KVM. It needs half a second even when emulated; the rest is for busy hosts.
pub const KVM_PROBE_TIME: Duration = Duration::from_secs(3);

// --- the lab's networks and its control socket: lab ---

/// A frame that a machine sends: what QEMU itself takes.
pub const LAB_FRAME_BYTES: u32 = 69_632;
/// What waits for one machine that is slow to take it; the rest is lost, as on a real line.
pub const LAB_QUEUE_BYTES: usize = 4 << 20;
/// Addresses that the switch knows: a machine that invents them makes it flood, no more.
pub const LAB_TABLE_ENTRIES: usize = 16_384;
/// Machines that claim one address, as far as they are remembered.
pub const LAB_NEIGHBOURS: usize = 1024;
/// Bytes of a connection into the lab that wait in each direction.
pub const LAB_STREAM_BYTES: usize = 64 << 10;
/// A packet with which a machine's server answers the lab.
pub const LAB_ANSWER_BYTES: usize = 4096;
/// Pointers that are followed in one name of it: honest servers need one or two.
pub const LAB_NAME_JUMPS: usize = 16;
/// What a stand-in reads of a request before it answers.
pub const LAB_REQUEST_BYTES: usize = 8 << 10;
/// Cards that the lab's world outside lends an address.
pub const LAB_LEASES: usize = 200;
/// How long a connection into the lab may take to come about.
pub const LAB_CONNECT_TIME: Duration = Duration::from_secs(5);
/// A request to the lab, or its answer: the state of a thousand machines has some hundred kilobytes.
pub const LAB_MESSAGE_BYTES: u64 = 16 * MIB;
/// What the lab is told to run: plan and places of a thousand machines have some megabytes.
pub const LAB_ORDER_BYTES: u64 = 64 * MIB;
/// A line of a machine's console that is looked at.
pub const LAB_CONSOLE_LINE_BYTES: usize = 4096;
/// A line of QEMU's control socket.
pub const LAB_MONITOR_BYTES: u64 = MIB;
/// How long QEMU may take to answer its control socket.
pub const LAB_MONITOR_TIME: Duration = Duration::from_secs(10);
/// How long the lab's process may take until it answers.
pub const LAB_START_TIME: Duration = Duration::from_secs(60);

// --- processes: sandbox ---

/// What is kept of each stream of a captured command.
pub const CAPTURE_BYTES: u64 = 64 * MIB;
/// What a command whose lines are followed may say in all: the longest builds say some megabytes.
pub const OUTPUT_BYTES: u64 = 256 * MIB;
/// A command, or a step of it (a package's script): far more than any needs, also on an emulated machine.
pub const COMMAND_TIME: Duration = Duration::from_secs(30 * 60);
/// Processes and threads of one command at once; the largest builds have some hundreds.
pub const COMMAND_TASKS: u64 = 4096;
/// Processes of one user, while a program multiplies faster than it is watched. The kernel exempts root.
pub const USER_PROCESSES: u64 = 16_384;
/// A line of a command's output that is handed on whole; the rest becomes further lines.
pub const OUTPUT_LINE_BYTES: u64 = 16 * KIB;
/// A message between builder and worker: a reply may list every file of a large root.
pub const MESSAGE_BYTES: u32 = 1 << 30;
/// The host's files of subordinate ids and accounts.
pub const ACCOUNTS_BYTES: u64 = 16 * MIB;

// --- secrets: secret, base/private ---

/// One secret: a key, a certificate, a password.
pub const SECRET_BYTES: u64 = 64 * KIB;
/// Files of a cluster's secrets: 10,000 machines have ten each.
pub const SECRET_FILES: usize = 200_000;
/// All of a cluster's secrets as one archive, and sealed.
pub const SEALED_BYTES: u64 = 512 * MIB;
/// What a cluster's machines were told last: 10,000 machines take a megabyte.
pub const RECORD_BYTES: u64 = 64 * MIB;
/// Name resolution, connection and TLS handshake with Vault, each.
pub const VAULT_CONNECT_TIME: Duration = Duration::from_secs(10);
/// One answer of Vault in all.
pub const VAULT_TIME: Duration = Duration::from_secs(30);
