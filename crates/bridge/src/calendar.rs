//! Moments in RFC 3339, and the few conversions of `strftime` that paths may contain.

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(OffsetDateTime);

/// The conversions that a format may contain.
pub(crate) const SIGNS: &str = "%Y %y %m %d %j %H %M %S %%";

/// The first conversion in a format that is not one of [`SIGNS`].
pub(crate) fn unknown_sign(format: &str) -> Option<String> {
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character == '%' {
            match characters.next() {
                Some('Y' | 'y' | 'm' | 'd' | 'j' | 'H' | 'M' | 'S' | '%') => {}
                other => return Some(other.map_or_else(|| "%".into(), |sign| format!("%{sign}"))),
            }
        }
    }
    None
}

/// Seconds since 1970, from a moment in RFC 3339. `None` if the text is not one.
pub fn unix_seconds(text: &str) -> Option<i64> {
    Moment::parse(text).map(|moment| moment.0.unix_timestamp())
}

impl Moment {
    /// Parses RFC 3339: `2026-01-31T12:00:00Z`, with or without a fraction, in UTC or with an offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
        (0..=9999).contains(&moment.year()).then_some(Self(moment))
    }

    /// Formats the moment. [`unknown_sign`] must have found nothing in the format.
    pub(crate) fn format(self, format: &str) -> String {
        let Self(moment) = self;
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some('Y') => text += &format!("{:04}", moment.year()),
                Some('y') => text += &format!("{:02}", moment.year() % 100),
                Some('m') => text += &format!("{:02}", u8::from(moment.month())),
                Some('d') => text += &format!("{:02}", moment.day()),
                Some('j') => text += &format!("{:03}", moment.ordinal()),
                Some('H') => text += &format!("{:02}", moment.hour()),
                Some('M') => text += &format!("{:02}", moment.minute()),
                Some('S') => text += &format!("{:02}", moment.second()),
                other => text.extend(other),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_utc() {
        let all = "%Y-%m-%d %H:%M:%S %j %y%%";
        for (text, expected) in [
            ("2021-11-12T00:00:00Z", "2021-11-12 00:00:00 316 21%"),
            ("2024-02-29T23:59:59.999Z", "2024-02-29 23:59:59 060 24%"),
            ("2024-12-31T12:00:00Z", "2024-12-31 12:00:00 366 24%"),
            ("2025-12-31T23:30:00-01:00", "2026-01-01 00:30:00 001 26%"),
            ("2026-01-01T00:30:00+05:45", "2025-12-31 18:45:00 365 25%"),
            ("2000-03-01T00:00:00z", "2000-03-01 00:00:00 061 00%"),
            ("9999-12-31T23:59:60Z", "9999-12-31 23:59:59 365 99%"),
        ] {
            assert_eq!(Moment::parse(text).unwrap().format(all), expected, "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+1",
            "2026-1-01T00:00:00Z",
            "２026-01-01T00:00:00Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_since_1970() {
        assert_eq!(unix_seconds("1970-01-01T01:00:01+01:00"), Some(1));
        assert_eq!(unix_seconds("2026-01-31T12:00:00.9Z"), Some(1_769_860_800));
        assert_eq!(unix_seconds("yesterday"), None);
        // In UTC these lie in years that have no four digits.
        assert_eq!(unix_seconds("9999-12-31T23:30:00-01:00"), None);
        assert_eq!(unix_seconds("0000-01-01T00:00:00+01:00"), None);
    }

    #[test]
    fn unknown_signs_are_named() {
        assert_eq!(unknown_sign("%Y/%m/%d-%H%M%S.%j%%%y"), None);
        assert_eq!(unknown_sign("%Y%B").as_deref(), Some("%B"));
        assert_eq!(unknown_sign("%Y%").as_deref(), Some("%"));
    }
}
