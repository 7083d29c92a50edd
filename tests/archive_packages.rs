//! Pinned packages and files: from servers of every mood into the cache, and out of it without them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

#[path = "support/archive/mod.rs"]
mod archive;

use archive::generator::Archive;
use archive::server::{Mode, Server};
use archive::{client, options, said};
use imgbuild::base::digest::Digest;
use imgbuild::base::process::Run;
use imgbuild::base::progress::{Event, Progress, Silent, Unit};
use imgbuild::package::archive::ClientOptions;
use imgbuild::package::{PackageFile, Pin};
use imgbuild::plan::PinnedFile;
use std::sync::Mutex;
use std::time::Duration;

struct Scene {
    archive: Archive,
    server: Server,
    cache: tempfile::TempDir,
    pin: Pin,
    bytes: Vec<u8>,
}

impl Scene {
    /// One package of some 300 KB, which does not compress.
    fn new() -> Self {
        let archive = Archive::new();
        let server = Server::start(archive.root());
        let mut state = 1_u32;
        let payload: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(300_000)
        .collect();
        let pin = archive.package("haproxy", "3.0.11-1+b1", &payload).pin;
        let bytes = std::fs::read(archive.path(&pin.path)).unwrap();
        Self { archive, server, cache: tempfile::tempdir().unwrap(), pin, bytes }
    }

    fn options(&self) -> ClientOptions {
        options(self.cache.path())
    }

    fn fetch(&self) -> anyhow::Result<Vec<PackageFile>> {
        let repositories = [self.archive.repository(&self.server.url, &["trixie"])];
        client(self.options()).fetch(std::slice::from_ref(&self.pin), &repositories, &Silent)
    }

    fn fetched(&self) {
        let files = self.fetch().unwrap();
        assert_eq!(std::fs::read(&files[0].file).unwrap(), self.bytes);
        let partial = std::fs::read_dir(self.cache.path().join("packages/partial")).unwrap();
        assert_eq!(partial.count(), 0, "nothing is left half done");
    }

    fn refused(&self) -> String {
        said(&self.fetch().unwrap_err(), &self.server.url, self.archive.root())
    }

    fn ranges(&self) -> Vec<Option<String>> {
        self.server.asked().into_iter().map(|asked| asked.range).collect()
    }
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Progress for Recorder {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[test]
fn packages_are_fetched_once_and_given_in_the_order_of_the_pins() {
    let scene = Scene::new();
    let mut pins: Vec<Pin> = (0..20).map(|n| scene.archive.package(&format!("p{n}"), "1", b"x").pin).collect();
    pins.push(pins[3].clone());
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    let recorder = Recorder::default();
    let files = client(scene.options()).fetch(&pins, &repositories, &recorder).unwrap();
    assert_eq!(files.iter().map(|file| &file.pin).collect::<Vec<_>>(), pins.iter().collect::<Vec<_>>());
    for file in &files {
        assert_eq!(Digest::of(&std::fs::read(&file.file).unwrap()), file.pin.sha256);
        assert!(file.file.ends_with(format!("{}.deb", file.pin.sha256)));
    }
    assert_eq!(scene.server.asked().len(), 20);
    let events = recorder.0.into_inner().unwrap();
    let total: u64 = pins[..20].iter().map(|pin| pin.size).sum();
    assert_eq!(events[0], Event::Begin { phase: "download".to_owned(), total, unit: Unit::Bytes });
    let told: u64 = events.iter().map(|event| if let Event::Advance { by, .. } = event { *by } else { 0 }).sum();
    assert_eq!(told, total);
    assert_eq!(client(scene.options()).fetch(&pins, &repositories, &Silent).unwrap(), files);
    assert_eq!(scene.server.asked(), []);
    let offline = ClientOptions { offline: true, ..scene.options() };
    assert_eq!(client(offline).fetch(&pins, &[], &Silent).unwrap(), files);
}

#[test]
fn cut_downloads_go_on_where_they_stopped() {
    for mode in [Mode::Truncate(100_000), Mode::Reset(100_000)] {
        let scene = Scene::new();
        scene.server.times("haproxy", 2, mode.clone());
        scene.fetched();
        let ranges = scene.ranges();
        assert_eq!(ranges.len(), 3, "{mode:?}");
        assert_eq!(ranges[0], None);
        if mode == Mode::Truncate(100_000) {
            assert_eq!(ranges[1..], [Some("bytes=100000-".to_owned()), Some("bytes=200000-".to_owned())]);
        }
    }
}

#[test]
fn progress_counts_every_byte_once() {
    let scene = Scene::new();
    scene.server.times("haproxy", 1, Mode::Truncate(100_000));
    scene.server.times("haproxy", 1, Mode::IgnoreRanges);
    let recorder = Recorder::default();
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    client(scene.options()).fetch(std::slice::from_ref(&scene.pin), &repositories, &recorder).unwrap();
    let events = recorder.0.into_inner().unwrap();
    let told: u64 = events.iter().map(|event| if let Event::Advance { by, .. } = event { *by } else { 0 }).sum();
    assert_eq!(told, scene.pin.size);
}

#[test]
fn servers_that_ignore_or_mistake_ranges_are_tolerated() {
    for mode in [Mode::IgnoreRanges, Mode::WrongRange, Mode::NoLength] {
        let scene = Scene::new();
        scene.server.times("haproxy", 1, Mode::Truncate(100_000));
        scene.server.times("haproxy", 1, mode);
        scene.fetched();
    }
}

#[test]
fn promises_beyond_all_numbers_are_refused_like_any_wrong_length() {
    let scene = Scene::new();
    scene.server.times("haproxy", 1, Mode::Truncate(100_000));
    scene.server.times("haproxy", 1, Mode::Endless);
    let error = format!("{:#}", scene.fetch().unwrap_err());
    assert!(error.contains(&format!("{} bytes", u64::MAX)), "{error}");
}

#[test]
fn pins_of_impossible_sizes_are_refused_by_name() {
    let scene = Scene::new();
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    let pin = |text: &str| Pin { size: u64::MAX, sha256: Digest::of(text.as_bytes()), ..scene.pin.clone() };
    let error = client(scene.options()).fetch(&[pin("one"), pin("two")], &repositories, &Silent).unwrap_err();
    assert!(format!("{error:#}").contains("haproxy"), "{error:#}");
}

#[test]
fn interrupted_run_is_continued_by_the_next_one() {
    let scene = Scene::new();
    scene.server.always("haproxy", Mode::Truncate(1000));
    scene.fetch().unwrap_err();
    scene.server.behave();
    scene.server.asked();
    scene.fetched();
    assert_eq!(scene.ranges(), [Some("bytes=3000-".to_owned())]);
}

#[test]
fn damaged_beginning_is_thrown_away() {
    let scene = Scene::new();
    let part = scene.cache.path().join(format!("packages/partial/{}.part", scene.pin.sha256));
    std::fs::create_dir_all(part.parent().unwrap()).unwrap();
    for left in [vec![7; 1000], vec![7; scene.bytes.len()], vec![7; scene.bytes.len() + 1]] {
        std::fs::write(&part, left).unwrap();
        scene.fetched();
        std::fs::remove_file(&scene.fetch().unwrap()[0].file).unwrap();
    }
    // A whole one needs no further byte.
    std::fs::write(&part, &scene.bytes).unwrap();
    scene.server.asked();
    scene.fetched();
    assert_eq!(scene.server.asked(), []);
}

#[test]
fn passing_failures_are_outlasted() {
    let modes = [
        Mode::Status(500),
        Mode::Status(503),
        Mode::Status(429),
        Mode::SilentBefore(Duration::from_secs(1)),
        Mode::SilentAfter(1000, Duration::from_secs(1)),
        Mode::Reset(0),
        Mode::Corrupt,
    ];
    for mode in modes {
        let scene = Scene::new();
        scene.server.times("haproxy", 1, mode.clone());
        scene.fetched();
        assert_eq!(scene.server.asked().len(), 2, "{mode:?}");
    }
}

#[test]
fn redirects_are_followed() {
    let scene = Scene::new();
    scene.archive.write("elsewhere.deb", &scene.bytes);
    let full = format!("{}/elsewhere.deb", scene.server.url);
    for to in ["/elsewhere.deb", "../../../../elsewhere.deb", &full] {
        scene.server.behave();
        scene.server.always("haproxy", Mode::Redirect(to.to_owned()));
        scene.fetched();
        std::fs::remove_file(&scene.fetch().unwrap()[0].file).unwrap();
    }
    scene.server.behave();
    scene.server.always("haproxy", Mode::Redirect("/pool/main/h/haproxy/haproxy_3.0.11-1+b1_amd64.deb".to_owned()));
    assert!(scene.refused().contains("cannot be had: the server redirects in circles"));
    scene.server.behave();
    scene.server.always("haproxy", Mode::Redirect("ftp://mirror.example/x".to_owned()));
    assert!(scene.refused().contains("cannot be had: the server redirects to nowhere"));
}

#[test]
fn lasting_failures_are_told_with_url_and_remedy() {
    let url = "URL/pool/main/h/haproxy/haproxy_3.0.11-1%2Bb1_amd64.deb";
    let package = "package haproxy=3.0.11-1+b1:amd64";
    let network = "check the network and the proxy (http_proxy, https_proxy, no_proxy), or name another mirror with \
                   `--repository test=URL`";
    let out = "`imgbuild lock --update` pins what the mirror carries now; or name a `snapshot:` archive for the \
               repository in the recipe; or give a cache (`--cache DIR`) or a bundle (`--bundle FILE`) that has the package";
    let cases = [
        (
            Mode::Status(404),
            format!("{package} is no longer on the mirror of `test` ({url} does not exist)\nhint: {out}"),
        ),
        (
            Mode::Status(500),
            format!(
                "fetching {package}: {url} cannot be had: the server answers with status 500 (3 attempts)\nhint: try again \
                 later, or name another mirror with `--repository test=URL`"
            ),
        ),
        (
            Mode::Status(403),
            format!(
                "fetching {package}: {url} is not given to us: the server answers with status 403\nhint: check the URL and \
                 whether this machine may read it"
            ),
        ),
        (
            Mode::SilentAfter(0, Duration::from_secs(1)),
            format!("fetching {package}: {url} cannot be had: the server fell silent (3 attempts)\nhint: {network}"),
        ),
        (
            Mode::Truncate(10),
            format!(
                "fetching {package}: {url} cannot be had: the connection ended too early (3 attempts)\nhint: {network}"
            ),
        ),
        (
            Mode::LoginPage,
            format!(
                "fetching {package}: {url} gives a web page instead of the file\nhint: log in to this network first, or set \
                 the proxy (http_proxy, https_proxy)"
            ),
        ),
        (
            Mode::Instead(b"short".to_vec()),
            format!(
                "{package} is no longer on the mirror of `test` ({url} has 5 bytes, SIZE were promised)\nhint: {out}"
            ),
        ),
        (
            Mode::Corrupt,
            format!(
                "{package} is no longer on the mirror of `test` ({url} has digest OTHER, SHA256 was promised)\nhint: {out}"
            ),
        ),
    ];
    for (mode, message) in cases {
        let scene = Scene::new();
        let mut other = scene.bytes.clone();
        other[0] ^= 1;
        scene.server.always("haproxy", mode.clone());
        let message = message
            .replace("SIZE", &scene.pin.size.to_string())
            .replace("OTHER", &Digest::of(&other).to_string())
            .replace("SHA256", &scene.pin.sha256.to_string());
        assert_eq!(scene.refused(), message, "{mode:?}");
        assert!(scene.fetch().is_err(), "{mode:?}");
        scene.server.behave();
        scene.fetched();
    }
}

#[test]
fn server_that_is_not_there_is_told() {
    let mut scene = Scene::new();
    scene.server.url = "http://127.0.0.1:9".to_owned();
    assert_eq!(
        scene.refused(),
        "fetching package haproxy=3.0.11-1+b1:amd64: URL/pool/main/h/haproxy/haproxy_3.0.11-1%2Bb1_amd64.deb cannot be \
         had: the connection was refused (3 attempts)\nhint: check the network and the proxy (http_proxy, https_proxy, \
         no_proxy), or name another mirror with `--repository test=URL`"
    );
}

#[test]
fn endless_answers_are_cut_off() {
    let scene = Scene::new();
    let file = PinnedFile { name: "x".to_owned(), sha256: scene.pin.sha256, url: None };
    let mut longer = scene.bytes.clone();
    longer.push(0);
    scene.archive.write("longer.deb", &longer);
    let mut pin = scene.pin.clone();
    pin.path = "longer.deb".to_owned();
    scene.server.always("longer", Mode::NoLength);
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    let error = client(scene.options()).fetch(&[pin], &repositories, &Silent).unwrap_err();
    assert!(error.to_string().contains(&format!("is longer than the {} bytes allowed", scene.pin.size)), "{error:#}");
    let error = client(scene.options()).fetch_file(&file, &Silent).unwrap_err();
    assert_eq!(error.to_string(), format!("x (sha256 {}) is not in the cache, and it has no URL", scene.pin.sha256));
}

#[test]
fn packages_that_the_mirror_dropped_come_from_the_snapshot() {
    let scene = Scene::new();
    let old = Archive::new();
    old.write(&scene.pin.path, &scene.bytes);
    let snapshot = Server::start(old.root());
    scene.archive.remove(&scene.pin.path);
    let mut repository = scene.archive.repository(&scene.server.url, &["trixie"]);
    repository.snapshot = Some(format!("{}/", snapshot.url));
    let fetch = || client(scene.options()).fetch(std::slice::from_ref(&scene.pin), &[repository.clone()], &Silent);
    snapshot.always("haproxy", Mode::Status(404));
    let error = fetch().unwrap_err();
    assert_eq!(
        said(&error, &snapshot.url, old.root()).replace(&scene.server.url, "MIRROR"),
        "fetching package haproxy=3.0.11-1+b1:amd64, no longer at \
         MIRROR/pool/main/h/haproxy/haproxy_3.0.11-1%2Bb1_amd64.deb, from the snapshot archive: \
         URL/pool/main/h/haproxy/haproxy_3.0.11-1%2Bb1_amd64.deb does not exist\nhint: check the URL"
    );
    snapshot.behave();
    fetch().unwrap();
    // The cache has it now, whatever the archives do.
    snapshot.always("haproxy", Mode::Status(404));
    fetch().unwrap();
}

#[test]
fn damaged_cache_entry_is_fetched_again_when_verifying() {
    let scene = Scene::new();
    let file = scene.fetch().unwrap()[0].file.clone();
    let mut bytes = scene.bytes.clone();
    bytes[0] ^= 1;
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &bytes).unwrap();
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    let verify = ClientOptions { verify: true, ..scene.options() };
    client(verify).fetch(std::slice::from_ref(&scene.pin), &repositories, &Silent).unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), scene.bytes);
    // One of another size is noticed at once.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"cut").unwrap();
    scene.fetched();
}

#[test]
fn missing_packages_are_named_offline() {
    let scene = Scene::new();
    let pins: Vec<Pin> = (10..22).map(|n| scene.archive.package(&format!("p{n}"), "1", b"x").pin).collect();
    let offline = ClientOptions { offline: true, ..scene.options() };
    let error = client(offline).fetch(&pins, &[], &Silent).unwrap_err();
    let names: Vec<String> = (10..20).map(|n| format!("p{n}=1:amd64")).collect();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        format!(
            "12 of the pinned packages are not in the cache, and the network is off: {}, and 2 more\nhint: run once without \
             `--offline`, or give a cache (`--cache DIR`) or a bundle (`--bundle FILE`) that has them",
            names.join(", ")
        )
    );
    assert_eq!(scene.server.asked(), []);
}

#[test]
fn pins_of_unknown_repositories_and_wild_paths_are_refused() {
    let scene = Scene::new();
    let error = client(scene.options()).fetch(std::slice::from_ref(&scene.pin), &[], &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        "package haproxy=3.0.11-1+b1:amd64 is pinned from `test`, which is no repository of this build\nhint: `imgbuild lock \
         --update` pins it from a repository of the recipe or the role"
    );
    let mut pin = scene.pin.clone();
    pin.path = "../../etc/passwd".to_owned();
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    let error = client(scene.options()).fetch(&[pin], &repositories, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "package haproxy=3.0.11-1+b1:amd64 has the path `../../etc/passwd`, which is no plain path below the repository"
    );
}

#[test]
fn pinned_files_are_fetched_and_local_ones_adopted() {
    let scene = Scene::new();
    scene.archive.write("tools/crictl.tar.gz", b"archive");
    let url = format!("{}/tools/crictl.tar.gz", scene.server.url);
    let file = PinnedFile { name: "crictl".to_owned(), sha256: Digest::of(b"archive"), url: Some(url) };
    let path = client(scene.options()).fetch_file(&file, &Silent).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"archive");
    let offline = ClientOptions { offline: true, ..scene.options() };
    assert_eq!(client(offline.clone()).fetch_file(&file, &Silent).unwrap(), path);

    let other = PinnedFile { sha256: Digest::of(b"other"), ..file.clone() };
    let error = client(scene.options()).fetch_file(&other, &Silent).unwrap_err();
    assert_eq!(
        said(&error, &scene.server.url, scene.archive.root()),
        format!(
            "fetching crictl: URL/tools/crictl.tar.gz has digest {}, {} was promised\nhint: if the new contents are wanted, \
             correct the `sha256:` of the document\nhint: the server may be half updated: try again",
            file.sha256, other.sha256
        )
    );
    let error = client(offline).fetch_file(&other, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "crictl is not in the cache, and the network is off");

    let local = PinnedFile { name: "local.deb".to_owned(), sha256: Digest::of(b"local"), url: None };
    scene.archive.write("local.deb", b"local");
    let path = client(scene.options()).adopt(&scene.archive.path("local.deb"), &local).unwrap();
    assert_eq!(client(scene.options()).fetch_file(&local, &Silent).unwrap(), path);
    scene.archive.write("local2.deb", b"changed");
    let local = PinnedFile { sha256: Digest::of(b"wanted"), ..local };
    let error = client(scene.options()).adopt(&scene.archive.path("local2.deb"), &local).unwrap_err();
    assert!(error.to_string().contains("is not the file whose digest is"), "{error:#}");
}

#[test]
fn several_clients_share_one_cache() {
    let scene = Scene::new();
    let repositories = [scene.archive.repository(&scene.server.url, &["trixie"])];
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let client = client(scene.options());
                let files = client.fetch(std::slice::from_ref(&scene.pin), &repositories, &Silent).unwrap();
                assert_eq!(std::fs::read(&files[0].file).unwrap(), scene.bytes);
            });
        }
    });
}

/// Run by [`proxies_of_the_environment_are_used`] in a process of its own; alone, it has nothing to do.
#[test]
fn child_behind_a_proxy() {
    let Ok(url) = std::env::var("ARCHIVE_TEST_URL") else { return };
    let cache = tempfile::tempdir().unwrap();
    let file = PinnedFile { name: "x".to_owned(), sha256: Digest::of(b"x"), url: Some(url) };
    match client(options(cache.path())).fetch_file(&file, &Silent) {
        Ok(_) => {}
        Err(error) => panic!("REFUSED {error:#}"),
    }
}

#[test]
fn proxies_of_the_environment_are_used() {
    let scene = Scene::new();
    scene.archive.write("x", b"x");
    let child = |url: &str, proxy: &str, no_proxy: &str| {
        let test = std::env::current_exe().unwrap();
        let run = Run::new(test).args(["--exact", "child_behind_a_proxy", "--nocapture"]).env("ARCHIVE_TEST_URL", url);
        let clean = run.env("HTTP_PROXY", "").env("ALL_PROXY", "").env("all_proxy", "").env("NO_PROXY", "");
        clean.env("http_proxy", proxy).env("no_proxy", no_proxy).output().unwrap()
    };
    // The name resolves nowhere: only the proxy can know it.
    let output = child("http://mirror.example/x", &scene.server.url, "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let with_login = scene.server.url.replace("//", "//user:pass%40@");
    assert!(child("http://mirror.example/x", &with_login, "").status.success());
    let asked = scene.server.asked();
    assert!(asked.iter().all(|asked| asked.through_proxy && asked.path == "/x"));
    let logins: Vec<Option<&str>> = asked.iter().map(|asked| asked.login.as_deref()).collect();
    assert_eq!(logins, [None, Some("Basic dXNlcjpwYXNzQA==")]);
    let direct = format!("{}/x", scene.server.url);
    assert!(child(&direct, "http://127.0.0.1:9", "127.0.0.1").status.success());
    assert!(scene.server.asked().iter().all(|asked| !asked.through_proxy));
    assert!(!child(&direct, "http://127.0.0.1:9", "").status.success());
    let output = child(&direct, "http://user:secret@:what:", "");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("(from the environment or apt's settings) is not a URL such as http://proxy.example:3128"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}
