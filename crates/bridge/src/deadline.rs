//! The moment by which an invocation has to have answered.

use std::time::{Duration, Instant};

/// When Lambda ends the invocation; outside of Lambda: never.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No limit.
    pub const NEVER: Self = Self(None);

    /// So long from now.
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now().checked_add(duration))
    }

    /// This moment less `reserve`, or less this `share` of the time left where that is shorter.
    pub fn less(self, reserve: Duration, share: u32) -> Self {
        Self(self.0.map(|instant| instant - (self.remaining() / share).min(reserve)))
    }

    /// The time left; a year if there is no limit.
    pub fn remaining(self) -> Duration {
        match self.0 {
            Some(instant) => instant.saturating_duration_since(Instant::now()),
            None => Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// Whether it is over.
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
