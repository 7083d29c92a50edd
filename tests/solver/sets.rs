//! The sets of packages that are compared, read from `tests/solver/sets/*.txt` and from the built-in roles.

use imgbuild::input::{Sources, load};
use imgbuild::plan::{ImageRequest, draw_image};
use std::path::Path;

/// What is there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Upon {
    /// An empty dpkg status.
    Nothing,
    /// Essential packages and apt, as the test root has them.
    Minimal,
    /// The recipe's packages.
    Base,
}

/// One line of a file of sets.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) upon: Upon,
    /// The only suite that it is for.
    pub(crate) suite: Option<String>,
    /// Whether it must be refused.
    pub(crate) refused: bool,
    /// Whether apt may choose otherwise, as long as it accepts what is chosen here.
    pub(crate) otherwise: bool,
    pub(crate) requests: Vec<String>,
}

/// All sets, those of the files first, each name once.
pub(crate) fn all(suite: &str) -> Vec<Set> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/solver/sets");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut sets = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            let read = read(line).unwrap_or_else(|| panic!("{}:{}: no set: {line}", file.display(), at + 1));
            sets.push(read);
        }
    }
    sets.retain(|set: &Set| set.suite.as_deref().is_none_or(|only| only == suite));
    for (role, requests) in roles(suite) {
        let upon = if role.is_empty() { Upon::Nothing } else { Upon::Base };
        sets.push(Set { name: format!("role/{role}"), upon, suite: None, refused: false, otherwise: false, requests });
    }
    for (at, set) in sets.iter().enumerate() {
        assert!(!sets[..at].iter().any(|other| other.name == set.name), "two sets are called {}", set.name);
    }
    sets
}

fn read(line: &str) -> Option<Set> {
    let (head, requests) = line.split_once(": ").or_else(|| Some((line.strip_suffix(':')?, "")))?;
    let (name, words) = head.split_once(' ')?;
    let mut words = words.split(',');
    let upon = match words.next()? {
        "nothing" => Upon::Nothing,
        "minimal" => Upon::Minimal,
        "base" => Upon::Base,
        _ => return None,
    };
    let requests = requests.split_whitespace().map(str::to_owned).collect();
    let mut set = Set { name: name.to_owned(), upon, suite: None, refused: false, otherwise: false, requests };
    for word in words {
        match word {
            "refused" => set.refused = true,
            "otherwise" => set.otherwise = true,
            "trixie" | "bookworm" => set.suite = Some(word.to_owned()),
            _ => return None,
        }
    }
    Some(set)
}

/// What the suite's recipe asks for.
pub(crate) fn base(suite: &str) -> Vec<String> {
    roles(suite).into_iter().find(|(role, _)| role.is_empty()).unwrap().1
}

/// Each role's packages that come from the distribution; the base under the empty name.
fn roles(suite: &str) -> Vec<(String, Vec<String>)> {
    let sources = Sources::builtin();
    let recipe = format!("debian-{suite}");
    let mut found = Vec::new();
    for role in sources.roles().unwrap().keys() {
        let inputs = load(&sources, &recipe, &[role]).unwrap_or_else(|problems| panic!("{problems}"));
        let request = ImageRequest { recipe: recipe.clone(), roles: vec![role.clone()], ..ImageRequest::default() };
        let plan = draw_image(&inputs, &request).unwrap_or_else(|problems| panic!("{problems}"));
        if found.is_empty() {
            found.push((String::new(), plan.base.packages));
        }
        if !plan.role.packages.is_empty() {
            found.push((role.clone(), plan.role.packages));
        }
    }
    found
}
