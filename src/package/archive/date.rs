//! Dates of Release files: `Sat, 14 Nov 2026 09:21:07 UTC`.

use crate::base::epoch::Epoch;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a date of RFC 5322's shape (section 3.3) in UTC; `None` for any other.
pub(super) fn parse(text: &str) -> Option<Epoch> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let rest = match words.as_slice() {
        [weekday, rest @ ..] if weekday.ends_with(',') => rest,
        all => all,
    };
    let [day, month, year, time, zone] = rest else { return None };
    if !matches!(*zone, "UTC" | "GMT" | "Z" | "+0000" | "-0000") {
        return None;
    }
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| -> Option<i64> {
        let plain = digits.contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten()
    };
    let month = i64::try_from(MONTHS.iter().position(|name| name == month)?).ok()? + 1;
    let year = number(year, 4..=4).filter(|year| *year >= 1970)?;
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => 31,
    };
    let day = number(day, 1..=2).filter(|day| (1..=length).contains(day))?;
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts.as_slice() else { return None };
    let hour = number(hour, 1..=2).filter(|hour| *hour < 24)?;
    let minute = number(minute, 2..=2).filter(|minute| *minute < 60)?;
    let second = number(second, 2..=2).filter(|second| *second <= 60)?;
    Some(Epoch::from_civil(year, month, day, hour * 3600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_release_files_are_read() {
        let cases = [
            ("Tue, 14 Nov 2023 22:13:20 UTC", 1_700_000_000),
            ("Tue, 29 Feb 2000  0:00:00 +0000", 951_782_400),
            ("14 Nov 2023 22:13:20 GMT", 1_700_000_000),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text), Some(Epoch(seconds)), "{text}");
        }
    }

    #[test]
    fn dates_of_other_shapes_are_refused() {
        for text in [
            "",
            "today",
            "Tue, 14 Nov 2023 22:13:20",
            "Tue, 14 Nov 2023 22:13:20 CET",
            "Tue, 30 Feb 2000 00:00:00 UTC",
            "Tue, 14 Nov 23 22:13:20 UTC",
            "Tue, 14 Nov 2023 24:13:20 UTC",
            "Tue, +4 Nov 2023 22:13:20 UTC",
            "2023-11-14T22:13:20Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
