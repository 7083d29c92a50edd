//! Indices of a small archive: what is accepted, what is refused and in which words.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::generator::{Archive, Package, Signed, Suite, now, pack};
use archive::keys::Keys;
use archive::server::{Mode, Server};
use archive::{client, options, said};
use imgbuild::base::digest::Digest;
use imgbuild::base::epoch::Epoch;
use imgbuild::base::hint::find;
use imgbuild::base::progress::Silent;
use imgbuild::package::archive::{ClientOptions, HostMirrors, Index, prune_indices};
use imgbuild::package::openpgp::Refusal;
use imgbuild::plan::{Blob, Location, Repository};
use std::collections::BTreeMap;

struct Scene {
    archive: Archive,
    server: Server,
    cache: tempfile::TempDir,
    suite: Suite,
}

impl Scene {
    fn new() -> Self {
        let archive = Archive::new();
        let server = Server::start(archive.root());
        let packages = packages(&archive);
        Self { archive, server, cache: tempfile::tempdir().unwrap(), suite: Suite::new("trixie", packages) }
    }

    fn options(&self) -> ClientOptions {
        options(self.cache.path())
    }

    fn repository(&self) -> Repository {
        self.archive.repository(&self.server.url, &["trixie"])
    }

    fn publish(&self) {
        self.archive.publish(&self.suite);
    }

    fn indices(&self) -> anyhow::Result<Vec<Index>> {
        client(self.options()).indices(&[self.repository()], "amd64", &Silent)
    }

    /// What the refusal says.
    fn refused(&self) -> String {
        said(&self.indices().unwrap_err(), &self.server.url, self.archive.root())
    }

    fn paths(&self) -> Vec<String> {
        self.server.asked().into_iter().map(|asked| asked.path).collect()
    }
}

fn packages(archive: &Archive) -> Vec<Package> {
    vec![archive.package("haproxy", "3.0.11-1", b"h"), archive.package("corosync", "3.1.9-2", b"c")]
}

fn text(packages: &[Package]) -> String {
    packages.iter().map(|package| package.stanza.as_str()).collect::<Vec<_>>().join("\n")
}

const DISTRUST: &str =
    "hint: nothing of this archive is used: check the mirror, and the repository's `keyring:` in the recipe";

#[test]
fn good_archive_gives_its_indices_and_again_offline() {
    let mut scene = Scene::new();
    let more = vec![scene.archive.package("sl", "5.02-1", b"s")];
    scene.suite.components.push(("contrib", more.clone()));
    scene.publish();
    scene.archive.publish(&Suite::new("trixie-updates", vec![]));
    let mut repository = scene.archive.repository(&scene.server.url, &["trixie", "trixie-updates"]);
    let found = client(scene.options()).indices(&[repository.clone()], "amd64", &Silent).unwrap();
    assert_eq!(found.len(), 2, "contrib is not asked for");
    let main = &found[0];
    assert_eq!((main.repository.as_str(), main.suite.as_str(), main.component.as_str()), ("test", "trixie", "main"));
    assert_eq!(main.priority, 500);
    assert_eq!(String::from_utf8(main.text().unwrap()).unwrap(), text(&scene.suite.components[0].1));
    assert_eq!(main.release.date, Epoch(1_719_748_800));
    assert_eq!(main.release.valid_until, Some(Epoch(1_720_353_600)));
    assert_eq!(main.release.codename.as_deref(), Some("trixie"));
    assert_eq!(found[1].suite, "trixie-updates");

    repository.components.push("contrib".to_owned());
    repository.suites.truncate(1);
    let both = client(scene.options()).indices(&[repository.clone()], "amd64", &Silent).unwrap();
    assert_eq!(both[0].text().unwrap(), text(&scene.suite.components[0].1).as_bytes());
    assert_eq!(both[1].text().unwrap(), text(&more).as_bytes());

    scene.server.asked();
    let offline = ClientOptions { offline: true, now: Epoch(i64::from(u32::MAX)), ..scene.options() };
    assert_eq!(client(offline).indices(&[repository], "amd64", &Silent).unwrap(), both);
    assert_eq!(scene.paths(), [""; 0], "offline asks nobody");
}

#[test]
fn unchanged_contents_are_not_fetched_again() {
    let scene = Scene::new();
    scene.publish();
    let first = scene.indices().unwrap();
    assert_eq!(scene.paths(), ["/dists/trixie/InRelease", "/dists/trixie/main/binary-amd64/Packages.xz"]);
    assert_eq!(scene.indices().unwrap(), first);
    assert_eq!(scene.paths(), ["/dists/trixie/InRelease"]);
}

#[test]
fn superseded_indices_are_pruned_and_the_newest_stay() {
    let mut scene = Scene::new();
    assert_eq!(prune_indices(scene.cache.path()).unwrap(), 0);
    scene.publish();
    let old = scene.indices().unwrap();
    scene.suite.components[0].1.pop();
    scene.publish();
    let new = scene.indices().unwrap();
    assert_eq!(prune_indices(scene.cache.path()).unwrap(), old[0].size);
    assert!(!old[0].file.exists());
    let offline = ClientOptions { offline: true, ..scene.options() };
    assert_eq!(client(offline).indices(&[scene.repository()], "amd64", &Silent).unwrap(), new);
}

#[test]
fn what_broken_off_downloads_of_indices_left_is_pruned_and_others_go_on() {
    let scene = Scene::new();
    scene.publish();
    let suite = scene.indices().unwrap()[0].file.parent().unwrap().to_owned();
    let before = std::fs::read_dir(&suite).unwrap().count();
    for name in ["0abc.part", "new-x1y2", "busy.part", "new-busy"] {
        std::fs::write(suite.join(name), "12345").unwrap();
    }
    let busy = ["busy.part", "new-busy"].map(|name| std::fs::File::open(suite.join(name)).unwrap());
    for file in &busy {
        rustix::fs::flock(file, rustix::fs::FlockOperation::LockExclusive).unwrap();
    }
    assert_eq!(prune_indices(scene.cache.path()).unwrap(), 10);
    assert_eq!(std::fs::read_dir(&suite).unwrap().count(), before + 2);
    drop(busy);
    assert_eq!(prune_indices(scene.cache.path()).unwrap(), 10);
}

#[test]
fn archive_in_a_folder_is_read_without_a_server() {
    let scene = Scene::new();
    scene.publish();
    let folder = scene.archive.root().display().to_string();
    for url in [folder.clone(), format!("file://{folder}"), format!("file:{folder}/")] {
        let cache = tempfile::tempdir().unwrap();
        let found = client(options(cache.path()))
            .indices(&[scene.archive.repository(&url, &["trixie"])], "amd64", &Silent)
            .unwrap();
        assert_eq!(found[0].text().unwrap(), text(&scene.suite.components[0].1).as_bytes(), "{url}");
    }
}

#[test]
fn mirror_is_found_by_name_by_distribution_and_by_the_host() {
    let scene = Scene::new();
    scene.publish();
    let url = scene.server.url.clone();
    let map = |name: &str| BTreeMap::from([(name.to_owned(), url.clone())]);
    let mut repository = scene.repository();
    repository.location = Location::Host("debian".to_owned());
    let cases = [
        ClientOptions { mirrors: map("test"), ..scene.options() },
        ClientOptions { mirrors: map("debian"), ..scene.options() },
        ClientOptions { host: HostMirrors::new(map("debian")), ..scene.options() },
    ];
    for options in cases {
        client(options).indices(&[repository.clone()], "amd64", &Silent).unwrap();
    }
    let error = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &url, scene.archive.root()),
        "reading suite `trixie` of repository `test`: this host's apt has no mirror of `debian`: it is set up with \
         none that is recognised\nhint: name one with `--repository debian=URL`, IMGBUILD_REPOSITORY_DEBIAN or in the recipe"
    );
}

#[test]
fn release_with_a_signature_beside_it_is_accepted() {
    let mut scene = Scene::new();
    scene.suite.signed = Signed::Detached;
    scene.publish();
    let found = scene.indices().unwrap();
    let offline = ClientOptions { offline: true, ..scene.options() };
    assert_eq!(client(offline).indices(&[scene.repository()], "amd64", &Silent).unwrap(), found);
}

#[test]
fn unsigned_and_foreign_archives_are_refused() {
    let mut scene = Scene::new();
    scene.suite.signed = Signed::Unsigned;
    scene.publish();
    let prefix = "reading suite `trixie` of repository `test`: verifying URL/dists/trixie";
    assert_eq!(scene.refused(), format!("{prefix}/Release: it is not signed\n{DISTRUST}"));

    let key = scene.archive.keys.subkey_fingerprint();
    scene.suite.signed = Signed::Clear;
    scene.publish();
    let mut repository = scene.repository();
    repository.keyring.content = Blob::new(Keys::fixture("second").binary());
    let error = client(scene.options()).indices(&[repository.clone()], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        format!("{prefix}/InRelease: it is signed by key {key}, which keyring `test` does not hold\n{DISTRUST}")
    );
    assert!(matches!(find::<Refusal>(&error), Some(Refusal::UnknownKey { .. })));

    repository.keyring.content = Blob::new(b"nothing".to_vec());
    let error = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        "reading suite `trixie` of repository `test`: keyring `test` holds no OpenPGP certificate: there is no armoured \
         block in it\nhint: a repository's `keyring:` holds OpenPGP certificates, armoured or binary"
    );
}

#[test]
fn changed_release_file_is_refused_and_not_kept() {
    let scene = Scene::new();
    scene.publish();
    let good = std::fs::read_to_string(scene.archive.path("dists/trixie/InRelease")).unwrap();
    let key = scene.archive.keys.subkey_fingerprint();
    scene.server.always("InRelease", Mode::Instead(good.replace("Label: Test", "Label: Best").into_bytes()));
    assert_eq!(
        scene.refused(),
        format!(
            "reading suite `trixie` of repository `test`: verifying URL/dists/trixie/InRelease: the signature by key \
             {key} does not match the text: it was changed after signing\n{DISTRUST}"
        )
    );
    let offline = ClientOptions { offline: true, ..scene.options() };
    let error = client(offline).indices(&[scene.repository()], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        "reading suite `trixie` of repository `test`: the Release file of suite `trixie` is not in the cache, and the \
         network is off\nhint: run once without `--offline`"
    );
}

#[test]
fn changed_cache_is_noticed() {
    let scene = Scene::new();
    scene.publish();
    let found = scene.indices().unwrap();
    let release = scene.cache.path().join("indices/test/trixie/InRelease");
    let good = std::fs::read_to_string(&release).unwrap();
    std::fs::write(&release, good.replace("Label: Test", "Label: Best")).unwrap();
    let offline = ClientOptions { offline: true, ..scene.options() };
    let error = client(offline).indices(&[scene.repository()], "amd64", &Silent).unwrap_err();
    assert!(matches!(find::<Refusal>(&error), Some(Refusal::Tampered { .. })), "{error:#}");

    let mut bytes = std::fs::read(&found[0].file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&found[0].file, bytes).unwrap();
    let error = found[0].text().unwrap_err();
    assert!(error.to_string().contains("was changed: its digest is"), "{error:#}");
    let verify = ClientOptions { verify: true, ..scene.options() };
    let again = client(verify).indices(&[scene.repository()], "amd64", &Silent).unwrap();
    again[0].text().unwrap();
}

#[test]
fn stale_release_is_refused_unless_the_document_allows_it() {
    let scene = Scene::new();
    scene.publish();
    let later = ClientOptions { now: Epoch(now().0 + 10 * 86_400), ..scene.options() };
    let error = client(later.clone()).indices(&[scene.repository()], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        "reading suite `trixie` of repository `test`: it was valid until 2024-07-07T12:00:00Z, and now it is \
         2024-07-11T00:00:00Z\nhint: the mirror is no longer updated, or this machine's clock is wrong; for a snapshot \
         archive say `check_valid_until: false`"
    );
    let mut repository = scene.repository();
    repository.check_valid_until = false;
    client(later).indices(&[repository], "amd64", &Silent).unwrap();
}

#[test]
fn release_of_another_suite_is_refused() {
    let mut scene = Scene::new();
    scene.suite.edit =
        |text| text.replace("Suite: trixie", "Suite: oldstable").replace("name: trixie", "name: bookworm");
    scene.publish();
    assert_eq!(
        scene.refused(),
        "reading suite `trixie` of repository `test`: it is of suite `oldstable` with codename `bookworm`, not of \
         `trixie`\nhint: check the mirror's URL and the suite's name in the recipe"
    );
}

#[test]
fn missing_suites_components_and_architectures_are_named() {
    let scene = Scene::new();
    scene.publish();
    let prefix = "reading suite `trixie` of repository `test`: ";
    let mut repository = scene.repository();
    repository.suites = vec!["forky".to_owned()];
    let error = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        "reading suite `forky` of repository `test`: URL/dists/forky has neither InRelease nor Release\nhint: check the \
         suite's name and the mirror's URL; another mirror can be named with `--repository test=URL`"
    );
    let mut repository = scene.repository();
    repository.components = vec!["mian".to_owned()];
    let error = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("{prefix}it has no component `mian`: it has main"));
    let error = client(scene.options()).indices(&[scene.repository()], "s390x", &Silent).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        format!("{prefix}it has no packages for s390x: it has amd64 arm64").replace("amd64 arm64", "amd64, arm64")
    );
    let error = client(scene.options()).indices(&[scene.repository()], "arm64", &Silent).unwrap_err();
    assert_eq!(format!("{error:#}"), format!("{prefix}it lists no `main/binary-arm64/Packages`"));
}

#[test]
fn every_packing_is_read_and_the_smallest_preferred() {
    let cases: [(&[&'static str], &str); 5] =
        [(&[".gz"], ".gz"), (&[".zst", ".gz"], ".zst"), (&[".gz", ".xz", ""], ".xz"), (&[""], ""), (&[".xz"], ".xz")];
    for (packings, fetched) in cases {
        for list_plain in [true, false] {
            let mut scene = Scene::new();
            scene.suite.packings = packings.to_vec();
            scene.suite.list_plain = list_plain;
            scene.publish();
            let found = scene.indices().unwrap();
            assert_eq!(found[0].text().unwrap(), text(&scene.suite.components[0].1).as_bytes(), "{packings:?}");
            assert_eq!(scene.paths()[1], format!("/dists/trixie/main/binary-amd64/Packages{fetched}"));
            let offline = ClientOptions { offline: true, ..scene.options() };
            assert_eq!(client(offline).indices(&[scene.repository()], "amd64", &Silent).unwrap(), found);
        }
    }
}

#[test]
fn contents_are_fetched_by_digest_where_offered() {
    let mut scene = Scene::new();
    scene.suite.by_hash = true;
    scene.publish();
    let name = "dists/trixie/main/binary-amd64/Packages.xz";
    let digest = Digest::of(&std::fs::read(scene.archive.path(name)).unwrap());
    scene.archive.remove(name);
    let found = scene.indices().unwrap();
    let by_hash = format!("/dists/trixie/main/binary-amd64/by-hash/SHA256/{digest}");
    assert_eq!(scene.paths(), ["/dists/trixie/InRelease".to_owned(), by_hash.clone()]);

    scene.publish();
    scene.archive.remove(&by_hash[1..]);
    let cache = tempfile::tempdir().unwrap();
    let again = client(options(cache.path())).indices(&[scene.repository()], "amd64", &Silent).unwrap();
    assert_eq!(again[0].sha256, found[0].sha256);
    assert_eq!(scene.paths(), ["/dists/trixie/InRelease".to_owned(), by_hash, format!("/{name}")]);
}

#[test]
fn mirror_that_is_being_updated_is_read_a_second_time() {
    let scene = Scene::new();
    scene.publish();
    let old = std::fs::read(scene.archive.path("dists/trixie/InRelease")).unwrap();
    let mut suite = scene.suite.clone();
    suite.components[0].1.push(scene.archive.package("sl", "5.02-1", b"s"));
    scene.archive.publish(&suite);
    scene.server.times("InRelease", 1, Mode::Instead(old));
    let found = scene.indices().unwrap();
    assert_eq!(found[0].text().unwrap(), text(&suite.components[0].1).as_bytes());
}

#[test]
fn changed_indices_and_bombs_are_refused() {
    let scene = Scene::new();
    scene.publish();
    let name = "dists/trixie/main/binary-amd64/Packages.xz";
    let good = std::fs::read(scene.archive.path(name)).unwrap();
    let mut other = good.clone();
    other[20] ^= 1;
    scene.server.always("Packages.xz", Mode::Instead(other.clone()));
    assert_eq!(
        scene.refused(),
        format!(
            "reading suite `trixie` of repository `test`: URL/{name} has digest {}, {} was promised\nhint: the server may \
             be half updated: try again, or name another mirror with `--repository test=URL`",
            Digest::of(&other),
            Digest::of(&good)
        )
    );

    // Signed, but growing beyond what is signed for the unpacked file.
    let mut bomb = Scene::new();
    bomb.suite.edit = |text| {
        let packed = pack(".xz", &vec![b'\n'; 1 << 20]);
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.ends_with("Packages.xz") {
                true => format!(" {} {} main/binary-amd64/Packages.xz", Digest::of(&packed), packed.len()),
                false => line.to_owned(),
            })
            .collect();
        lines.join("\n") + "\n"
    };
    bomb.publish();
    bomb.archive.write(name, &pack(".xz", &vec![b'\n'; 1 << 20]));
    let size = text(&bomb.suite.components[0].1).len();
    assert_eq!(
        bomb.refused(),
        format!(
            "reading suite `trixie` of repository `test`: unpacking `main/binary-amd64/Packages.xz`: it unpacks to more \
             than the {size} bytes promised for it"
        )
    );
}

#[test]
fn flat_repository_is_read_beside_its_release_file() {
    for suite in ["./", "/", ""] {
        let mut scene = Scene::new();
        scene.suite.flat = true;
        scene.suite.codename = None;
        scene.publish();
        let mut repository = scene.archive.repository(&scene.server.url, &[suite]);
        repository.flat = true;
        repository.components = vec![];
        let found = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap();
        assert_eq!(found[0].text().unwrap(), text(&scene.suite.components[0].1).as_bytes());
        assert_eq!(found[0].component, "");
        assert_eq!(scene.paths(), ["/InRelease", "/Packages.xz"]);
    }
}

#[test]
fn suites_that_hold_back_get_a_lower_priority() {
    let cases = [
        ("", 500, 500),
        ("NotAutomatic: yes\n", 500, 1),
        ("NotAutomatic: yes\nButAutomaticUpgrades: yes\n", 500, 100),
        ("NotAutomatic: yes\nButAutomaticUpgrades: yes\n", 990, 990),
    ];
    for (extra, wanted, given) in cases {
        let mut scene = Scene::new();
        scene.suite.extra = extra;
        scene.publish();
        let mut repository = scene.repository();
        repository.priority = wanted;
        let found = client(scene.options()).indices(&[repository], "amd64", &Silent).unwrap();
        assert_eq!(found[0].priority, given, "{extra}");
    }
}

#[test]
fn login_pages_are_told_from_archives() {
    let scene = Scene::new();
    scene.publish();
    let message = "reading suite `trixie` of repository `test`: URL/dists/trixie/InRelease gives a web page instead of \
                   the file\nhint: log in to this network first, or set the proxy (http_proxy, https_proxy)";
    for mode in [Mode::LoginPage, Mode::Instead(b"<!DOCTYPE html>\n<html>".to_vec())] {
        scene.server.behave();
        scene.server.always("InRelease", mode);
        assert_eq!(scene.refused(), message);
    }
}
