//! Moments in the past, as arguments.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment. Parsed from an age (`30m`, `24h`, `7d`), a day (`2026-11-27`) or RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since(SystemTime);

impl Since {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_at(text, SystemTime::now())
    }

    fn parse_at(text: &str, now: SystemTime) -> Result<Self, String> {
        let wrong =
            || "expected an age (30m, 24h, 7d), a day (2026-11-27) or 2026-11-27T09:15:00Z".to_owned();
        let moment =
            bridge::unix_seconds(text).or_else(|| bridge::unix_seconds(&format!("{text}T00:00:00Z")));
        let moment = match moment {
            Some(seconds) => {
                u64::try_from(seconds).ok().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
            }
            None => age(text).and_then(|age| now.checked_sub(age)),
        };
        moment.filter(|moment| *moment >= UNIX_EPOCH).map(Self).ok_or_else(wrong)
    }

    /// RFC 3339 in UTC, to the second: compares as text with the times of records.
    pub(crate) fn timestamp(&self) -> String {
        aws::timestamp(self.0)
    }

    /// Seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> i64 {
        let seconds = self.0.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(seconds).unwrap_or(i64::MAX)
    }
}

fn age(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_days_and_moments() {
        let now = UNIX_EPOCH + Duration::from_secs(1_769_860_800);
        for (text, expected) in [
            ("90s", "2026-01-31T11:58:30Z"),
            ("24h", "2026-01-30T12:00:00Z"),
            ("2w", "2026-01-17T12:00:00Z"),
            ("2025-12-31", "2025-12-31T00:00:00Z"),
            ("2025-12-31T10:00:00+01:00", "2025-12-31T09:00:00Z"),
        ] {
            assert_eq!(Since::parse_at(text, now).unwrap().timestamp(), expected, "{text}");
        }
        for text in ["", "h", "-1h", "24", "yesterday", "1969-01-01", "99999999999999999d", "ä"] {
            assert!(Since::parse_at(text, now).is_err(), "{text}");
        }
        assert_eq!(Since::parse_at("0s", now).unwrap().unix_seconds(), 1_769_860_800);
    }
}
