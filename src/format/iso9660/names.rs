//! Names of files and folders in the two trees that know no UTF-8: ISO level 1 (8.3) and Joliet (UCS-2).

use std::collections::{BTreeMap, BTreeSet};

/// Joliet's limit in UCS-2 characters.
const JOLIET_LIMIT: usize = 64;

/// The level 1 identifiers of one folder's children, unique and in the order given.
pub(super) fn level1(children: &[(&str, bool)]) -> Vec<Vec<u8>> {
    let mut taken = Taken::default();
    children
        .iter()
        .map(|(name, folder)| {
            let (stem, extension) = match name.rsplit_once('.') {
                Some((stem, extension)) if !stem.is_empty() => (stem, extension),
                _ => (*name, ""),
            };
            let (stem, extension) = (plain(stem, 8), plain(extension, 3));
            taken
                .unique(|number| {
                    let stem = numbered(&stem, number, 8);
                    // Folders have no extension at level 1; files have a version.
                    if *folder { stem } else { format!("{stem}.{extension};1") }
                })
                .into_bytes()
        })
        .collect()
}

/// The Joliet identifiers of one folder's children (big-endian UCS-2), unique and in the order given.
pub(super) fn joliet(children: &[(&str, bool)]) -> Vec<Vec<u8>> {
    let mut taken = Taken::default();
    children
        .iter()
        .map(|(name, folder)| {
            let allowed = |c: char| !c.is_control() && !"*/:;?\\".contains(c) && u32::from(c) < 0x1_0000;
            let name: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
            let found = taken.unique(|number| {
                let room = if *folder { JOLIET_LIMIT } else { JOLIET_LIMIT - 2 };
                let name = numbered(&name, number, room);
                if *folder { name } else { format!("{name};1") }
            });
            ucs2(&found)
        })
        .collect()
}

/// Text as big-endian UCS-2.
pub(super) fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// Only `A-Z`, `0-9` and `_`, at most so many.
fn plain(text: &str, length: usize) -> String {
    let map = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    text.chars().map(map).take(length).collect()
}

/// A name whose end makes room for a number above 0.
fn numbered(name: &str, number: usize, length: usize) -> String {
    if number == 0 {
        return name.chars().take(length).collect();
    }
    let suffix = format!("_{number}");
    name.chars().take(length - suffix.len()).chain(suffix.chars()).collect()
}

/// The names of one folder that were given away.
#[derive(Default)]
struct Taken {
    names: BTreeSet<String>,
    /// The number to try next for a name, so that thousands of like names cost no more than others.
    next: BTreeMap<String, usize>,
}

impl Taken {
    /// The first of the names that is not taken yet.
    fn unique(&mut self, name: impl Fn(usize) -> String) -> String {
        let next = self.next.entry(name(0)).or_insert(0);
        loop {
            let candidate = name(*next);
            *next += 1;
            if self.names.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level1_names_are_short_and_unique() {
        let names =
            [("user-data", false), ("user-dates", false), ("a.tar.gz", false), (".hidden", false), ("x.d", true)];
        let found: Vec<_> = level1(&names).into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
        assert_eq!(found, ["USER_DAT.;1", "USER_D_1.;1", "A_TAR.GZ;1", "_HIDDEN.;1", "X"]);
    }

    #[test]
    fn joliet_names_keep_what_they_may_and_stay_unique() {
        let long = "n".repeat(80);
        let names = [("a:b", false), ("a;b", false), (long.as_str(), false), ("été", true)];
        let text = |name: &Vec<u8>| -> String {
            let units: Vec<u16> = name.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            String::from_utf16(&units).unwrap()
        };
        let found: Vec<_> = joliet(&names).iter().map(text).collect();
        assert_eq!(
            found,
            ["a_b;1".to_owned(), "a_b_1;1".to_owned(), format!("{};1", "n".repeat(62)), "été".to_owned()]
        );
    }
}
