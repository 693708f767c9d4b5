//! Reconnecting after a lost connection, within one call.

use std::time::Duration;

use bridge::{Deadline, Error, ErrorName};
use sftp::Caps;
use tokio::time::Instant;

/// Maximum number of sessions in a row without progress.
const FRUITLESS_MAX: u32 = 4;
/// Maximum time without progress. Afterwards the retries of the state machine wait for the partner.
const OUT_OF_REACH_MAX: Duration = Duration::from_secs(30);
/// Pause before the first reconnect, and maximum pause.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Each session without progress makes the pause longer by this factor.
const FRUITLESS_FACTOR: f64 = 3.0;
/// Each reconnect of the call makes the pause longer by this factor, even with progress: if the connection is cut again and
/// again, the pause reaches its maximum after 67 reconnects.
const RECONNECT_FACTOR: f64 = 1.05;

/// Decides whether a call connects again. Only a call that has made progress does; the others leave that to the retries
/// of the state machine. A session that was lost and might use several connections or channels is followed by one more,
/// with one.
#[derive(Debug)]
pub struct Persistence {
    caps: Caps,
    fruitless: u32,
    reconnects: u32,
    /// End of the last session with progress.
    progressed_at: Option<Instant>,
}

impl Default for Persistence {
    fn default() -> Self {
        Self::with(Caps::ONE)
    }
}

impl Persistence {
    /// For a file that may use this many connections and channels.
    pub fn with(caps: Caps) -> Self {
        Self { caps, fruitless: 0, reconnects: 0, progressed_at: None }
    }

    /// How many connections and channels the next session may use. After a failed session: one.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// A session has ended with `error`. Returns whether to connect again, after a pause.
    pub async fn goes_on(&mut self, error: &Error, progress: bool, stop: Deadline) -> bool {
        let caps = std::mem::replace(&mut self.caps, Caps::ONE);
        // The server may have ended the session because of a second channel or connection, before it acknowledged or sent
        // anything. It would do so in every call.
        let try_alone = caps != Caps::ONE && error.name == ErrorName::ConnectionLost;
        self.is_worth_it(error, progress, stop).await || try_alone && !stop.has_passed()
    }

    async fn is_worth_it(&mut self, error: &Error, progress: bool, stop: Deadline) -> bool {
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
        // Between half of it and all: files that were cut off together do not reconnect together.
        let pause = self.pause().mul_f64(0.5 + fastrand::f64() / 2.0);
        if stop.remaining() <= pause {
            return false;
        }
        tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "the connection was lost; going on in another");
        self.reconnects += 1;
        tokio::time::sleep(pause).await;
        true
    }

    fn pause(&self) -> Duration {
        let exponent = |count: u32| i32::try_from(count.min(100)).unwrap_or_default();
        let factor = FRUITLESS_FACTOR.powi(exponent(self.fruitless))
            * RECONNECT_FACTOR.powi(exponent(self.reconnects));
        PAUSE.mul_f64(factor).min(PAUSE_MAX)
    }
}

#[cfg(test)]
mod tests {
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

    #[tokio::test(start_paused = true)]
    async fn a_session_with_several_connections_is_followed_by_one_with_a_single_connection() {
        let several = || Persistence::with(Caps { connections: 4, channels: 1 });
        let lost = ErrorName::ConnectionLost.error("cut");
        let mut persistence = several();
        assert_eq!(persistence.caps().connections, 4);
        assert!(persistence.goes_on(&lost, false, Deadline::NEVER).await, "without any progress");
        assert_eq!(persistence.caps(), Caps::ONE);
        assert!(!persistence.goes_on(&lost, false, Deadline::NEVER).await, "once");
        let refused = ErrorName::RemotePathRejected.error("no");
        assert!(!several().goes_on(&refused, false, Deadline::NEVER).await);
        assert!(!several().goes_on(&lost, false, Deadline::after(Duration::ZERO)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn story_83_the_pause_grows_with_each_reconnect_although_there_is_progress() {
        let lost = ErrorName::ConnectionLost.error("cut");
        let mut persistence = Persistence::default();
        let started = Instant::now();
        let mut at = Vec::new();
        for _ in 0..300 {
            assert!(persistence.goes_on(&lost, true, Deadline::NEVER).await);
            at.push(started.elapsed());
        }
        assert!(at[0] <= PAUSE, "one cut costs as little as ever: {:?}", at[0]);
        // A GiB that is cut once for each 20 MiB.
        assert!(at[50] < Duration::from_secs(50), "{:?}", at[50]);
        let last = at[299] - at[199];
        assert!(last > PAUSE_MAX / 2 * 100, "a hundred connections within {last:?}");
    }
}
