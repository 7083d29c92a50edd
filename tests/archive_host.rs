//! The host's own mirror, read for real: trixie's indices and one package. Skips loudly where there is no mirror.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "all of this is tests"
)]

use imgbuild::base::progress::Silent;
use imgbuild::package::Pin;
use imgbuild::package::archive::{Client, ClientOptions, HostMirrors, wall_clock};
use imgbuild::plan::{Blob, Keyring, Location, Repository};
use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

/// The keyring that the recipe pins.
const KEYRING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes/keyrings/debian-archive-trixie.asc");

#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

fn reachable(url: &str) -> bool {
    if std::env::var_os("http_proxy").is_some() || !url.starts_with("http") {
        return true;
    }
    let Some((scheme, rest)) = url.split_once("://") else { return true };
    let host = rest.split('/').next().unwrap_or(rest);
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{}", if scheme == "https" { 443 } else { 80 })
    };
    let Ok(addresses) = address.to_socket_addrs() else { return false };
    addresses.into_iter().any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(3)).is_ok())
}

fn repository(name: &str, suites: &[&str], keyring: &[u8]) -> Repository {
    Repository {
        name: name.to_owned(),
        location: Location::Host(name.to_owned()),
        suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
        components: vec!["main".to_owned()],
        flat: false,
        keyring: Keyring { name: "debian".to_owned(), content: Blob::new(keyring.to_vec()) },
        priority: 500,
        check_valid_until: true,
        snapshot: None,
    }
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn trixie_is_read_from_the_hosts_mirror() {
    let host = HostMirrors::from_apt(Path::new("/"));
    let Some(url) = host.get("debian") else { return skip("this host's apt has no Debian mirror") };
    if !reachable(&url) {
        return skip("the host's mirror cannot be reached");
    }
    let keyring = std::fs::read(KEYRING).unwrap();
    let repositories = [
        repository("debian", &["trixie", "trixie-updates"], &keyring),
        repository("debian-security", &["trixie-security"], &keyring),
    ];
    let cache = tempfile::tempdir().unwrap();
    let options = ClientOptions {
        cache: cache.path().to_owned(),
        offline: false,
        jobs: 4,
        mirrors: BTreeMap::new(),
        host,
        now: wall_clock(),
        verify: false,
    };
    let client = Client::new(options.clone());
    let begun = Instant::now();
    let indices = client.indices(&repositories, "amd64", &Silent).unwrap();
    eprintln!("indices, cold: {:?}", begun.elapsed());
    assert_eq!(indices.len(), 3);
    let main = &indices[0];
    assert_eq!((main.suite.as_str(), main.release.codename.as_deref()), ("trixie", Some("trixie")));
    let text = String::from_utf8(main.text().unwrap()).unwrap();
    assert!(text.len() > 10_000_000, "{}", text.len());
    let begun = Instant::now();
    assert_eq!(client.indices(&repositories, "amd64", &Silent).unwrap(), indices);
    eprintln!("indices, contents cached: {:?}", begun.elapsed());

    let pins: Vec<Pin> = text
        .split("\n\n")
        .filter(|stanza| matches!(field(stanza, "Package"), Some("hostname" | "base-files" | "libc6" | "systemd")))
        .map(|stanza| Pin {
            name: field(stanza, "Package").unwrap().to_owned(),
            version: field(stanza, "Version").unwrap().to_owned(),
            architecture: field(stanza, "Architecture").unwrap().to_owned(),
            repository: "debian".to_owned(),
            path: field(stanza, "Filename").unwrap().to_owned(),
            size: field(stanza, "Size").unwrap().parse().unwrap(),
            sha256: imgbuild::base::digest::Digest::parse(field(stanza, "SHA256").unwrap()).unwrap(),
        })
        .collect();
    assert_eq!(pins.len(), 4);
    let begun = Instant::now();
    let files = client.fetch(&pins, &repositories, &Silent).unwrap();
    eprintln!("4 packages: {:?}", begun.elapsed());
    for file in &files {
        assert_eq!(imgbuild::base::digest::Digest::of(&std::fs::read(&file.file).unwrap()), file.pin.sha256);
    }
    let offline = Client::new(ClientOptions { offline: true, ..options });
    assert_eq!(offline.indices(&repositories, "amd64", &Silent).unwrap(), indices);
    assert_eq!(offline.fetch(&pins, &repositories, &Silent).unwrap(), files);
}

#[test]
fn proxy_of_apt_is_used_for_its_mirrors_alone() {
    use imgbuild::package::download::{Downloader, Patience, Request};
    use std::io::{Read as _, Write as _};
    if ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].iter().any(|name| std::env::var_os(name).is_some()) {
        return skip("the environment names a proxy, which counts more than apt's");
    }
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let conf = format!("Acquire::http::Proxy \"http://name:word@{}/\";", proxy.local_addr().unwrap());
    let list =
        "deb http://mirror.invalid/debian trixie main\ndeb https://safe.invalid/debian-security trixie-security main\n";
    let root = tempfile::tempdir().unwrap();
    let apt = root.path().join("etc/apt");
    std::fs::create_dir_all(apt.join("apt.conf.d")).unwrap();
    std::fs::write(apt.join("sources.list"), list).unwrap();
    std::fs::write(apt.join("apt.conf.d/01proxy"), conf).unwrap();
    let host = HostMirrors::from_apt(root.path());
    assert_eq!(host.proxies().keys().collect::<Vec<_>>(), ["http://mirror.invalid"]);
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    let downloader = Downloader::new(1, Patience { attempts: 1, ..Patience::default() }).proxies(host.proxies());
    let read = |url| downloader.read(&Request { url, size: None, limit: 100, sha256: None, fresh: false });
    // Another server is asked directly, and there is none.
    assert!(read("http://other.invalid/x").is_err());
    assert_eq!(read("http://mirror.invalid/debian/x").unwrap(), b"hello");
    let head = heard.join().unwrap();
    assert!(head.starts_with("GET http://mirror.invalid/debian/x HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic bmFtZTp3b3Jk\r\n"), "{head}");
}
