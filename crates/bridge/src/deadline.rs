//! The moment by which an invocation must answer.

use std::time::{Duration, Instant};

/// The moment at which Lambda ends the invocation. Outside Lambda, nothing ends it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No limit.
    pub const NEVER: Self = Self(None);

    /// This duration from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// An earlier deadline, by `reserve`, but by at most one `share`th of the time left.
    pub fn less(self, reserve: Duration, share: u32) -> Self {
        Self(self.0.map(|instant| instant - (self.remaining() / share).min(reserve)))
    }

    /// The time left. A year if there is no limit.
    pub fn remaining(self) -> Duration {
        match self.0 {
            Some(instant) => instant.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// Whether the deadline has passed.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_at_most_its_share() {
        let lambda = Deadline::after(Duration::from_secs(900)).less(Duration::from_secs(20), 4);
        assert!(
            lambda.remaining() > Duration::from_secs(870) && lambda.remaining() <= Duration::from_secs(880)
        );
        let short = Deadline::after(Duration::from_secs(4)).less(Duration::from_secs(20), 4);
        assert!(short.remaining() > Duration::from_secs(2) && short.remaining() <= Duration::from_secs(3));
        assert!(Deadline::after(Duration::ZERO).less(Duration::from_secs(1), 4).has_passed());
        assert!(!Deadline::NEVER.less(Duration::from_secs(1), 4).has_passed());
    }
}
