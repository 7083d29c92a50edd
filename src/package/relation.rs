//! Package relationship fields (deb-control(5), Debian policy chapter 7): `a (>= 1) | b, c:any`.

use super::version::{self, Version, VersionError};
use crate::base::limits::RELATION_BYTES;
use std::cmp::Ordering;
use std::fmt;

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Operator {
    /// Whether `version` stands so to `wanted`.
    #[must_use]
    pub fn holds(self, version: &str, wanted: &str) -> bool {
        let order = version::compare(version, wanted);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
        }
    }
}

/// One package named by a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Its name, real or virtual.
    pub name: &'a str,
    /// What follows the name's colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// Which versions.
    pub constraint: Option<(Operator, &'a str)>,
}

impl Relation<'_> {
    /// Whether this version is among those meant.
    #[must_use]
    pub fn admits(&self, version: &str) -> bool {
        self.constraint.is_none_or(|(operator, wanted)| operator.holds(version, wanted))
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(qualifier) = self.qualifier {
            write!(f, ":{qualifier}")?;
        }
        match self.constraint {
            Some((operator, version)) => write!(f, " ({} {version})", operator.text()),
            None => Ok(()),
        }
    }
}

/// Alternatives, of which one suffices; shown joined by ` | `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a>(pub Vec<Relation<'a>>);

impl fmt::Display for Group<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, relation) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " | " })?;
            relation.fmt(f)?;
        }
        Ok(())
    }
}

/// Why a relationship field was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelationError {
    /// Not of the form that the grammar wants.
    #[error("`{}` is no relationship: {problem}", text.escape_debug())]
    Malformed {
        /// The part.
        text: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A version that is none.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A field beyond [`RELATION_BYTES`].
    #[error("a relationship field of {0} bytes is longer than the {RELATION_BYTES} allowed")]
    TooLong(usize),
}

/// Reads a field; an empty one gives no groups.
///
/// # Errors
/// When it is malformed, also when it uses architecture lists or build profiles, which only source packages have.
pub fn parse(field: &str) -> Result<Vec<Group<'_>>, RelationError> {
    if field.len() > RELATION_BYTES {
        return Err(RelationError::TooLong(field.len()));
    }
    let parts = field.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.split('|').map(one).collect::<Result<_, _>>().map(Group)).collect()
}

fn one(text: &str) -> Result<Relation<'_>, RelationError> {
    let text = text.trim();
    let refuse = |problem| RelationError::Malformed { text: text.chars().take(80).collect(), problem };
    let end = text.find(|c: char| c.is_ascii_whitespace() || "([<".contains(c)).unwrap_or(text.len());
    let (head, rest) = (&text[..end], text[end..].trim_start());
    let (name, qualifier) = head.split_once(':').map_or((head, None), |(name, after)| (name, Some(after)));
    if !is_name(name) {
        return Err(refuse("it does not begin with a package name"));
    }
    if qualifier.is_some_and(|qualifier| !is_architecture(qualifier)) {
        return Err(refuse("what follows the colon is no architecture"));
    }
    if rest.is_empty() {
        return Ok(Relation { name, qualifier, constraint: None });
    }
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).map(str::trim);
    let inner = inner.ok_or_else(|| {
        refuse(if rest.starts_with('(') {
            "its version is not enclosed in ( )"
        } else {
            "architecture lists and build profiles belong to source packages"
        })
    })?;
    let split = inner.find(|c: char| !"<=>".contains(c)).unwrap_or(inner.len());
    let operator = match &inner[..split] {
        "<<" => Operator::Earlier,
        "<=" | "<" => Operator::EarlierOrEqual,
        "=" => Operator::Equal,
        ">=" | ">" => Operator::LaterOrEqual,
        ">>" => Operator::Later,
        _ => return Err(refuse("the operator is none of << <= = >= >>")),
    };
    let wanted = inner[split..].trim();
    Version::parse(wanted)?;
    Ok(Relation { name, qualifier, constraint: Some((operator, wanted)) })
}

/// Whether this can be the name of a package. Upper case is let through, as apt lets it.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
    text.len() <= 128
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// Whether this can be the name of an architecture.
#[must_use]
pub fn is_architecture(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_read_and_shown_in_one_form() {
        let cases = [
            ("", ""),
            ("a", "a"),
            ("a,b , c|d", "a; b; c | d"),
            (
                "libc6 (>=2.38),python3:any (>> 3.1~), x\n (= 1:2-3)",
                "libc6 (>= 2.38); python3:any (>> 3.1~); x (= 1:2-3)",
            ),
            ("a (< 1), b (> 1), c(<<1)", "a (<= 1); b (>= 1); c (<< 1)"),
            ("a,,", "a"),
        ];
        for (field, shown) in cases {
            let groups = parse(field).unwrap();
            assert_eq!(groups.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), shown, "{field}");
        }
    }

    #[test]
    fn malformed_fields_are_refused_with_the_part() {
        let cases = [
            ("a | ", "`` is no relationship: it does not begin with a package name"),
            ("a, -b", "`-b` is no relationship: it does not begin with a package name"),
            ("a:ANY", "`a:ANY` is no relationship: what follows the colon is no architecture"),
            ("a (>= 1", "`a (>= 1` is no relationship: its version is not enclosed in ( )"),
            ("a (1)", "`a (1)` is no relationship: the operator is none of << <= = >= >>"),
            ("a (=> 1)", "`a (=> 1)` is no relationship: the operator is none of << <= = >= >>"),
            ("a (= )", "`` is not a package version: a part of it is empty"),
            (
                "a <!nocheck>",
                "`a <!nocheck>` is no relationship: architecture lists and build profiles belong to source packages",
            ),
            (
                "a [amd64]",
                "`a [amd64]` is no relationship: architecture lists and build profiles belong to source packages",
            ),
        ];
        for (field, message) in cases {
            assert_eq!(parse(field).unwrap_err().to_string(), message, "{field}");
        }
    }

    #[test]
    fn operators_admit_what_they_say() {
        let cases = [("<<", "100"), ("<=", "110"), ("=", "010"), (">=", "011"), (">>", "001")];
        for (operator, expected) in cases {
            let field = format!("a ({operator} 2)");
            let relation = parse(&field).unwrap()[0].0[0];
            let found: String =
                ["1", "2", "3"].map(|version| if relation.admits(version) { '1' } else { '0' }).iter().collect();
            assert_eq!(found, expected, "{operator}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(field in "\\PC{0,60}", like in "[ab0-9 ,|():<=>.~-]{0,40}") {
            let _ = parse(&field);
            let _ = parse(&like);
        }

        #[test]
        fn shown_groups_are_read_back(field in "[a-z][a-z0-9+.-]{1,6}(:any)?( \\((<<|<=|=|>=|>>) [0-9]{1,3}\\))?( \\| [a-z]{2,4})?") {
            let groups = parse(&field).unwrap();
            prop_assert_eq!(groups[0].to_string(), field);
        }
    }
}
