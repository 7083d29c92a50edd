//! Makes the seeds of the corpus from the readers' own writers. `UPDATE_CORPUS=1 cargo test --test hostile_corpus` writes
//! them into `tests/fuzz/corpus`; nothing there that is not from here is touched.

#![allow(unreachable_pub, reason = "two programs use different parts")]

use crate::guest::seed::example::{self, Signer};
use crate::laws::{archive, disk, guest};
use crate::packing::{Member, control_members, deb, pack, packed_tar};
use crate::support::archive::keys::{Keys, Signing, clear_sign_by_all};
use imgbuild::base::digest::Digest;
use imgbuild::base::epoch::Epoch;
use imgbuild::base::ids::Uuid;
use imgbuild::base::progress::Silent;
use imgbuild::format::{Run, iso9660, swap};
use imgbuild::input::builtin_files;
use imgbuild::output::checksums;
use imgbuild::package::Lock;
use imgbuild::package::bundle::{self, Contents, Draft, Entry, Image, Source, package_path};
use imgbuild::package::lock::{Locked, LockedRelease, Section, Set};
use imgbuild::package::universe::{MultiArch, Priority};
use pgp::ser::Serialize as _;

/// What begins like this is not kept in the corpus: it changes with recipes and roles.
pub const CHANGING: &str = "changing-";

/// Target, name and bytes of every seed.
pub fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |target: &'static str, name: &str, bytes: &[u8]| all.push((target, name.to_owned(), bytes.to_vec()));
    add("release", "good", archive::TEXT.as_bytes());
    add("release", "rich", RELEASE.as_bytes());
    signatures(&mut add);
    add(
        "control",
        "good",
        b"Package: demo\nVersion: 1:2-3\nDescription: short\n long\n .\n more\n\nPackage: other\nX: y\n",
    );
    add("packages", "good", PACKAGES.as_bytes());
    add("relation", "good", RELATION.as_bytes());
    for (name, text) in [("order", "1:2~rc1-3\n1:2-3\n1:2-3+b1"), ("long", "0.0\n00:0.0-0\n2147483647:9")] {
        add("version", name, text.as_bytes());
    }
    for (number, suffix) in [".xz", ".zst", ".gz", ""].iter().enumerate() {
        let packed = pack(&[b"some text ", &[b'x'; 300][..]].concat(), suffix);
        add("decompress", &format!("packed{suffix}"), &[&[number as u8], &packed[..]].concat());
        let bytes = deb(&packed_tar(&control_members()), &packed_tar(&data_members()), suffix);
        add("deb", &format!("package{suffix}"), &bytes);
    }
    add("members", "all-kinds", &packed_tar(&data_members()));
    add("members", "control", &packed_tar(&control_members()));
    add("apt-sources", "deb822", &[b"\0", SOURCES.as_bytes()].concat());
    add("apt-sources", "lines", b"\x01# c\ndeb [arch=amd64 signed-by=/x/debian-archive.gpg] http://mirror.example/debian trixie main\ndeb http://mirror.example/ubuntu noble-security main universe\n");
    add("lock", "empty", Lock::default().text().as_bytes());
    add("lock", "good", lock().text().as_bytes());
    for (path, bytes) in builtin_files().iter().filter(|(path, _)| path.ends_with(".yaml")) {
        let kind = u8::from(path.starts_with("recipes/"));
        add("document", &format!("{CHANGING}{}", path.replace('/', "-")), &[&[kind], *bytes].concat());
    }
    add("document", "keys", &[b"\0", DOCUMENT.as_bytes()].concat());
    add("manifest", &format!("{CHANGING}golden"), &manifest());
    let sums = [("a.qcow2".to_owned(), Digest::of(b"a")), ("b".to_owned(), Digest::of(b"b"))];
    add("checksums", "good", checksums(&sums).as_bytes());
    for (target, (_, runs)) in [("gpt", &*disk::GPT), ("lvm", &*disk::LVM), ("fat", &*disk::FAT)] {
        add(target, "unchanged", b"");
        add(target, "same", &unchanged(runs));
    }
    let text = disk::LVM.1.iter().find(|run| run.bytes.starts_with(b"vg0 {")).expect("the text begins a block");
    let lvm_text: Vec<u8> =
        disk::LVM.1.iter().filter(|run| run.offset >= text.offset).flat_map(|run| run.bytes.clone()).collect();
    add("lvm", "text", lvm_text.split(|byte| *byte == 0).next().unwrap_or_default());
    add("ext4", "superblock", &superblock());
    add("iso9660", "seed", &iso9660::write(&seed()).unwrap());
    for number in [0_u8, 1] {
        add("qcow2", &format!("unchanged-{number}"), &[number]);
        let runs = [Run { offset: 0, bytes: disk::QCOW2[usize::from(number)][..112].to_vec() }];
        add("qcow2", &format!("same-{number}"), &[&[number], &unchanged(&runs)[..]].concat());
    }
    for number in [0_u8, 1] {
        add("ext4-tree", &format!("unchanged-{number}"), &[number]);
        // Some stretches of the filesystem, each by itself: all of it is more than one input has room for.
        for (at, piece) in
            crate::laws::ext4::FILESYSTEMS[usize::from(number)].chunks(40).enumerate().take(12).step_by(3)
        {
            let before = 64 * 40 * at as u32;
            let changes: Vec<u8> =
                (0..).zip(piece).flat_map(|(place, run)| one_change(before + 64 * place, run)).collect();
            add("ext4-tree", &format!("same-{number}-{at:02}"), &[&[number], &changes[..]].concat());
        }
    }
    foreign(&mut add);
    machines(&mut add);
    let area = swap::Swap { size: 64 << 10, uuid: Uuid::derive("fuzz", "swap"), label: "swap".to_owned() };
    add("swap", "good", &swap::write(&area).unwrap());
    all
}

fn signatures(add: &mut impl FnMut(&'static str, &str, &[u8])) {
    let (first, second) = (Keys::fixture("first"), Keys::fixture("second"));
    let plain = Signing::default();
    add("clear-signed", "good", first.clear_sign(&plain, archive::TEXT).as_bytes());
    let short = Signing { lifetime: Some(3600), ..Signing::default() };
    add("clear-signed", "expired", first.clear_sign(&short, archive::TEXT).as_bytes());
    let both = clear_sign_by_all(&[(&second, plain.clone()), (&first, plain.clone())], archive::TEXT);
    add("clear-signed", "two-signers", both.as_bytes());
    let detached = first.detached(&plain, archive::TEXT.as_bytes());
    add("detached", "good", &detached.to_bytes().unwrap());
    add("detached", "armoured", detached.to_armored_string(Default::default()).unwrap().as_bytes());
    add("keyring", "binary", &first.binary());
    add("keyring", "two", &[first.binary(), second.binary()].concat());
    add("keyring", "armoured", first.armoured().as_bytes());
    let revoked = first.shaped(|shape| (shape.primary_revoked, shape.subkey_revoked) = (true, true));
    add("keyring", "revoked", &revoked.binary());
}

/// Changes that change nothing, at the beginning of every run: something to mutate.
fn unchanged(runs: &[Run]) -> Vec<u8> {
    let mut changes = Vec::new();
    let mut at = 0_u32;
    for run in runs {
        let bytes = &run.bytes[..run.bytes.len().min(96)];
        changes.extend(at.to_le_bytes());
        changes.push(bytes.len() as u8);
        changes.extend(bytes);
        at += run.bytes.len() as u32;
    }
    changes.truncate(3 << 10);
    changes
}

/// A change of a piece to what it is.
fn one_change(at: u32, run: &Run) -> Vec<u8> {
    [&at.to_le_bytes()[..], &[run.bytes.len() as u8], &run.bytes].concat()
}

/// What others hand over.
fn foreign(add: &mut impl FnMut(&'static str, &str, &[u8])) {
    add("bundle", "good", &carried());
    add("bundle", "index", &carried_index());
    add("vulnerabilities", "good", VULNERABILITIES.as_bytes());
    for suffix in [".xz", ".zst", ".gz"] {
        add("vulnerabilities", &format!("packed{suffix}"), &pack(VULNERABILITIES.as_bytes(), suffix));
    }
    add("apt-conf", "nested", b"// c\nAcquire { http { Proxy \"http://proxy.example:3128\"; }; Retries \"3\"; };\n");
    add("apt-conf", "flat", b"/* c */ #clear Acquire::http::Proxy;\nAcquire::http::Proxy::mirror.example \"http://other.example:8080/\";\n# c\nDPkg::Options { \"--force-confold\"; };\n");
    for (path, bytes) in builtin_files().iter().filter(|(path, _)| path.ends_with("cluster.yaml")) {
        add("cluster", &format!("{CHANGING}{}", path.replace('/', "-")), bytes);
    }
    add("cluster", "all-services", CLUSTER.as_bytes());
}

fn carried() -> Vec<u8> {
    let mut draft = Draft::default();
    draft.add_bytes(bundle::LOCK, Lock::default().text().into_bytes(), false);
    draft.add_bytes("project/roles/web/role.yaml", b"version: 1\n".to_vec(), false);
    draft.add_bytes("project/roles/web/build", vec![b'x'; 513], true);
    draft.add_bytes(package_path(&Digest::of(b"package")), b"package".to_vec(), false);
    let index = zstd::encode_all(&b"Package: demo\n"[..], 1).unwrap();
    let path = format!("indices/debian/trixie/{}.zst", Digest::of(b"Package: demo\n"));
    let (size, sha256) = (index.len() as u64, Digest::of(&index));
    draft.add(Entry { path, size, sha256, executable: false }, Source::Bytes(index));
    let contents = Contents {
        version: bundle::FORMAT_VERSION,
        builder: "imgbuild 0".to_owned(),
        recipe: "debian-trixie".to_owned(),
        kernel: Some("generic".to_owned()),
        parameters: [("greeting".to_owned(), "hello".to_owned())].into(),
        images: vec![Image { name: "web".to_owned(), image_id: "0123".to_owned() }],
        builtin: [("recipes/debian-trixie.yaml".to_owned(), Digest::of(b"x"))].into(),
        links: vec![bundle::Link { path: "project/roles/web/tree/etc/link".to_owned(), target: "hosts".to_owned() }],
        files: Vec::new(),
    };
    let mut bytes = Vec::new();
    draft.write(contents, Epoch(1_700_000_000), &mut bytes, &Silent).unwrap();
    bytes
}

/// The index by itself: the first file of the archive.
fn carried_index() -> Vec<u8> {
    let bytes = carried();
    let length = u64::from_str_radix(std::str::from_utf8(&bytes[124..135]).unwrap(), 8).unwrap();
    bytes[512..512 + length as usize].to_vec()
}

/// What machines read: signatures and manifests of seeds, frames of the lab.
fn machines(add: &mut impl FnMut(&'static str, &str, &[u8])) {
    let signer = Signer::new(1);
    let good = signer.sign(crate::format::NAMESPACE_SEED, guest::SIGNED);
    add("guest-signature", "good", good.as_bytes());
    add("guest-signature", "other-purpose", signer.sign("file", guest::SIGNED).as_bytes());
    add("guest-signature", "other-key", Signer::new(2).sign(crate::format::NAMESPACE_SEED, guest::SIGNED).as_bytes());
    let body: String = good.lines().filter(|line| !line.starts_with('-')).collect();
    add("guest-signature", "blob", &crate::guest::seed::decoded(&body).unwrap());
    add("guest-signature", "key", signer.line().as_bytes());
    let seed = example::Seed::new(7);
    add("guest-manifest", "good", &seed.tree()[crate::format::MANIFEST]);
    add("lab-frames", "frames", &[&[6][..], &crate::lab::network::conversation()].concat());
    add("lab-names", "address-and-name", &crate::lab::network::answers::answering());
    add("lab-leases", "lending", &crate::lab::network::answers::lending());
}

fn data_members() -> Vec<Member<'static>> {
    use tar::EntryType::{Directory, Link, Regular, Symlink, XHeader};
    const LONG: &str = concat!(
        "./usr/a-folder-whose-name-is-very-long-because-headers-have-room-for-a-hundred-bytes-only/",
        "and-a-file-whose-name-is-as-long"
    );
    vec![
        (Directory, "./", 0o755, b""),
        (Directory, "./usr/bin/", 0o755, b""),
        (Regular, "./usr/bin/su", 0o4755, b"#!"),
        (Link, "./usr/bin/also", 0o4755, b"./usr/bin/su"),
        (Symlink, "./usr/bin/link", 0o777, b"su"),
        (Regular, LONG, 0o644, b"x"),
        (XHeader, "pax", 0o644, b"28 path=./usr/share/a\xff-name\n"),
        (Regular, "./usr/other", 0o644, b"y"),
        (XHeader, "pax", 0o644, b"31 SCHILY.xattr.user.note=abcd\n"),
        (Regular, "./usr/noted", 0o644, b"z"),
    ]
}

fn lock() -> Lock {
    let locked = |name: &str| Locked {
        name: name.to_owned(),
        version: "1:2-3".to_owned(),
        architecture: "amd64".to_owned(),
        repository: "debian".to_owned(),
        path: format!("pool/main/{name}.deb"),
        size: 7,
        sha256: Digest::of(name.as_bytes()),
        pre_depends: String::new(),
        depends: "libc6 (>= 2.38)".to_owned(),
        recommends: String::new(),
        conflicts: String::new(),
        breaks: String::new(),
        provides: String::new(),
        essential: false,
        protected: true,
        priority: Priority::Optional,
        multi_arch: MultiArch::Foreign,
    };
    let mut section = Section::new(Epoch(1_700_000_000));
    section.releases.push(LockedRelease {
        repository: "debian".to_owned(),
        suite: "trixie".to_owned(),
        date: Epoch(1_700_000_000),
        sha256: Digest::of(b"release"),
    });
    let packages = [locked("a"), locked("b")];
    let set = Set {
        requests: vec!["a".to_owned()],
        context: Digest::of(b"context"),
        packages: packages.iter().map(|package| (package.key(), "wanted".to_owned())).collect(),
    };
    section.sets.insert("base".to_owned(), set);
    section.packages = packages.to_vec();
    Lock { sections: [("debian-trixie/amd64/generic".to_owned(), section)].into() }
}

/// A manifest whose disk is that of a golden plan.
fn manifest() -> Vec<u8> {
    let golden = format!("{}/tests/golden/debian-trixie.base.json", env!("CARGO_MANIFEST_DIR"));
    let plan: serde_json::Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let digest = Digest::of(b"x");
    let text = serde_json::json!({
        "version": 1, "image_id": "0".repeat(16), "name": "base", "roles": ["base"], "recipe": "debian-trixie",
        "distribution": plan["distribution"], "architecture": "amd64", "kernel": "generic", "epoch": 1_700_000_000,
        "created": "2023-11-14T22:13:20Z", "builder": "imgbuild",
        "inputs": {"plan": digest, "lock": digest, "base_layer": "x", "tools": [{"name": "t", "version": "1", "sha256": digest}]},
        "packages": [{"layer": "base", "name": "a", "version": "1", "architecture": "all", "repository": "debian",
            "path": "pool/a.deb", "size": 3, "sha256": digest}],
        "disk": plan["disk"],
        "artifacts": [{"file": "base.raw", "kind": "raw", "size": 1, "sha256": digest}],
    });
    serde_json::to_vec(&text).unwrap()
}

/// There is no writer of ext4 here: the fields that are read, by hand.
fn superblock() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, 64);
    put(4, 2);
    put(16, 50);
    put(0x38, 0x0001_ef53);
    bytes[0x78..0x7c].copy_from_slice(b"root");
    bytes
}

fn seed() -> iso9660::Volume {
    let mut volume = iso9660::Volume::new("cidata", Epoch(1_700_000_000));
    volume.file("meta-data", 0o600, "instance-id: i-1\n");
    volume.file("imgbuild/files/etc/corosync.conf", 0o640, vec![7; 2100]);
    volume
}

const RELEASE: &str = "Origin: Demo\nLabel: Demo\nSuite: stable\nCodename: trixie\nVersion: 13\nDate: Sat, 01 Jun 2024 00:00:00 UTC\nValid-Until: Sat, 08 Jun 2024 00:00:00 UTC\nAcquire-By-Hash: yes\nNotAutomatic: yes\nButAutomaticUpgrades: yes\nNo-Support-for-Architecture-all: Packages\nArchitectures: all amd64\nComponents: main updates/contrib\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:\n ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad 3 main/binary-all/Packages.xz\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 ./main/binary-amd64/Packages\n";
const PACKAGES: &str = "Package: demo\nVersion: 1:2-3\nArchitecture: amd64\nMulti-Arch: same\nPriority: optional\nEssential: yes\nPre-Depends: libc6 (>= 2.38)\nDepends: a | b:any, c (<< 2~)\nProvides: d (= 1), e\nConflicts: f\nFilename: pool/demo.deb\nSize: 7\nSHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n\nPackage: other\nVersion: 0\nArchitecture: all\nFilename: ./x.deb\nSize: 18446744073709551615\nSHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
const RELATION: &str = "libc6 (>= 2.38), awk | mawk:any, python3:any (<< 3.14~), x (= 1:0-1) | y (>> 2), z (<= 3)";
const SOURCES: &str = "Types: deb deb-src\nURIs: http://mirror.example/debian http://other.example\nSuites: trixie trixie-updates\nComponents: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\nEnabled: no\nTypes: deb\nURIs: x\n";
const DOCUMENT: &str = "version: 1\nextends: builtin/haproxy\npackages: [nginx-light, 'a (>= 1)']\nsysctls: {net.core.somaxconn: 4096}\nunits: {enable: [a.service], disable: [nginx.service]}\nusers:\n  - {name: demo, uid: 500, home: /srv/demo}\nfiles:\n  - {path: /etc/x, mode: '0644', content: \"a\\tb\\n\"}\nvolumes:\n  - {name: data, size: 1 GiB, filesystem: ext4, mount: /srv}\nmodules: [br_netfilter]\nkernel_arguments: [quiet]\n";
const VULNERABILITIES: &str = "{\"openssl\": {\"CVE-2024-0001\": {\"description\": \"d\", \"scope\": \"remote\", \"releases\": {\"trixie\": {\"status\": \"resolved\", \"urgency\": \"medium**\", \"fixed_version\": \"3.5.1-1\", \"repositories\": {\"trixie\": \"3.5.0-1\", \"trixie-security\": \"3.5.1-1\"}}, \"sid\": {\"status\": \"open\"}}}, \"CVE-2024-0002\": {\"releases\": {\"trixie\": {\"status\": \"open\", \"nodsa\": \"Minor \\u0069ssue\", \"urgency\": \"unimportant\"}}}}, \"a\": {\"TEMP-1\": {\"releases\": {\"trixie\": {\"status\": \"undetermined\"}}}}, \"other\": {\"x\": [1, null, {}]}}\n";
const CLUSTER: &str = "version: 1\ncluster: fuzz\ndomain: fuzz.internal\nssh: {authorized_keys: []}\nnetworks:\n  uplink: {dhcp: true}\n  lan: {cidr: [192.168.4.0/24, 'fd00:4::/64'], gateway: [192.168.4.1, 'fd00:4::1'], dns: [192.168.4.1]}\n  storage: {cidr: 192.168.42.0/24, vlan: 42, parent: lan}\napi: {name: api.fuzz.internal, address: 192.168.4.10, port: 6443, balancer: pacemaker}\nlisteners:\n  - {name: web, port: 443, address: 192.168.4.9, to: {role: etcd, port: 30443}}\nstorage:\n  gluster: {volume: gv0, replica: 3, mount: /srv/gluster}\nnodes:\n  - name: gateway\n    role: gateway\n    interfaces:\n      - {network: uplink, mac: '52:54:00:00:04:01'}\n      - {network: lan, mac: '52:54:00:00:04:02', address: [192.168.4.1, 'fd00:4::1']}\n  - {name: balancer, count: 2, role: haproxy, failure_domain: [a, b], interfaces: [{network: lan, mac: '52:54:00:00:04:0b', address: [192.168.4.11, 'fd00:4::11']}]}\n  - {name: etcd, count: 3, role: etcd, size: {cpus: 2, memory: 4 GiB, disk: 20 GiB}, interfaces: [{network: lan, mac: '52:54:00:00:04:15', address: [192.168.4.21, 'fd00:4::21']}], data_disks: [{serial: etcd1, use: etcd, size: 8 GiB}]}\n  - {name: brick, count: 3, role: gluster, interfaces: [{network: lan, mac: '52:54:00:00:04:3d', address: [192.168.4.61, 'fd00:4::61']}, {network: storage, address: 192.168.42.61}], data_disks: [{serial: brick1, use: gluster, size: 20 GiB}]}\n";
