//! Takes values out of a tree and collects all that is wrong with them, so that one reading tells everything.

use super::problem::{Fault, Place};
use super::suggest::nearest;
use super::yaml::{Key, Node, Value};
use crate::base::size::Bytes;
use std::cell::RefCell;

/// A checked value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// Where it stands.
    pub place: Place,
    /// The value.
    pub value: T,
}

impl<T> Located<T> {
    pub(crate) fn new(place: Place, value: T) -> Self {
        Self { place, value }
    }
}

const A_LIST: &str = "a list";
const A_MAPPING: &str = "a mapping";

/// Collects faults while a document is read.
#[derive(Debug, Default)]
pub(crate) struct Report {
    faults: RefCell<Vec<Fault>>,
}

impl Report {
    pub(crate) fn add(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub(crate) fn extend(&self, faults: Vec<Fault>) {
        self.faults.borrow_mut().extend(faults);
    }

    pub(crate) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }

    fn wanted(&self, node: &Node, wanted: &str) {
        let message = format!("here stands {}, where {wanted} is wanted", node.value.noun());
        let hint = match wanted {
            A_LIST => "write `[one, two]`, or one `- item` a line",
            A_MAPPING => "write `key: value`, one a line",
            _ => "write a single value, in quotes if it has blanks",
        };
        self.add(Fault::new(node.place, message).hint(hint));
    }

    /// A text, quoted or not.
    pub(crate) fn text(&self, node: &Node) -> Option<Located<String>> {
        match &node.value {
            Value::Text { text, .. } => Some(Located::new(node.place, text.clone())),
            _ => {
                self.wanted(node, "a text");
                None
            }
        }
    }

    /// A text that a check accepts; the check says what is wrong and what to do.
    pub(crate) fn checked<T>(&self, node: &Node, check: impl FnOnce(&str) -> Result<T, Refusal>) -> Option<Located<T>> {
        let text = self.text(node)?;
        match check(&text.value) {
            Ok(value) => Some(Located::new(node.place, value)),
            Err(refusal) => {
                self.add(refusal.at(node.place));
                None
            }
        }
    }

    /// `true` or `false`, unquoted.
    pub(crate) fn boolean(&self, node: &Node) -> Option<bool> {
        match &node.value {
            Value::Text { text, plain: true } if text == "true" => Some(true),
            Value::Text { text, plain: true } if text == "false" => Some(false),
            Value::Text { text, .. } => {
                let meant = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "true" | "y" => Some("true"),
                    "no" | "off" | "false" | "n" => Some("false"),
                    _ => None,
                };
                let message = format!("`{text}` is neither `true` nor `false`");
                let fault = Fault::new(node.place, message).suggest(meant).hint("write `true` or `false`");
                self.add(if meant == Some(text.as_str()) {
                    Fault::new(node.place, format!("`{text}` is quoted, which makes it a text"))
                        .hint("write it without quotes")
                } else {
                    fault
                });
                None
            }
            _ => {
                self.wanted(node, "`true` or `false`");
                None
            }
        }
    }

    /// A whole number within bounds, unquoted decimal digits.
    pub(crate) fn integer(&self, node: &Node, lowest: i64, highest: i64) -> Option<Located<i64>> {
        let Value::Text { text, plain } = &node.value else {
            self.wanted(node, "a whole number");
            return None;
        };
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading = digits.len() > 1 && digits.starts_with('0');
        let number = (!digits.is_empty() && !leading && digits.bytes().all(|c| c.is_ascii_digit()))
            .then(|| text.parse::<i64>().ok())
            .flatten();
        match number {
            Some(_) if !plain => {
                let message = format!("`{text}` is quoted, which makes it a text");
                self.add(Fault::new(node.place, message).hint("write the number without quotes"));
                None
            }
            Some(number) if number < lowest || number > highest => {
                let message = format!("{number} is not between {lowest} and {highest}");
                self.add(Fault::new(node.place, message).hint("choose a number within these bounds"));
                None
            }
            Some(number) => Some(Located::new(node.place, number)),
            None => {
                let fault = Fault::new(node.place, format!("`{text}` is not a whole number"));
                self.add(fault.hint("write it in decimal digits, without leading zeros, point or unit"));
                None
            }
        }
    }

    /// A size with its unit.
    pub(crate) fn size(&self, node: &Node) -> Option<Located<Bytes>> {
        self.checked(node, |text| {
            let bytes = Bytes::parse(text).map_err(|_| {
                let refusal = Refusal::new(format!("`{text}` is not a size")).suggest(size_meant(text));
                refusal.hint("write a whole number with a unit, such as `512 MiB` or `20 GiB`")
            })?;
            if text.trim().bytes().all(|c| c.is_ascii_digit()) {
                let message = format!("the size `{text}` has no unit");
                return Err(Refusal::new(message).hint("write a unit after the number: B, KiB, MiB, GiB or TiB"));
            }
            Ok(bytes)
        })
    }

    /// Permission bits: a quoted octal number of three or four digits.
    pub(crate) fn mode(&self, node: &Node) -> Option<u32> {
        let Value::Text { text, plain } = &node.value else {
            self.wanted(node, "an octal mode such as \"0644\"");
            return None;
        };
        let octal = matches!(text.len(), 3 | 4) && text.bytes().all(|c| matches!(c, b'0'..=b'7'));
        if !octal {
            let message = format!("`{text}` is not a file mode");
            let hint = "write three or four octal digits in quotes, such as \"0644\"";
            self.add(Fault::new(node.place, message).hint(hint));
            return None;
        }
        if *plain {
            let message = format!("the mode {text} is not quoted: YAML readers differ on what number that is");
            self.add(Fault::new(node.place, message).hint(format!("write \"{text:0>4}\"")));
            return None;
        }
        u32::from_str_radix(text, 8).ok()
    }

    /// The items of a list.
    pub(crate) fn list<'a>(&self, node: &'a Node) -> &'a [Node] {
        match &node.value {
            Value::List(items) => items,
            Value::Text { text, .. } => {
                let fault = Fault::new(node.place, "here stands a text, where a list is wanted");
                self.add(fault.hint(format!("write [{text}]")));
                &[]
            }
            _ => {
                self.wanted(node, A_LIST);
                &[]
            }
        }
    }

    /// The entries of a mapping.
    pub(crate) fn map<'a>(&self, node: &'a Node) -> &'a [(Key, Node)] {
        match &node.value {
            Value::Map(entries) => entries,
            _ => {
                self.wanted(node, A_MAPPING);
                &[]
            }
        }
    }

    /// A list of checked texts, none twice.
    pub(crate) fn texts<T>(
        &self,
        node: &Node,
        noun: &str,
        check: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Vec<Located<T>> {
        let mut seen: Vec<(&str, u32)> = Vec::new();
        let mut found = Vec::new();
        for item in self.list(node) {
            if let Value::Text { text, .. } = &item.value {
                if let Some((_, line)) = seen.iter().find(|(earlier, _)| earlier == text) {
                    let message = format!("the {noun} `{text}` stands already in line {line}");
                    self.add(Fault::new(item.place, message).hint("name it once"));
                    continue;
                }
                seen.push((text, item.place.line));
            }
            found.extend(self.checked(item, &check));
        }
        found
    }
}

/// What was probably meant by a size that is none.
fn size_meant(text: &str) -> Option<String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    if let Some(fraction) = unit.strip_prefix('.') {
        return fraction_meant(number, fraction);
    }
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => "KiB",
        "m" | "mb" | "mib" => "MiB",
        "g" | "gb" | "gib" => "GiB",
        "t" | "tb" | "tib" => "TiB",
        _ => return None,
    };
    (!number.is_empty() && number.len() < 12).then(|| format!("{number} {unit}"))
}

/// `2.5 GiB` is `2560 MiB`.
fn fraction_meant(number: &str, rest: &str) -> Option<String> {
    let split = rest.find(|c: char| !c.is_ascii_digit())?;
    let (digits, unit) = rest.split_at(split);
    let smaller = match unit.trim().to_ascii_lowercase().as_str() {
        "m" | "mb" | "mib" => "KiB",
        "g" | "gb" | "gib" => "MiB",
        "t" | "tb" | "tib" => "GiB",
        _ => return None,
    };
    if digits.is_empty() || digits.len() > 3 || number.len() > 6 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
    let whole = number.parse::<u64>().ok()? * 1024;
    Some(format!("{} {smaller}", whole + digits.parse::<u64>().ok()? * 1024 / scale))
}

/// Why a check refused a text; the place is known to whoever asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    message: String,
    suggestion: Option<String>,
    remedy: Option<String>,
    hidden: bool,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), suggestion: None, remedy: None, hidden: false }
    }

    /// The text is a secret: its line is not shown.
    pub(crate) fn hide(mut self) -> Self {
        self.hidden = true;
        self
    }

    pub(crate) fn hint(mut self, text: impl Into<String>) -> Self {
        self.remedy = Some(text.into());
        self
    }

    pub(crate) fn suggest(mut self, word: Option<String>) -> Self {
        self.suggestion = word;
        self
    }

    pub(crate) fn at(self, place: Place) -> Fault {
        Fault {
            suggestion: self.suggestion,
            remedy: self.remedy,
            hidden: self.hidden,
            ..Fault::new(place, self.message)
        }
    }
}

/// One of a few words.
pub(crate) fn one_of<T: Copy>(text: &str, noun: &str, words: &[(&str, T)]) -> Result<T, Refusal> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let meant = nearest(text, words.iter().map(|(word, _)| *word)).map(str::to_owned);
    let refusal = Refusal::new(format!("`{text}` is no {noun}")).suggest(meant);
    Err(refusal.hint(format!("known here: {}", known.join(", "))))
}

/// A mapping with known keys. Ask for all of them, then [`Fields::close`].
pub(crate) struct Fields<'a> {
    report: &'a Report,
    place: Place,
    noun: &'a str,
    entries: &'a [(Key, Node)],
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Opens a mapping; `noun` names it in messages (`a role`, `a volume`).
    pub(crate) fn open(report: &'a Report, node: &'a Node, noun: &'a str) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let message = format!("here stands {}, where {noun} is wanted (a mapping)", node.value.noun());
            report.add(Fault::new(node.place, message).hint("write `key: value`, one a line"));
            return None;
        };
        Some(Self { report, place: node.place, noun, entries, known: Vec::new(), missing: Vec::new() })
    }

    /// The value of a key, if the key is there. An empty value is a fault.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.known.push(key);
        let (written, node) = self.entries.iter().find(|(written, _)| written.text == key)?;
        if node.value == Value::Empty {
            let fault = Fault::new(written.place, format!("`{key}` has no value"));
            self.report.add(fault.hint("give it one, or leave the key out"));
            return None;
        }
        Some(node)
    }

    /// The value of a key that must be there.
    pub(crate) fn require(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.has(key) {
            self.known.push(key);
            self.missing.push(key);
            return None;
        }
        self.get(key)
    }

    /// Whether a key stands there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(written, _)| written.text == key)
    }

    /// Where a key stands.
    pub(crate) fn key_place(&self, key: &str) -> Place {
        self.entries.iter().find(|(written, _)| written.text == key).map_or(self.place, |(written, _)| written.place)
    }

    /// Reports every key that nobody asked for, and those that are missing.
    pub(crate) fn close(mut self) {
        self.known.sort_unstable();
        self.known.dedup();
        if let Some(first) = self.missing.first() {
            let keys: Vec<String> = self.missing.iter().map(|key| format!("`{key}`")).collect();
            let plural = if keys.len() > 1 { "keys" } else { "key" };
            let message = format!("{} needs the {plural} {}", self.noun, keys.join(", "));
            self.report.add(Fault::new(self.place, message).hint(format!("add `{first}: ...`")));
        }
        for (key, _) in self.entries {
            if !self.known.contains(&key.text.as_str()) {
                let message = format!("unknown key `{}` in {}", key.text, self.noun);
                let meant = nearest(&key.text, self.known.iter().copied());
                let fault = Fault::new(key.place, message).suggest(meant);
                let fault = if meant.is_none() {
                    fault.hint(format!("keys of {}: {}", self.noun, self.known.join(", ")))
                } else {
                    fault
                };
                self.report.add(fault);
            }
        }
    }
}
