//! Going on after a lost connection, within one call.

use std::time::Duration;

use bridge::{Deadline, Error};
use tokio::time::Instant;

/// So many sessions in a row may end without any progress.
const FRUITLESS_MAX: u32 = 4;
/// A partner that has been out of reach for so long is left to the state machine's patience.
const OUT_OF_REACH_MAX: Duration = Duration::from_secs(30);
/// Before the first reconnect, and the longest before any.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Decides whether to connect again. Only a call that has made progress does: before that, the state machine's
/// retries are the patient ones.
#[derive(Debug, Default)]
pub struct Persistence {
    fruitless: u32,
    /// When the last session ended that got anywhere.
    progressed_at: Option<Instant>,
}

impl Persistence {
    /// A session has ended with `error`, after progress or without. Waits and returns `true` if it is worth another.
    pub async fn goes_on(&mut self, error: &Error, progress: bool, stop: Deadline) -> bool {
        if progress {
            self.progressed_at = Some(Instant::now());
            self.fruitless = 0;
        } else {
            self.fruitless += 1;
        }
        let in_reach = self.progressed_at.is_some_and(|instant| instant.elapsed() < OUT_OF_REACH_MAX);
        if !error.name.is_connection_failure() || !in_reach || self.fruitless >= FRUITLESS_MAX {
            return false;
        }
        // Whole and half: many that were cut off together do not come back together.
        let pause = (PAUSE * 3u32.pow(self.fruitless)).min(PAUSE_MAX).mul_f64(0.5 + fastrand::f64() / 2.0);
        if stop.remaining() <= pause {
            return false;
        }
        tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "the connection was lost; going on in another");
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use bridge::ErrorName;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_is_followed_up_and_nothing_else() {
        let lost = ErrorName::ConnectionLost.error("cut");
        let mut persistence = Persistence::default();
        assert!(!persistence.goes_on(&lost, false, Deadline::NEVER).await, "the state machine retries");
        for _ in 0..100 {
            assert!(persistence.goes_on(&lost, true, Deadline::NEVER).await);
        }
        for _ in 1..FRUITLESS_MAX {
            assert!(persistence.goes_on(&lost, false, Deadline::NEVER).await);
        }
        assert!(!persistence.goes_on(&lost, false, Deadline::NEVER).await);
        assert!(persistence.goes_on(&lost, true, Deadline::NEVER).await);
        tokio::time::sleep(OUT_OF_REACH_MAX).await;
        assert!(!persistence.goes_on(&lost, false, Deadline::NEVER).await);
        let refused = ErrorName::RemotePathRejected.error("no");
        assert!(!Persistence::default().goes_on(&refused, true, Deadline::NEVER).await);
        let soon = Deadline::after(Duration::from_millis(1));
        assert!(!Persistence::default().goes_on(&lost, true, soon).await);
    }
}
