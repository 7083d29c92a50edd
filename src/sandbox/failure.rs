//! Errors on their way between processes: the chain and the hints survive, types do not.

use crate::base::hint::{Remedy as _, hints};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Failure {
    /// Outermost first.
    chain: Vec<String>,
    /// Outermost first.
    hints: Vec<String>,
}

/// The error as JSON.
pub(super) fn write(error: &anyhow::Error) -> Vec<u8> {
    let failure = Failure { chain: error.chain().map(ToString::to_string).collect(), hints: hints(error) };
    serde_json::to_vec(&failure).unwrap_or_default()
}

/// The error that [`write`] wrote.
pub(super) fn read(payload: &[u8]) -> anyhow::Error {
    let Ok(Failure { mut chain, hints }) = serde_json::from_slice(payload) else {
        return anyhow::anyhow!("the sandbox failed without saying why");
    };
    let innermost = chain.pop().unwrap_or_else(|| "the sandbox failed without saying why".to_owned());
    let error = chain.into_iter().rev().fold(anyhow::Error::msg(innermost), anyhow::Error::context);
    hints.into_iter().rev().fold(error, |error, text| match Err::<(), _>(error).hint(text) {
        Err(error) => error,
        Ok(()) => unreachable!("a hint never mends an error"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hint::hinted;

    #[test]
    fn errors_cross_with_chain_and_hints() {
        let error = Err::<(), _>(hinted("no room", "delete something").context("writing x"))
            .hint("or buy a disk")
            .unwrap_err()
            .context("building");
        let crossed = read(&write(&error));
        assert_eq!(format!("{crossed:#}"), "building: writing x: no room");
        assert_eq!(hints(&crossed), hints(&error));
    }

    #[test]
    fn errors_that_are_garbage_are_still_errors() {
        assert_eq!(read(b"{").to_string(), "the sandbox failed without saying why");
    }
}
