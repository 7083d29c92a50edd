//! What a program says against a document, as a problem with its place.

use crate::input::{BUILTIN_MARK, Problem};
use serde::{Deserialize, Serialize};

/// The longest text that is repeated of what a program said, in lines: the first ones say what is wrong.
const LINES: usize = 20;
/// How many other machines are named.
const NAMES: usize = 5;
/// The longest line of a document that is shown, in characters.
const EXCERPT: usize = 160;

/// What a program had to say against a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Finding {
    /// The machine whose document it is.
    pub(super) node: String,
    /// Which judge.
    pub(super) judge: usize,
    /// The program's words.
    pub(super) said: String,
}

/// A document that was refused, and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Refused<'a> {
    pub(super) node: &'a str,
    /// Machines of whose documents the same is said.
    pub(super) others: &'a [&'a str],
    pub(super) document: &'a str,
    pub(super) text: &'a str,
    pub(super) program: &'a str,
    pub(super) said: &'a str,
    /// How the file of its template is named.
    pub(super) template: &'a str,
}

/// The problem of a document, with the line if the program names one.
pub(super) fn problem(refused: Refused<'_>) -> Problem {
    let Refused { node, others, document, text, program, said, template } = refused;
    let name = document.rsplit('/').next().unwrap_or(document);
    let line = line(said, name).filter(|line| *line > 0);
    let shown = line.and_then(|line| text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?));
    let column = |text: &str| text.chars().take_while(|c| c.is_whitespace()).count();
    let remedy = if template.starts_with(BUILTIN_MARK) {
        format!(
            "the built-in template {name} made this of what the cluster's document says: change that, or write \
             seeds/templates/{name}, which replaces it",
            name = template.rsplit('/').next().unwrap_or(template)
        )
    } else {
        format!("mend {template}, or remove it to use the built-in template of the same name")
    };
    Problem {
        file: if document.starts_with('/') { format!("{node}:{document}") } else { format!("{node}:/{document}") },
        line,
        column: line.map(|_| shown.map_or(1, |text| small(column(text) + 1))),
        message: format!("{program} refuses it{}:{}", too(others), words(said)),
        excerpt: shown
            .map(|text| text.chars().take(EXCERPT).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()),
        width: shown.map(|text| small(text.trim().chars().count().max(1))),
        suggestion: None,
        remedy: Some(remedy),
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Where else.
fn too(others: &[&str]) -> String {
    match others.len() {
        0 => String::new(),
        count if count <= NAMES => format!(" (on {} too)", others.join(", ")),
        count => format!(" (on {count} other machines too)"),
    }
}

/// What was said: on one line if it is one, else below each other.
fn words(said: &str) -> String {
    let plain = |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let lines: Vec<String> = said.lines().map(|line| plain(line.trim_end())).filter(|line| !line.is_empty()).collect();
    match &lines[..] {
        [] => " it gives no reason".to_owned(),
        [one] => format!(" {}", one.trim_start()),
        many => many.iter().take(LINES).map(|line| format!("\n    {line}")).collect(),
    }
}

/// The line that is named: behind the document's name (`haproxy.cfg:12`, `x.conf: line 12`, `x.conf line 12`), else behind
/// the word (`at line 12`), else as cloud-init writes it (`format-l12.c3`).
fn line(said: &str, name: &str) -> Option<u32> {
    let lower = said.to_lowercase();
    let name = name.to_lowercase();
    let behind = |mark: &str, gap: &str| {
        lower.match_indices(mark).find_map(|(at, _)| {
            let rest = lower[at + mark.len()..].trim_start_matches(|c| gap.contains(c));
            number(rest.strip_prefix("line").map_or(rest, |rest| rest.trim_start()))
        })
    };
    behind(&name, "]\"': (,").or_else(|| behind("line ", "")).or_else(|| behind("format-l", ""))
}

fn number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_as_each_program_names_them() {
        for (said, name, expected) in [
            ("[ALERT] (33) : config : parsing [/etc/haproxy/haproxy.cfg:12] : unknown", "haproxy.cfg", Some(12)),
            ("(/etc/keepalived/keepalived.conf: Line 20) Unknown keyword", "keepalived.conf", Some(20)),
            (
                "/etc/ssh/sshd_config.d/10-imgbuild.conf line 6: unsupported option \"nay\".",
                "10-imgbuild.conf",
                Some(6),
            ),
            ("/etc/ssh/sshd_config.d/10-imgbuild.conf: line 6: Bad option", "10-imgbuild.conf", Some(6)),
            ("Fatal error : Invalid directive at line 2 in file /etc/chrony/chrony.conf", "chrony.conf", Some(2)),
            ("dnsmasq: bad option at line 7 of /etc/dnsmasq.d/imgbuild.conf", "imgbuild.conf", Some(7)),
            ("Error: format-l15.c13: File /run/x/user-data is not valid YAML", "user-data", Some(15)),
            ("/usr/local/sbin/imgbuild-check-haproxy: line 3: syntax error", "imgbuild-check-haproxy", Some(3)),
            ("totem.transport has an unknown value", "corosync.conf", None),
            ("line x of 99999999999999", "a.conf", None),
            ("", "", None),
        ] {
            assert_eq!(line(said, name), expected, "{said}");
        }
    }

    #[test]
    fn problems_name_machine_place_words_and_remedy() {
        let of = |template: &str, said: &str| {
            let text = "global\n    mode tpc\n";
            let (document, program) = ("/etc/haproxy/haproxy.cfg", "haproxy");
            let others = if said.is_empty() { &["balancer2", "balancer3"][..] } else { &[] };
            problem(Refused { node: "balancer1", others, document, text, program, said, template }).to_string()
        };
        assert_eq!(
            of("seeds/templates/haproxy.cfg.j2", "parsing [/etc/haproxy/haproxy.cfg:2] : unknown mode 'tpc'\n"),
            "balancer1:/etc/haproxy/haproxy.cfg:2:5: haproxy refuses it: parsing [/etc/haproxy/haproxy.cfg:2] : \
             unknown mode 'tpc'\n   |\n 2 |     mode tpc\n   |     ^^^^^^^^\n\
             hint: mend seeds/templates/haproxy.cfg.j2, or remove it to use the built-in template of the same name"
        );
        let said = of("builtin:seeds/templates/haproxy.cfg.j2", "one\n\u{1b}two\n");
        assert!(
            said.starts_with("balancer1:/etc/haproxy/haproxy.cfg: haproxy refuses it:\n    one\n     two\n"),
            "{said}"
        );
        assert!(said.contains("write seeds/templates/haproxy.cfg.j2, which replaces it"), "{said}");
        assert!(of("x", "").contains("haproxy refuses it (on balancer2, balancer3 too): it gives no reason"));
        // A line that the document does not have.
        assert!(of("x", "haproxy.cfg:4294967295").contains("haproxy.cfg:4294967295:1: "));
    }
}
