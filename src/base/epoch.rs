//! The only clock of a build: the newest `Date` of the locked Release files.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z. Every time written into an image is this one or older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// A packaged time, held between 0 and this epoch.
    #[must_use]
    pub fn clamp(self, seconds: i64) -> i64 {
        seconds.clamp(0, self.0)
    }

    /// This epoch, or the nearer end when it lies outside: formats know only so many years.
    #[must_use]
    pub fn clamp_between(self, first: Self, last: Self) -> Self {
        Self(self.0.clamp(first.0, last.0))
    }

    /// `YYYY-MM-DDThh:mm:ssZ`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let (year, month, day, rest) = self.civil();
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// Year, month, day and second of the day, UTC.
    #[must_use]
    pub fn civil(self) -> (i64, i64, i64, i64) {
        let (year, month, day) = civil(self.0.div_euclid(86_400));
        (year, month, day, self.0.rem_euclid(86_400))
    }

    /// Midnight UTC of a civil date, plus a time of day in seconds.
    #[must_use]
    pub fn from_civil(year: i64, month: i64, day: i64, second_of_day: i64) -> Self {
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Self((era * 146_097 + day_of_era - 719_468) * 86_400 + second_of_day)
    }
}

/// Days since 1970-01-01 as year, month, day of the proleptic Gregorian calendar
/// (algorithm: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_shown_and_made_by_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(Epoch(seconds).rfc3339(), text);
        }
        assert_eq!(Epoch::from_civil(2023, 11, 14, 22 * 3600 + 13 * 60 + 20), Epoch(1_700_000_000));
        assert_eq!(Epoch::from_civil(2000, 2, 29, 0), Epoch(951_782_400));
    }
}
