//! What to do next, carried along an error: printed as `hint:` lines below it.

use std::fmt;

/// A remedy attached to an error's chain with [`Remedy::hint`].
#[derive(Debug)]
struct Hint {
    error: anyhow::Error,
    text: String,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for Hint {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Attaches a remedy to whatever failed.
pub trait Remedy<T> {
    /// Adds a `hint:` line; the error's own text stays as it was.
    ///
    /// # Errors
    /// The same error, with the hint.
    fn hint(self, text: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Remedy<T> for Result<T, E> {
    fn hint(self, text: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::Error::new(Hint { error: error.into(), text: text.into() }))
    }
}

/// An error with a hint, in one go.
#[must_use]
pub fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Hint { error: anyhow::Error::msg(message.into()), text: hint.into() })
}

/// All hints of an error, outermost first.
#[must_use]
pub fn hints(error: &anyhow::Error) -> Vec<String> {
    let mut found = Vec::new();
    for cause in error.chain() {
        let mut next = cause.downcast_ref::<Hint>();
        while let Some(hint) = next {
            found.push(hint.text.clone());
            // Only a hint right below is not in the chain by itself: `source` skips it.
            next = hint.error.chain().next().and_then(|below| below.downcast_ref::<Hint>());
        }
    }
    found
}

/// The first error of this type in a chain, also below a hint.
#[must_use]
pub fn find<T: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&T> {
    error.chain().find_map(|cause| match cause.downcast_ref::<T>() {
        Some(found) => Some(found),
        None => find(&cause.downcast_ref::<Hint>()?.error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn typed_error_below_a_hint_is_found() {
        let failed: Result<(), _> = Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let error = failed.hint("look elsewhere").context("opening x.yaml").unwrap_err();
        assert_eq!(find::<std::io::Error>(&error).map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
        assert!(find::<std::fmt::Error>(&error).is_none());
    }

    #[test]
    fn hints_survive_context_and_do_not_repeat_the_message() {
        let failed: Result<(), _> = Err(anyhow::anyhow!("no such file"));
        let error = failed.hint("run `imgbuild init`").context("opening x.yaml").unwrap_err();
        assert_eq!(format!("{error:#}"), "opening x.yaml: no such file");
        assert_eq!(hints(&error), ["run `imgbuild init`"]);
    }

    #[test]
    fn hints_of_one_chain_are_each_told_once() {
        let error =
            Err::<(), _>(hinted("no room", "first")).hint("second").context("writing").hint("third").unwrap_err();
        assert_eq!(hints(&error), ["third", "second", "first"]);
    }
}
