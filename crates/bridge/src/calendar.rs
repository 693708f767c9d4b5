//! A moment of RFC 3339 as a date in UTC, and the few signs of `strftime` that names are made of.

/// A moment, in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    days: i64,
    seconds: u32,
}

/// What may follow `%`.
pub(crate) const SIGNS: &str = "%Y %y %m %d %j %H %M %S %%";

/// The first sign of a format that is not among them.
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

/// Seconds since 1970 of a moment of RFC 3339; `None` if it is none.
pub fn unix_seconds(text: &str) -> Option<i64> {
    Moment::parse(text).map(Moment::unix_seconds)
}

impl Moment {
    /// `2026-01-31T12:00:00Z`, with or without a fraction, in UTC or with an offset.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, rest) = (text.get(..10)?, text.get(10..)?);
        let time = rest.strip_prefix(['T', 't', ' '])?;
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(time.get(..8)?, ':', [2, 2, 2])?;
        let zone = time.get(8..)?;
        let zone = match zone.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => zone,
        };
        let offset = match zone {
            "Z" | "z" => 0,
            _ => {
                let [hours, minutes] = numbers(zone.get(1..)?, ':', [2, 2])?;
                let offset = (hours * 60 + minutes) * 60;
                match zone.get(..1)? {
                    "+" => offset,
                    "-" => -offset,
                    _ => return None,
                }
            }
        };
        let in_range = (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
        let days = days_before_year(year) + days_before_month(year, month) + day - 1;
        if !in_range || !(1..=days_in_month(year, month)).contains(&day) {
            return None;
        }
        let seconds = days * DAY + hour * 3600 + minute * 60 + second.min(59) - offset;
        Some(Self { days: seconds.div_euclid(DAY), seconds: u32::try_from(seconds.rem_euclid(DAY)).ok()? })
    }

    /// Seconds since 1970.
    fn unix_seconds(self) -> i64 {
        (self.days - days_before_year(1970)) * DAY + i64::from(self.seconds)
    }

    /// A format in which [`unknown_sign`] has found none.
    pub(crate) fn format(self, format: &str) -> String {
        // No year has more days than 366, so the guess is never too late.
        let mut year = self.days / 366;
        while days_before_year(year + 1) <= self.days {
            year += 1;
        }
        let day_of_year = self.days - days_before_year(year);
        let mut month = 1;
        while month < 12 && days_before_month(year, month + 1) <= day_of_year {
            month += 1;
        }
        let day = day_of_year - days_before_month(year, month) + 1;
        let mut text = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                text.push(character);
                continue;
            }
            match characters.next() {
                Some('Y') => text += &format!("{year:04}"),
                Some('y') => text += &format!("{:02}", year % 100),
                Some('m') => text += &format!("{month:02}"),
                Some('d') => text += &format!("{day:02}"),
                Some('j') => text += &format!("{:03}", day_of_year + 1),
                Some('H') => text += &format!("{:02}", self.seconds / 3600),
                Some('M') => text += &format!("{:02}", self.seconds / 60 % 60),
                Some('S') => text += &format!("{:02}", self.seconds % 60),
                other => text.extend(other),
            }
        }
        text
    }
}

const DAY: i64 = 86_400;

/// Numbers of these lengths, with nothing but the separator between them.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let part = parts.next()?;
        if part.len() != length || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from the beginning of the year 0 (of the calendar as if it had always held).
fn days_before_year(year: i64) -> i64 {
    if year == 0 {
        return 0;
    }
    let last = year - 1;
    year * 365 + last / 4 - last / 100 + last / 400 + 1
}

fn days_before_month(year: i64, month: i64) -> i64 {
    (1..month).map(|month| days_in_month(year, month)).sum()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
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
    fn every_day_has_its_name() {
        let mut days = Moment::parse("1999-01-01T00:00:00Z").unwrap().days;
        for year in 1999..2101 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    let moment = Moment { days, seconds: 0 };
                    assert_eq!(moment.format("%Y-%m-%d"), format!("{year}-{month:02}-{day:02}"));
                    days += 1;
                }
            }
        }
    }

    #[test]
    fn unknown_signs_are_named() {
        assert_eq!(unknown_sign("%Y/%m/%d-%H%M%S.%j%%%y"), None);
        assert_eq!(unknown_sign("%Y%B").as_deref(), Some("%B"));
        assert_eq!(unknown_sign("%Y%").as_deref(), Some("%"));
    }
}
