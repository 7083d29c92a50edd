//! Sources of apt in the shapes that are found on real machines.

use super::*;

fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostMirrors) {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join("etc/apt").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mirrors = HostMirrors::from_apt(root.path());
    (root, mirrors)
}

#[test]
fn debian_stanzas_give_main_and_security() {
    let text = "# comment\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
                Components: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                Types: deb deb-src\n# http://old.example/x\nURIs: http://security.mirror.example/debian-security/\n\
                Suites: bookworm-security\nComponents: main\n";
    let (_root, host) = host(&[("sources.list.d/debian.sources", text)]);
    assert_eq!(host.get("debian").as_deref(), Some("http://mirror.example/debian"));
    assert_eq!(host.get("debian-security").as_deref(), Some("http://security.mirror.example/debian-security"));
    assert_eq!(host.get("ubuntu"), None);
}

#[test]
fn lines_with_options_and_comments_are_read() {
    let text = "# deb http://no.example/debian trixie main\ndeb-src http://no.example/debian trixie main\n\
                deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian/ trixie main # c\n\
                deb http://other.example/security trixie-security main\n";
    let (_root, host) = host(&[("sources.list", text)]);
    assert_eq!(host.get("debian").as_deref(), Some("http://mirror.example/debian"));
    assert_eq!(host.get("debian-security").as_deref(), Some("http://other.example/security"));
}

#[test]
fn security_follows_from_main_when_it_lies_beside_it() {
    let (_root, beside) = host(&[("sources.list", "deb https://mirror.example/pub/debian sid main\n")]);
    assert_eq!(beside.get("debian-security").as_deref(), Some("https://mirror.example/pub/debian-security"));
    let (_root, elsewhere) = host(&[("sources.list", "deb https://mirror.example/deb-all sid main\n")]);
    let error = elsewhere.resolve("debian-security").unwrap_err();
    assert_eq!(error.to_string(), "this host's apt has no mirror of `debian-security`: it knows debian");
    assert_eq!(
        crate::base::hint::hints(&error),
        ["name one with `--repository debian-security=URL`, IMGBUILD_REPOSITORY_DEBIAN_SECURITY or in the recipe"]
    );
}

#[test]
fn ubuntu_mirrors_are_told_from_debian_ones() {
    let text = "Types: deb\nURIs: http://mirror.example/ubuntu/\nSuites: noble noble-updates noble-backports\n\
                Components: main universe\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n\n\
                Types: deb\nURIs: http://security.example/ubuntu/\nSuites: noble-security\nComponents: main\n";
    let (_root, host) = host(&[("sources.list.d/ubuntu.sources", text)]);
    assert_eq!(host.get("ubuntu").as_deref(), Some("http://mirror.example/ubuntu"));
    assert_eq!(host.get("ubuntu-security").as_deref(), Some("http://security.example/ubuntu"));
    assert_eq!(host.get("debian"), None);
}

#[test]
fn foreign_disabled_and_unreachable_sources_are_left_out() {
    let cases = [
        "deb https://third.example/linux/debian bookworm stable\n",
        "deb [signed-by=/etc/apt/keyrings/third.gpg] https://third.example/debian bookworm main\n",
        "deb https://third.example/apt cloud-tools-bookworm main\n",
        "deb https://third.example/apt bookworm-pgdg main\n",
        "deb cdrom:[Debian]/ bookworm main\n",
        "debx http://third.example/debian bookworm main\n",
    ];
    for text in cases {
        let (_root, host) = host(&[("sources.list", text)]);
        assert_eq!(host, HostMirrors::default(), "{text}");
    }
    let off = "Enabled: no\nTypes: deb\nURIs: http://mirror.example/debian\nSuites: sid\nComponents: main\n";
    let (_root, host) =
        host(&[("sources.list.d/x.sources", off), ("sources.list.d/y.save", "deb http://m/debian sid main")]);
    assert_eq!(host, HostMirrors::default());
}

#[test]
fn mirror_lists_are_followed() {
    let text = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n";
    let (_root, host) = host(&[
        ("sources.list.d/debian.sources", text),
        ("mirrors/debian.list", "# first\n\nhttps://mirror.example/debian\tpriority:1\nhttps://b.example/debian\n"),
    ]);
    assert_eq!(host.get("debian").as_deref(), Some("https://mirror.example/debian"));
}

#[test]
fn host_without_apt_knows_nothing() {
    let root = tempfile::tempdir().unwrap();
    let error = HostMirrors::from_apt(root.path()).resolve("debian").unwrap_err();
    assert_eq!(
        error.to_string(),
        "this host's apt has no mirror of `debian`: it is set up with none that is recognised"
    );
}
