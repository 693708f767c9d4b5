//! Moments, for people and for programs.

use std::time::{Duration, UNIX_EPOCH};

/// Seconds since 1970 as RFC 3339 in UTC.
pub(crate) fn rfc3339(seconds: i64) -> String {
    aws::timestamp(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_moment() {
        assert_eq!(rfc3339(1_795_770_120), "2026-11-27T09:02:00Z");
        assert_eq!(rfc3339(-1), "1970-01-01T00:00:00Z");
    }
}
