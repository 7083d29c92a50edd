//! LVM's configuration text as a tree. Bounded in depth and number of nodes.

use crate::base::limits::{LVM_DEPTH, LVM_NODES};

/// Why a text could not be parsed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of the metadata text: {what}")]
pub struct TextError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

/// Names in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section(pub Vec<(String, Value)>);

impl Section {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        if let Value::Number(number) = self.get(name)? { Some(*number) } else { None }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        if let Value::Text(text) = self.get(name)? { Some(text) } else { None }
    }

    pub(super) fn list(&self, name: &str) -> Option<&[Value]> {
        if let Value::List(list) = self.get(name)? { Some(list) } else { None }
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        if let Value::Section(section) = self.get(name)? { Some(section) } else { None }
    }
}

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Section, TextError> {
    let mut parser = Parser { text: text.as_bytes(), at: 0, line: 1, nodes: 0 };
    parser.section(0)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    nodes: usize,
}

impl Parser<'_> {
    fn wrong<T>(&self, what: &'static str) -> Result<T, TextError> {
        Err(TextError { line: self.line, what })
    }

    fn blank(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' => {}
                b'#' => {
                    while self.text.get(self.at + 1).is_some_and(|next| *next != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    fn peek(&mut self) -> Option<u8> {
        self.blank();
        self.text.get(self.at).copied()
    }

    fn word(&mut self) -> Result<String, TextError> {
        let rest = &self.text[self.at..];
        let named = |c: &u8| c.is_ascii_alphanumeric() || b"_.+-/".contains(c);
        let length = rest.iter().position(|c| !named(c)).unwrap_or(rest.len());
        if length == 0 {
            return self.wrong("a name is wanted");
        }
        self.at += length;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn section(&mut self, depth: usize) -> Result<Section, TextError> {
        if depth > LVM_DEPTH {
            return self.wrong("sections are nested too deeply");
        }
        let mut section = Section::default();
        let mut names = std::collections::BTreeSet::new();
        loop {
            match self.peek() {
                None if depth == 0 => return Ok(section),
                None => return self.wrong("the text ends within a section"),
                Some(b'}') if depth > 0 => {
                    self.at += 1;
                    return Ok(section);
                }
                Some(_) => {}
            }
            self.nodes += 1;
            if self.nodes > LVM_NODES {
                return self.wrong("too many settings");
            }
            let name = self.word()?;
            if !names.insert(name.clone()) {
                return self.wrong("a name is used twice in one section");
            }
            let value = match self.peek() {
                Some(b'{') => {
                    self.at += 1;
                    Value::Section(self.section(depth + 1)?)
                }
                Some(b'=') => {
                    self.at += 1;
                    self.value(true)?
                }
                _ => return self.wrong("`=` or `{` is wanted"),
            };
            section.0.push((name, value));
        }
    }

    fn value(&mut self, list: bool) -> Result<Value, TextError> {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let mut bytes = Vec::new();
                loop {
                    match self.text.get(self.at) {
                        None | Some(b'\n') => return self.wrong("a text is not closed"),
                        Some(b'"') => break,
                        Some(b'\\') => {
                            self.at += 1;
                            bytes.extend(self.text.get(self.at));
                        }
                        Some(byte) => bytes.push(*byte),
                    }
                    self.at += 1;
                }
                self.at += 1;
                Ok(Value::Text(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Some(b'[') if list => {
                self.at += 1;
                let mut values = Vec::new();
                while self.peek() != Some(b']') {
                    self.nodes += 1;
                    if self.nodes > LVM_NODES {
                        return self.wrong("too many settings");
                    }
                    values.push(self.value(false)?);
                    match self.peek() {
                        Some(b',') => self.at += 1,
                        Some(b']') => {}
                        _ => return self.wrong("`,` or `]` is wanted"),
                    }
                }
                self.at += 1;
                Ok(Value::List(values))
            }
            Some(b'0'..=b'9') => {
                let word = self.word()?;
                word.parse().map(Value::Number).or_else(|_| self.wrong("a number is malformed"))
            }
            _ => self.wrong("a number, a text or a list is wanted"),
        }
    }
}
