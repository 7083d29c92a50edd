//! Reads deb822 control data (deb822(5)): stanzas of `Field: value` lines, separated by empty lines.
//!
//! Everything is borrowed from the input, so that an index of 60 MB is walked without copying. Strict: no comments, no
//! duplicate fields, no carriage returns, UTF-8 only.

use crate::base::limits::STANZA_FIELDS;
use std::fmt;

/// Why control data was refused, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ControlError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with control data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Bytes that are not UTF-8.
    NotText,
    /// A line that begins no field.
    NoField(String),
    /// A continuation line before any field.
    NothingToContinue,
    /// A field that this stanza has already.
    Twice(String),
    /// More than [`STANZA_FIELDS`] fields.
    TooMany,
    /// One stanza was expected.
    NotOne(usize),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotText => f.write_str("the text is not UTF-8"),
            Self::NoField(line) => write!(f, "`{}` is no `Field: value` line", line.escape_debug()),
            Self::NothingToContinue => f.write_str("a line begins with a space, but there is no field to continue"),
            Self::Twice(name) => write!(f, "the field `{name}` is there twice"),
            Self::TooMany => write!(f, "there are more than {STANZA_FIELDS} fields"),
            Self::NotOne(found) => write!(f, "{found} stanzas were found, one was expected"),
        }
    }
}

/// One stanza: fields in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stanza<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

impl<'a> Stanza<'a> {
    /// A field's value, without surrounding blanks; continuation lines keep their newline and leading blank. The
    /// name's case does not matter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// All fields, in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.fields.iter().copied()
    }
}

/// Walks the stanzas of a text.
#[derive(Clone, Debug)]
pub struct Stanzas<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    failed: Option<ControlError>,
}

impl<'a> Stanzas<'a> {
    /// A walk from the beginning; bytes that are not UTF-8 come as the first item's error.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text, at: 0, line: 0, failed: None },
            Err(error) => {
                let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                Self { text: "", at: 0, line, failed: Some(ControlError { line, problem: Problem::NotText }) }
            }
        }
    }

    /// The number of the line read last, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    fn next_line(&mut self) -> Option<(usize, &'a str)> {
        let start = self.at;
        let rest = &self.text[start..];
        if rest.is_empty() {
            return None;
        }
        let line = rest.split_once('\n').map_or(rest, |(line, _)| line);
        self.at = (start + line.len() + 1).min(self.text.len());
        self.line += 1;
        Some((start, line))
    }

    fn stanza(&mut self) -> Result<Option<Stanza<'a>>, Problem> {
        let mut fields: Vec<(&'a str, &'a str)> = Vec::with_capacity(32);
        // Where the value of the last field begins: continuation lines extend it, since all lie in one text.
        let mut begin = 0;
        while let Some((start, line)) = self.next_line() {
            if line.starts_with([' ', '\t']) || line.is_empty() {
                if line.trim_matches([' ', '\t']).is_empty() {
                    if fields.is_empty() {
                        continue;
                    }
                    break;
                }
                let (_, value) = fields.last_mut().ok_or(Problem::NothingToContinue)?;
                *value = self.text[begin..start + line.len()].trim_matches([' ', '\t']);
                continue;
            }
            let (name, value) = field(line).ok_or_else(|| Problem::NoField(line.chars().take(60).collect()))?;
            if fields.iter().any(|(known, _)| known.len() == name.len() && known.eq_ignore_ascii_case(name)) {
                return Err(Problem::Twice(name.to_owned()));
            }
            if fields.len() == STANZA_FIELDS {
                return Err(Problem::TooMany);
            }
            begin = start + name.len() + 1;
            fields.push((name, value));
        }
        Ok((!fields.is_empty()).then_some(Stanza { fields }))
    }
}

fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let sane = name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with(['#', '-']);
    let clean = !value.bytes().any(|byte| byte == b'\r' || byte == 0);
    (!name.is_empty() && sane && clean).then(|| (name, value.trim_matches([' ', '\t'])))
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, ControlError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        match self.stanza() {
            Ok(stanza) => stanza.map(Ok),
            Err(problem) => {
                self.at = self.text.len();
                Some(Err(ControlError { line: self.line, problem }))
            }
        }
    }
}

/// The only stanza of a text.
///
/// # Errors
/// When the text is malformed or has another number of stanzas.
pub fn single(bytes: &[u8]) -> Result<Stanza<'_>, ControlError> {
    let mut stanzas = Stanzas::new(bytes);
    let first = stanzas.next().transpose()?;
    let more = stanzas.next().transpose()?.is_some();
    let line = stanzas.line();
    match (first, more) {
        (Some(stanza), false) => Ok(stanza),
        (first, more) => {
            let found = usize::from(first.is_some()) + usize::from(more);
            Err(ControlError { line, problem: Problem::NotOne(found) })
        }
    }
}

#[cfg(test)]
mod tests;
