//! A YAML document as a tree that knows its positions, with texts as they were written.
//!
//! The subset is small on purpose: one document, no anchors, aliases, merge keys or tags, keys are plain words, no
//! key twice. Nothing is reinterpreted: whether `no` is a text or a boolean is decided by who asks for it.

use super::problem::{Fault, Place};
use crate::base::limits::{DOCUMENT_DEPTH, DOCUMENT_NODES};
use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, options};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Empty,
    /// A text as written; `plain` when it stood there without quotes.
    Text { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<(Key, Node)>),
}

/// A mapping's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

impl Value {
    /// For messages: what was found instead.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Text { .. } => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Reads one document. Faults that leave a tree standing (a key twice) are pushed; the others end it.
pub(crate) fn parse(file: u32, text: &str, faults: &mut Vec<Fault>) -> Option<Node> {
    let mut builder = Builder { file, faults, open: Vec::new(), root: None, nodes: 0, documents: 0 };
    let options = options! { emit_unresolved_aliases: true };
    for event in Parser::new_from_str_with_options(text, options) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, &span),
            Err(error) => {
                let mark = error.marker();
                let place = Place { file, line: number(mark.line()).max(1), column: number(mark.col()) + 1, width: 1 };
                let info = error.info();
                let hint = if info.contains("tab") {
                    "indent with blanks"
                } else {
                    "look here and above for an unclosed `[`, `{` or quote, and for odd indentation"
                };
                Err(Fault::new(place, format!("this is not valid YAML: {info}")).hint(hint))
            }
        };
        if let Err(fault) = taken {
            builder.faults.push(fault);
            return None;
        }
    }
    builder.root
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX - 1)
}

/// A collection whose end has not come yet.
struct Open {
    place: Place,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key> },
}

struct Builder<'a> {
    file: u32,
    faults: &'a mut Vec<Fault>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Fault> {
        let place = self.place(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let fault = Fault::new(place, "a second YAML document begins here");
                    return Err(fault.hint("a file holds one document: put the other into a file of its own"));
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                plain_node(place, anchor, tag.is_some())?;
                let plain = style == ScalarStyle::Plain;
                let value = if plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL") {
                    Value::Empty
                } else {
                    Value::Text { text: text.into_owned(), plain }
                };
                self.add(Node { place, value })
            }
            Event::SequenceStart(_, anchor, tag) => {
                plain_node(place, anchor, tag.is_some())?;
                self.begin(place, Items::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                plain_node(place, anchor, tag.is_some())?;
                self.begin(place, Items::Map { entries: Vec::new(), key: None })
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { place, items: Items::List(items) }) => self.add(Node { place, value: Value::List(items) }),
                Some(Open { place, items: Items::Map { entries, .. } }) => {
                    let place = entries.first().map_or(place, |(key, _)| key.place);
                    self.add(Node { place, value: Value::Map(entries) })
                }
                None => Ok(()),
            },
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => Err(no_anchors(place)),
            _ => Ok(()),
        }
    }

    fn place(&self, span: &Span) -> Place {
        let width =
            if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        let (line, column) = (number(span.start.line()).max(1), number(span.start.col()) + 1);
        Place { file: self.file, line, column, width: number(width).max(1) }
    }

    fn begin(&mut self, place: Place, items: Items) -> Result<(), Fault> {
        if self.open.len() >= DOCUMENT_DEPTH {
            let message = format!("lists and mappings are nested deeper than {DOCUMENT_DEPTH} levels");
            return Err(Fault::new(place, message).hint("documents of imgbuild need no more than six"));
        }
        if let Some(Open { items: Items::Map { key: None, .. }, .. }) = self.open.last() {
            return Err(no_key(place, "a mapping's key is a list or a mapping"));
        }
        self.open.push(Open { place, items });
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > DOCUMENT_NODES {
            let message = format!("the document holds more than {DOCUMENT_NODES} values");
            return Err(Fault::new(node.place, message).hint("put long contents into files of the tree/ folder"));
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map { entries, key }) => match key.take() {
                None => {
                    let Value::Text { text, .. } = node.value else {
                        return Err(no_key(node.place, "a mapping's key is empty"));
                    };
                    *key = Some(Key { place: node.place, text });
                }
                Some(key) => match entries.iter().find(|(earlier, _)| earlier.text == key.text) {
                    Some((earlier, _)) => {
                        let message = format!("the key `{}` stands already in line {}", key.text, earlier.place.line);
                        self.faults.push(Fault::new(key.place, message).hint("keep one of the two"));
                    }
                    None => entries.push((key, node)),
                },
            },
        }
        Ok(())
    }
}

fn no_key(place: Place, message: &str) -> Fault {
    Fault::new(place, message)
        .hint("only words can be keys: quote it if it is meant as one, and look for a stray `{` or `[`")
}

fn no_anchors(place: Place) -> Fault {
    Fault::new(place, "anchors (`&name`) and aliases (`*name`) are not used in these documents")
        .hint("write the value out, or quote it if it is meant as a text")
}

fn plain_node(place: Place, anchor: usize, tagged: bool) -> Result<(), Fault> {
    if anchor != 0 {
        return Err(no_anchors(place));
    }
    if tagged {
        let fault = Fault::new(place, "YAML tags (`!name`) are not used in these documents");
        return Err(fault.hint("leave the tag out, or quote the value if it is meant as a text"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> (Option<Node>, Vec<Fault>) {
        let mut faults = Vec::new();
        let node = parse(0, text, &mut faults);
        (node, faults)
    }

    #[test]
    fn values_keep_their_text_and_place() {
        let (node, faults) = read("a: no\nb:\n  - \"0644\"\n  - 0644\n");
        assert!(faults.is_empty());
        let Value::Map(entries) = node.unwrap().value else { panic!("no mapping") };
        assert_eq!(entries[0].1.value, Value::Text { text: "no".to_owned(), plain: true });
        let Value::List(items) = &entries[1].1.value else { panic!("no list") };
        assert_eq!(items[0].value, Value::Text { text: "0644".to_owned(), plain: false });
        assert_eq!(items[1].place, Place { file: 0, line: 4, column: 5, width: 4 });
    }

    #[test]
    fn key_twice_is_reported_and_the_rest_is_kept() {
        let (node, faults) = read("a: 1\nb: 2\na: 3\n");
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].message, "the key `a` stands already in line 1");
        assert_eq!(faults[0].place.line, 3);
        assert!(node.is_some());
    }

    #[test]
    fn constructions_outside_the_subset_are_refused() {
        let cases = [
            ("a: &x 1\nb: *x\n", "anchors"),
            ("a: !!str 1\n", "tags"),
            ("a: 1\n---\nb: 2\n", "second YAML document"),
            ("? [a]\n: 1\n", "key is a list"),
            ("a: [1\n", "not valid YAML"),
            ("a: 1\n\tb: 2\n", "not valid YAML"),
        ];
        for (text, part) in cases {
            let (node, faults) = read(text);
            assert!(node.is_none(), "{text}");
            assert!(faults[0].message.contains(part), "{text}: {}", faults[0].message);
        }
    }

    #[test]
    fn nesting_and_size_are_bounded() {
        let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
        assert!(read(&deep).1[0].message.contains("deeper than"));
        let wide = "- a\n".repeat(DOCUMENT_NODES + 1);
        assert!(read(&wide).1[0].message.contains("more than"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_tree_or_faults(text in "\\PC{0,200}") {
            let (node, faults) = read(&text);
            let only_comments = text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
            prop_assert!(node.is_some() || !faults.is_empty() || only_comments, "{text:?} vanished");
        }

        #[test]
        fn documents_with_bytes_changed_do_not_panic(at in 0usize..64, with in any::<char>()) {
            let mut text: Vec<char> = "version: 1\npackages: [a, \"b\"]\nfiles: {/etc/x: {mode: '0644'}}\n".chars().collect();
            let at = at % text.len();
            text[at] = with;
            read(&text.into_iter().collect::<String>());
        }
    }
}
