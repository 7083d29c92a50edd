//! Since when the same one machine has had all floating addresses. For a moment there may be one owner also while two have
//! not yet found each other: what counts is that it stays so.

use std::time::Duration;

/// What was seen of owners, on the clock of who looks.
#[derive(Debug, Default)]
pub(super) struct Rest {
    owner: Option<String>,
    since: Duration,
}

impl Rest {
    /// Somebody looked at this time and found this one owner, or none or several.
    pub(super) fn see(&mut self, at: Duration, owner: Option<String>) {
        if owner.is_none() || owner != self.owner {
            (self.owner, self.since) = (owner, at);
        }
    }

    /// When the rest began that has now lasted for so long.
    pub(super) fn lasting(&self, now: Duration, calm: Duration) -> Option<Duration> {
        (self.owner.is_some() && now.saturating_sub(self.since) >= calm).then_some(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_begins_with_the_last_change_and_must_last() {
        let seconds = Duration::from_secs;
        let mut rest = Rest::default();
        assert_eq!(rest.lasting(seconds(100), seconds(10)), None);
        let (one, two) = (Some("one".to_owned()), Some("two".to_owned()));
        rest.see(seconds(0), one.clone());
        rest.see(seconds(9), one.clone());
        assert_eq!(rest.lasting(seconds(9), seconds(10)), None);
        assert_eq!(rest.lasting(seconds(10), seconds(10)), Some(seconds(0)));
        for (at, owner) in [(10, None), (11, one), (12, two.clone()), (20, two)] {
            rest.see(seconds(at), owner);
        }
        assert_eq!(rest.lasting(seconds(21), seconds(10)), None);
        assert_eq!(rest.lasting(seconds(22), seconds(10)), Some(seconds(12)));
    }
}
