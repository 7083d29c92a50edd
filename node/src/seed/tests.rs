//! What is believed and what is not.

use super::copy;
use super::example::{MAC, Seed, Signer, write};
use super::judge::{Accepted, Known, judge};
use super::ssh::PublicKey;
use crate::format::{FILES, MANIFEST, Manifest, SIGNATURE, Unit, Write};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn known() -> Known {
    Known { macs: [MAC.to_owned()].into(), ..Known::default() }
}

fn key(number: u8) -> PublicKey {
    PublicKey::parse(&Signer::new(number).line()).unwrap()
}

fn judged(tree: &BTreeMap<String, Vec<u8>>, known: &Known) -> Result<Accepted, String> {
    let work = tempfile::tempdir().unwrap();
    let from = work.path().join("from");
    write(&from, tree);
    judge(copy::copy(&from, &work.path().join("to"), copy::SEED)?, known)
}

fn refusal(tree: &BTreeMap<String, Vec<u8>>, known: &Known) -> String {
    match judged(tree, known) {
        Ok(_) => "accepted".to_owned(),
        Err(reason) => reason,
    }
}

fn installed(change: impl Fn(&mut Manifest)) -> Known {
    let text = Seed::new(5).tree().remove(MANIFEST).unwrap();
    let mut manifest: Manifest = serde_json::from_slice(&text).unwrap();
    change(&mut manifest);
    Known { pinned: Some(key(1)), installed: Some(manifest), ..known() }
}

#[test]
fn good_seeds_are_accepted() {
    let signed = |known: &Known| matches!(judged(&Seed::new(5).tree(), known), Ok(Accepted::Signed(_)));
    assert!(signed(&known()));
    assert!(signed(&installed(|_| ())), "the same again");
    assert!(signed(&installed(|manifest| manifest.generation = 4)), "a newer one");
    let plain = BTreeMap::from([("meta-data".to_owned(), Vec::new()), ("user-data".to_owned(), Vec::new())]);
    assert!(matches!(judged(&plain, &known()), Ok(Accepted::Plain(_))));
}

#[test]
fn seeds_that_are_not_for_this_machine_are_refused_with_the_reason() {
    let good = Seed::new(5).tree();
    let other = Known { macs: ["52:54:00:00:04:99".to_owned()].into(), ..Known::default() };
    assert_eq!(
        refusal(&good, &other),
        "it is of another node: balancer1 has the network cards 52:54:00:00:04:0b, and this machine has 52:54:00:00:04:99"
    );
    assert_eq!(
        refusal(&good, &installed(|manifest| manifest.node.name = "balancer2".to_owned())),
        "it is of another node: balancer1, and this machine is balancer2"
    );
    assert_eq!(
        refusal(&good, &installed(|manifest| manifest.cluster.id = "c2".to_owned())),
        "it is of another cluster: demo (c1), and this machine belongs to demo (c2)"
    );
    assert_eq!(
        refusal(&good, &installed(|manifest| manifest.generation = 6)),
        "it is of an older generation: 5, and generation 6 is installed"
    );
    let pinned = Known { pinned: Some(key(2)), ..known() };
    assert!(refusal(&good, &pinned).starts_with("it is of another cluster: its key is SHA256:"));
    let plain = BTreeMap::from([("meta-data".to_owned(), Vec::new()), ("user-data".to_owned(), Vec::new())]);
    assert_eq!(refusal(&plain, &installed(|_| ())), "it is not signed, and this machine belongs to the cluster demo");
    let trusting = Known { trusted: vec![key(9)], ..known() };
    assert_eq!(
        refusal(&plain, &trusting),
        "it is not signed, and this image trusts only clusters that its key has signed"
    );
}

#[test]
fn same_generation_is_believed_only_if_it_says_the_same() {
    let known = installed(|_| ());
    assert_eq!(refusal(&Seed::new(5).tree(), &known), "accepted");
    // The same values in other words, such as another imgbuild may write them.
    let mut reworded = Seed::new(5);
    reworded.compact = true;
    assert_ne!(reworded.tree()[MANIFEST], Seed::new(5).tree()[MANIFEST]);
    assert_eq!(refusal(&reworded.tree(), &known), "accepted");
    let reason = "it says something else than what is installed, and both are generation 5: write it again by `imgbuild \
                  seed` with the cluster's own secrets folder and its newest record.json, which raises the generation";
    let other = |change: &dyn Fn(&mut Seed)| {
        let mut seed = Seed::new(5);
        change(&mut seed);
        let same = refusal(&seed.tree(), &known);
        seed.manifest.generation = 6;
        assert_eq!(refusal(&seed.tree(), &known), "accepted", "a newer one may say so");
        same
    };
    assert_eq!(other(&|seed| seed.file("/etc/corosync/corosync.conf", "other", Write::Always, vec![])), reason);
    assert_eq!(other(&|seed| drop(seed.files.insert("user-data".to_owned(), b"other".to_vec()))), reason);
    assert_eq!(other(&|seed| seed.manifest.units.clear()), reason);
    assert_eq!(other(&|seed| seed.manifest.node.roles.push("gateway".to_owned())), reason);
    // A machine that was never told anything believes either.
    assert_eq!(refusal(&Seed::new(5).tree(), &self::known()), "accepted");
}

#[test]
fn image_with_a_key_accepts_endorsed_clusters_alone() {
    let trusting = Known { trusted: vec![key(8), key(9)], ..known() };
    let reason = "its cluster is not one that this image trusts: ";
    assert_eq!(refusal(&Seed::new(1).tree(), &trusting), format!("{reason}the cluster's key is not endorsed"));
    let by = |number| Seed { endorser: Some(Signer::new(number)), ..Seed::new(1) }.tree();
    assert_eq!(refusal(&by(7), &trusting), format!("{reason}the endorsement is by another key"));
    assert_eq!(refusal(&by(9), &trusting), "accepted");
    // Neither the seed's own key nor a signature for another purpose is an endorsement.
    assert_eq!(refusal(&by(1), &trusting), format!("{reason}the endorsement is by another key"));
}

#[test]
fn damaged_seeds_are_refused_with_the_reason() {
    let change = |change: &dyn Fn(&mut BTreeMap<String, Vec<u8>>)| {
        let mut tree = Seed::new(5).tree();
        change(&mut tree);
        refusal(&tree, &known())
    };
    let payload = format!("{FILES}/etc/corosync/corosync.conf");
    assert_eq!(change(&|_| ()), "accepted");
    assert_eq!(change(&|tree| drop(tree.remove(SIGNATURE))), "it is not signed: imgbuild/manifest.json.sig is missing");
    assert_eq!(change(&|tree| drop(tree.remove(MANIFEST))), "it is not signed: imgbuild/manifest.json is missing");
    assert_eq!(change(&|tree| drop(tree.remove("user-data"))), "user-data is missing");
    assert_eq!(change(&|tree| drop(tree.remove(&payload))), format!("{payload} is missing"));
    assert_eq!(
        change(&|tree| tree.get_mut(&payload).unwrap().truncate(3)),
        format!("{payload} is truncated: 3 of 12 bytes")
    );
    assert_eq!(
        change(&|tree| tree.get_mut("user-data").unwrap()[0] ^= 1),
        "user-data is damaged: it is not what the manifest says"
    );
    assert_eq!(
        change(&|tree| drop(tree.insert("imgbuild/files/etc/cron.d/x".to_owned(), Vec::new()))),
        "`imgbuild/files/etc/cron.d/x` lies on it and is not in its manifest"
    );
    assert_eq!(
        change(&|tree| tree.get_mut(MANIFEST).unwrap().push(b' ')),
        "its signature does not fit: it was changed or damaged"
    );
    let large = change(&|tree| drop(tree.insert("large".to_owned(), vec![0; 33 << 20])));
    assert_eq!(large, "it is oversized: more than 32 MiB");
}

#[test]
fn manifests_that_no_builder_writes_are_refused() {
    let change = |change: &dyn Fn(&mut Seed)| {
        let mut seed = Seed::new(5);
        change(&mut seed);
        refusal(&seed.tree(), &known())
    };
    let unit = |name: &str| Unit { name: name.to_owned(), run: true };
    assert!(change(&|seed| seed.manifest.version = 2).contains("version 2, and this image reads version 1"));
    assert!(change(&|seed| seed.manifest.units.push(unit("--now"))).contains("is no unit"));
    assert!(change(&|seed| seed.manifest.units.push(unit("a b.service"))).contains("is no unit"));
    assert!(change(&|seed| seed.manifest.units.push(unit("corosync.service"))).contains("twice"));
    assert!(change(&|seed| seed.manifest.units.push(unit("imgbuild-seed.service"))).contains("not a payload's"));
    assert!(change(&|seed| seed.file("/usr/bin/x", "", Write::Always, vec![])).contains("not a payload's to write"));
    assert!(change(&|seed| seed.manifest.files[0].mode = "4755".to_owned()).contains("the mode"));
    assert!(change(&|seed| seed.manifest.files[0].owner = String::new()).contains("no proper owner"));
    let below = |seed: &mut Seed| {
        seed.file("/etc/corosync/corosync.conf/x", "", Write::Always, vec![]);
        seed.files.remove(&format!("{FILES}/etc/corosync/corosync.conf/x"));
    };
    assert!(change(&below).contains("both as a file"));
    assert!(change(&|seed| seed.manifest.node.macs.clear()).contains("another node"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever bit of a signed volume is flipped: refused, or the change meant nothing (the armour's line ends).
    #[test]
    fn flipped_bit_anywhere_is_refused_or_changes_nothing(file in 0_usize..64, at in 0_usize..4096, bit in 0_u8..8) {
        let good = Seed { endorser: Some(Signer::new(9)), ..Seed::new(5) }.tree();
        let trusting = Known { trusted: vec![key(9)], ..known() };
        let mut tree = good.clone();
        let name = tree.keys().nth(file % tree.len()).unwrap().clone();
        let bytes = tree.get_mut(&name).unwrap();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        match judged(&tree, &trusting) {
            Err(reason) => prop_assert!(!reason.is_empty()),
            Ok(Accepted::Plain(_)) => prop_assert!(false, "plain"),
            Ok(Accepted::Signed(verified)) => {
                prop_assert!(name.ends_with(".sig") || name.ends_with("cluster.pub"), "{} at {}", name, at);
                prop_assert_eq!(&verified.manifest.documents.len(), &4);
                for (path, bytes) in good.iter().filter(|(path, _)| !path.ends_with(".sig")) {
                    if *path != name {
                        prop_assert_eq!(&tree[path], bytes);
                    }
                }
            }
        }
    }

    #[test]
    fn manifest_reader_never_panics(text in any::<String>()) {
        let _ = super::judge::parse(&text);
    }
}
