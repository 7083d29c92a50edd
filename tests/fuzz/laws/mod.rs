//! The law of every reader: what holds for any bytes whatsoever. Fuzzing looks for bytes that break one; everyday tests
//! replay the corpus against them.

#![allow(dead_code, unreachable_pub, reason = "two programs use different parts")]

pub mod archive;
pub mod disk;
mod document;
pub mod ext4;
mod foreign;
pub mod guest;
pub mod reached;

/// A reader and its law.
pub struct Target {
    /// Names the corpus's folder.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub law: fn(&[u8]),
    /// Longest input that is tried, in bytes.
    pub longest: usize,
    /// The law in words.
    pub says: &'static str,
}

const fn target(name: &'static str, law: fn(&[u8]), longest: usize, says: &'static str) -> Target {
    Target { name, law, longest, says }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("release", archive::release, 16 << 10, "an accepted Release file lists plain paths and bounded files"),
    target("clear-signed", archive::clear_signed, 16 << 10, "only the signed text itself is accepted"),
    target("detached", archive::detached, 8 << 10, "no other signature vouches for a text"),
    target("keyring", archive::keyring, 16 << 10, "a keyring that is read never vouches for a text unsigned by it"),
    target("control", archive::control, 8 << 10, "an accepted stanza, written again, reads the same"),
    target("packages", archive::packages, 8 << 10, "an accepted index has sound names and versions"),
    target("relation", archive::relation, 2 << 10, "an accepted relation, written again, reads the same"),
    target("version", archive::version, 512, "versions are in one total order"),
    target("decompress", archive::decompress, 4 << 10, "nothing unpacks beyond what is promised or allowed"),
    target("deb", archive::deb, 8 << 10, "a package gives what it has within the limits"),
    target("members", archive::members, 16 << 10, "accepted members lie within the root and below no link"),
    target("apt-sources", archive::apt_sources, 4 << 10, "only URLs that can be asked for are taken from the host"),
    target("lock", document::lock, 16 << 10, "an accepted lock, written again, reads the same"),
    target("document", document::yaml, 8 << 10, "a document is read, or its faults have places"),
    target("manifest", document::manifest, 16 << 10, "an accepted manifest, written again, reads the same"),
    target("checksums", document::checksums, 4 << 10, "accepted checksums name plain files and read the same again"),
    target("gpt", disk::gpt, 4 << 10, "accepted partitions lie on the disk and do not overlap"),
    target("lvm", disk::lvm, 8 << 10, "accepted volumes lie within the physical volume"),
    target("fat", disk::fat, 4 << 10, "accepted files lie within the volume"),
    target("ext4", disk::ext4, 4 << 10, "an accepted superblock does not claim more than there is"),
    target("ext4-tree", ext4::tree, 4 << 10, "accepted names and extents lie within the filesystem and its limits"),
    target("iso9660", disk::iso9660, 128 << 10, "an accepted volume keeps its limits and is written again"),
    target("qcow2", disk::qcow2, 8 << 10, "an accepted image reads at any offset or says why not"),
    target("swap", disk::swap, 8 << 10, "an accepted swap area does not claim more than there is"),
    target(
        "cluster",
        document::cluster,
        8 << 10,
        "a cluster is drawn with each machine once, or its faults have places",
    ),
    target("bundle", foreign::bundle, 16 << 10, "an accepted bundle gives what its index says and nothing else"),
    target("vulnerabilities", foreign::vulnerabilities, 8 << 10, "only what was asked for is told of a list"),
    target("apt-conf", foreign::apt_conf, 4 << 10, "a proxy is what the host says, and for its mirror alone"),
    target("guest-signature", guest::signature, 4 << 10, "a machine takes one signature for one text and purpose"),
    target("guest-manifest", guest::manifest, 8 << 10, "a machine installs what is listed, equal and where it may lie"),
    target(
        "lab-frames",
        crate::lab::network::law,
        16 << 10,
        "frames reach whom they may, unchanged; stations stay sound",
    ),
    target("lab-names", crate::lab::network::answers::names, 2 << 10, "an answer is one to what was asked"),
    target("lab-leases", crate::lab::network::answers::leases, 2 << 10, "nobody is lent what is none or another's"),
];
