//! URLs: joining, showing without passwords, telling local files from servers.

use std::path::PathBuf;

/// A path below a base URL. The path's bytes are encoded where a server could read them otherwise (`+`, `%`, blanks);
/// the base stays as it was written.
#[must_use]
pub fn join(base: &str, path: &str) -> String {
    let base = base.trim_end_matches('/');
    let path = path.trim_start_matches('/');
    if local(base).is_some() {
        return format!("{base}/{path}");
    }
    let mut url = format!("{base}/");
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'=' | b',' => {
                url.push(char::from(byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

/// The URL for messages: without user name and password.
#[must_use]
pub fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Scheme and server of a URL, without login and in lower case: `http://mirror.example:8080`.
#[must_use]
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let server = authority.rsplit('@').next().filter(|server| !server.is_empty())?;
    Some(format!("{scheme}://{server}").to_ascii_lowercase())
}

/// The path that a URL of scheme `file`, or a plain path, stands for.
pub(super) fn local(url: &str) -> Option<PathBuf> {
    if let Some(rest) = url.strip_prefix("file:") {
        // `file:/x`, `file:///x` and `file://localhost/x` are the same.
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        return Some(PathBuf::from(rest.strip_prefix("localhost").unwrap_or(rest)));
    }
    (!url.contains("://")).then(|| PathBuf::from(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_has_one_proxy() {
        for url in ["http://m.example/debian", "HTTP://user:word@M.example", "http://m.example/a?b#c"] {
            assert_eq!(origin(url).as_deref(), Some("http://m.example"), "{url}");
        }
        assert_eq!(origin("https://m.example:8443/x").as_deref(), Some("https://m.example:8443"));
        assert_eq!((origin("file:/x"), origin("/x"), origin("http:///x")), (None, None, None));
    }

    #[test]
    fn paths_are_joined_and_encoded() {
        let cases = [
            ("http://mirror.example/debian/", "pool/a_1~b.deb", "http://mirror.example/debian/pool/a_1~b.deb"),
            (
                "https://m.example/core:/v1/deb",
                "/amd64/a_1+b_amd64.deb",
                "https://m.example/core:/v1/deb/amd64/a_1%2Bb_amd64.deb",
            ),
            ("http://m.example", "a_1%3a2 x.deb", "http://m.example/a_1%253a2%20x.deb"),
            ("file:///srv/debian", "a_1+b.deb", "file:///srv/debian/a_1+b.deb"),
        ];
        for (base, path, url) in cases {
            assert_eq!(join(base, path), url);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("https://user:p@ss@m.example/x@y"), "https://m.example/x@y");
        assert_eq!(shown("https://m.example/x@y"), "https://m.example/x@y");
        assert_eq!(shown("/srv/x"), "/srv/x");
    }

    #[test]
    fn local_files_are_told_from_servers() {
        for url in ["/srv/x", "file:/srv/x", "file:///srv/x", "file://localhost/srv/x"] {
            assert_eq!(local(url), Some(PathBuf::from("/srv/x")), "{url}");
        }
        assert_eq!(local("http://m.example/srv/x"), None);
    }
}
