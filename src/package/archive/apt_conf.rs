//! The proxies that the host's apt is set up with: the grammar of apt.conf(5), as far as values with names go.

use crate::base::files;
use crate::base::limits::{HOST_LIST_BYTES, HOST_LISTS};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Scopes within each other, at most.
const DEPTH: usize = 32;

/// Values by their whole name in lower case, such as `acquire::http::proxy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AptConf {
    values: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

impl AptConf {
    /// Reads `etc/apt/apt.conf.d/*` and then `etc/apt/apt.conf` below `root`: later values count, as for apt. What
    /// cannot be read is left out.
    pub(super) fn read(root: &Path) -> Self {
        let apt = root.join("etc/apt");
        let mut files: Vec<PathBuf> = std::fs::read_dir(apt.join("apt.conf.d"))
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).take(HOST_LISTS).collect())
            .unwrap_or_default();
        files.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(counts));
        files.sort();
        files.push(apt.join("apt.conf"));
        let mut conf = Self::default();
        for file in files {
            if let Ok(bytes) = files::read(&file, HOST_LIST_BYTES) {
                conf.add(&String::from_utf8_lossy(&bytes));
            }
        }
        conf
    }

    fn add(&mut self, text: &str) {
        let mut scopes: Vec<String> = Vec::new();
        let mut words: Vec<String> = Vec::new();
        for token in tokens(text) {
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => {
                    if scopes.len() == DEPTH {
                        return;
                    }
                    scopes.push(words.first().cloned().unwrap_or_default());
                    words.clear();
                }
                Token::Close => {
                    scopes.pop();
                    words.clear();
                }
                Token::End => {
                    self.set(&scopes, &words);
                    words.clear();
                }
            }
        }
    }

    fn set(&mut self, scopes: &[String], words: &[String]) {
        let name = |last: &str| {
            let parts = scopes.iter().map(String::as_str).chain([last]);
            parts.collect::<Vec<_>>().join("::").to_ascii_lowercase()
        };
        match words {
            [clear, cleared] if clear == "#clear" => {
                let cleared = name(cleared);
                let below = format!("{cleared}::");
                self.values.retain(|name, _| *name != cleared && !name.starts_with(&below));
            }
            [last, value] => {
                self.values.insert(name(last), value.clone());
            }
            // A list's items and `#include`: nothing that has a name here.
            _ => {}
        }
    }

    /// The proxy for a URL; nothing where apt goes directly.
    pub(super) fn proxy(&self, url: &str) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.split('/').next()?;
        let host = authority.rsplit('@').next()?;
        let host = host.split_once(':').map_or(host, |(host, _)| host);
        let value = |name: String| self.values.get(&name.to_ascii_lowercase());
        let own = value(format!("acquire::{scheme}::proxy::{host}"));
        let found = own.or_else(|| value(format!("acquire::{scheme}::proxy")))?;
        (!found.is_empty() && found != "DIRECT" && found != "false").then(|| found.clone())
    }
}

/// Which names of files in a folder of parts apt reads.
fn counts(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    plain && name.rsplit_once('.').is_none_or(|(_, extension)| extension == "conf")
}

fn tokens(text: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { return found };
        let directive = rest.starts_with("#clear") || rest.starts_with("#include");
        if rest.starts_with("//") || first == '#' && !directive {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let Some((word, after)) = quoted.split_once('"') else { return found };
            found.push(Token::Word(word.to_owned()));
            rest = after;
        } else if let Some(token) = match first {
            '{' => Some(Token::Open),
            '}' => Some(Token::Close),
            ';' => Some(Token::End),
            _ => None,
        } {
            found.push(token);
            rest = &rest[1..];
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"'));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            let (word, after) = match word.find("//").filter(|at| *at > 0) {
                Some(at) => rest.split_at(at),
                None => (word, after),
            };
            found.push(Token::Word(word.to_owned()));
            rest = after;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> AptConf {
        let mut conf = AptConf::default();
        conf.add(text);
        conf
    }

    fn proxy(text: &str, url: &str) -> Option<String> {
        conf(text).proxy(url)
    }

    #[test]
    fn proxies_are_found_in_every_notation() {
        let url = "http://mirror.example:8080/debian";
        for text in [
            "Acquire::http::Proxy \"http://proxy.example:3142\";",
            "acquire::HTTP::proxy \"http://proxy.example:3142\";",
            "Acquire { http { Proxy \"http://proxy.example:3142\"; }; };",
            "Acquire { Retries \"3\"; http::Proxy \"http://proxy.example:3142\"; }",
            "Acquire::http {\n  // no\n  # no\n  /* Proxy \"http://no.example\"; */\n  Proxy \"http://proxy.example:3142\";\n};",
            "Acquire::http::Proxy \"http://no.example\";\nAcquire::http::Proxy \"http://proxy.example:3142\";",
            "Acquire::http::Proxy::mirror.example \"http://proxy.example:3142\"; Acquire::http::Proxy \"DIRECT\";",
            "A { \"item\"; \"other\"; }; #include \"/x\"; Acquire::http::Proxy \"http://proxy.example:3142\";",
        ] {
            assert_eq!(proxy(text, url).as_deref(), Some("http://proxy.example:3142"), "{text}");
        }
    }

    #[test]
    fn what_is_no_proxy_for_a_mirror_is_none() {
        let url = "http://mirror.example/debian";
        for text in [
            "",
            "Acquire::https::Proxy \"http://proxy.example\";",
            "Acquire::http::Proxy \"DIRECT\";",
            "Acquire::http::Proxy \"false\";",
            "Acquire::http::Proxy \"\";",
            "Acquire::http::Proxy \"http://proxy.example\"; Acquire::http::Proxy::mirror.example \"DIRECT\";",
            "Acquire::http::Proxy::other.example \"http://proxy.example\";",
            "Acquire::http::Proxy \"http://proxy.example\"; #clear Acquire::http;",
            "// Acquire::http::Proxy \"http://proxy.example\";",
            "Acquire::http::Proxy \"http://proxy.example",
            "Acquire::http::Proxy http://unquoted.example;",
        ] {
            assert_eq!(proxy(text, url).filter(|proxy| proxy != "http:"), None, "{text}");
        }
        assert_eq!(proxy("Acquire::http::Proxy \"x\";", "file:/srv/mirror"), None);
    }

    #[test]
    fn nonsense_ends() {
        for text in ["}}}}", "{{{{{", "\"", "/*", ";;;", "#clear", "a{b{c", "\u{1f600}{\u{1f600};}"] {
            assert_eq!(conf(text), AptConf::default(), "{text}");
        }
        assert_eq!(conf(&"a{".repeat(100_000)), AptConf::default());
    }

    #[test]
    fn files_are_read_in_apts_order() {
        let root = tempfile::tempdir().unwrap();
        let apt = root.path().join("etc/apt");
        std::fs::create_dir_all(apt.join("apt.conf.d")).unwrap();
        let set = |name: &str, value: &str| {
            std::fs::write(apt.join(name), format!("Acquire::http::Proxy \"{value}\";")).unwrap();
            AptConf::read(root.path()).proxy("http://mirror.example/").unwrap()
        };
        assert_eq!(set("apt.conf.d/20proxy", "second"), "second");
        assert_eq!(set("apt.conf.d/10proxy.conf", "first"), "second");
        assert_eq!(set("apt.conf.d/30proxy.dpkg-old", "backup"), "second");
        assert_eq!(set("apt.conf.d/30proxy~", "editor"), "second");
        assert_eq!(set("apt.conf", "last"), "last");
    }
}
