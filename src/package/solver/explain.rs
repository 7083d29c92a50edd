//! Why packages cannot be installed, as a tree that a person can follow, with the way out.

use super::Field;
use std::fmt;
use std::sync::Arc;

/// The deepest level of the tree that is shown.
const SHOWN_DEPTH: usize = 10;
/// The most branches of one level that are shown.
const SHOWN_BRANCHES: usize = 6;

/// What was refused, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The request at the root, or the package when it is no request.
    pub root: String,
    /// Why.
    pub cause: Cause,
}

/// Why a package cannot be chosen.
#[derive(Clone, Debug)]
pub enum Cause {
    /// No package has or provides this name.
    Unknown {
        /// The name.
        name: String,
        /// A known name much like it.
        nearest: Option<String>,
    },
    /// Several packages provide the name, and nothing says which is meant.
    Virtual {
        /// The name.
        name: String,
        /// Those that provide it.
        providers: Vec<String>,
    },
    /// There are other versions only.
    OtherVersions {
        /// The name.
        name: String,
        /// Those that there are, with their origins.
        versions: Vec<String>,
    },
    /// What is given has another version, and stays.
    Pinned {
        /// The name.
        name: String,
        /// The version given.
        version: String,
    },
    /// Another version of it is chosen already.
    Chosen {
        /// The name.
        name: String,
        /// The version chosen.
        version: String,
    },
    /// It and a chosen package exclude each other.
    Excluded {
        /// Who says so: name and version.
        by: String,
        /// Whom: name and version.
        whom: String,
        /// Through which field.
        field: Field,
        /// The field's part.
        relation: String,
    },
    /// One of its dependencies cannot be met.
    Needs {
        /// Name and version.
        package: String,
        /// Through which field.
        field: Field,
        /// The field's part.
        relation: String,
        /// What was tried for it.
        tried: Arc<Vec<Tried>>,
    },
}

/// One attempt to meet a dependency.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The package tried: name and version; empty when there was none to try.
    pub package: String,
    /// Why it does not do.
    pub cause: Cause,
}

impl Refusal {
    /// What can be done about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let mut hints = Vec::new();
        self.cause.hints(&mut hints, 0);
        hints
            .into_iter()
            .min()
            .map_or_else(|| "ask for other packages, or exclude one side of the conflict".to_owned(), |(_, hint)| hint)
    }
}

impl Cause {
    /// Hints with their rank: what surely helps comes first.
    fn hints(&self, hints: &mut Vec<(u32, String)>, depth: usize) {
        if depth > SHOWN_DEPTH {
            return;
        }
        match self {
            Self::Pinned { .. } => {
                hints.push((0, "take newer versions of all packages with `imgbuild lock --update`".to_owned()));
            }
            Self::Virtual { providers, .. } => {
                hints.push((1, format!("ask for one of them by name: {}", shortened(providers))))
            }
            Self::Unknown { nearest: Some(nearest), .. } if depth == 0 => {
                hints.push((2, format!("did you mean `{nearest}`?")))
            }
            Self::OtherVersions { name, .. } if depth == 0 => {
                hints.push((3, format!("ask for one of these versions, or for `{name}` alone")));
            }
            Self::Unknown { .. } | Self::OtherVersions { .. } => hints.push((
                4,
                "add the repository, suite or component that carries it to `repositories` of the recipe or role"
                    .to_owned(),
            )),
            Self::Needs { tried, .. } => tried.iter().for_each(|tried| tried.cause.hints(hints, depth + 1)),
            Self::Chosen { .. } | Self::Excluded { .. } => {}
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Unknown { name, .. } => write!(f, "no package has or provides the name `{name}`"),
            Self::Virtual { name, providers } => {
                write!(f, "`{name}` is provided by {}, and none of them was asked for", shortened(providers))
            }
            Self::OtherVersions { name, versions } => write!(f, "of `{name}` there is only {}", shortened(versions)),
            Self::Pinned { name, version } => write!(f, "the base layer pins {name} {version}"),
            Self::Chosen { name, version } => write!(f, "{name} {version} is chosen already"),
            Self::Excluded { by, whom, field, relation } => write!(f, "{by} excludes {whom} ({field}: {relation})"),
            Self::Needs { package, field, relation, tried } => {
                write!(f, "{package} needs {relation} ({field})")?;
                if depth >= SHOWN_DEPTH {
                    return f.write_str(", and so on");
                }
                for tried in tried.iter().take(SHOWN_BRANCHES) {
                    write!(f, "\n{:indent$}", "", indent = 2 * (depth + 1))?;
                    if !tried.package.is_empty() && !matches!(tried.cause, Self::Needs { .. }) {
                        write!(f, "not {}: ", tried.package)?;
                    }
                    tried.cause.write(f, depth + 1)?;
                }
                if tried.len() > SHOWN_BRANCHES {
                    write!(f, "\n{:indent$}and {} more", "", tried.len() - SHOWN_BRANCHES, indent = 2 * (depth + 1))?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be installed: ", self.root)?;
        self.cause.write(f, 0)
    }
}

fn shortened(list: &[String]) -> String {
    let shown = list.iter().take(SHOWN_BRANCHES).cloned().collect::<Vec<_>>().join(", ");
    match list.len().saturating_sub(SHOWN_BRANCHES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
