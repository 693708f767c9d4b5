//! Pauses between connections that fail, which all files of a process share: a partner that closes connections does
//! not see one for each file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use bridge::{Error, Result};
use sftp::Session;

use crate::Manners;

/// After the first failure, and the longest after any.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The failures in a row of this process.
pub(crate) struct Spacing {
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// All failures of the process so far.
    total: u64,
    /// Those since a session worked.
    failures: Option<Failures>,
}

/// A connection was refused or broke before it carried anything, and so did those before it.
struct Failures {
    count: u32,
    last: Error,
    at: SystemTime,
    /// From then on.
    pause: Duration,
    /// Whose loss this is: many files may report the same one.
    session: Weak<Session>,
}

impl Spacing {
    pub(crate) fn new(manners: Manners) -> Self {
        Self { patience: manners.patience, state: Mutex::default() }
    }

    /// How often connections have failed so far: what a call tells when it waits.
    pub(crate) fn total(&self) -> u64 {
        self.state().total
    }

    /// Waits until the next connection is due. `total` is that of the moment when the call began.
    ///
    /// # Errors
    /// The last failure, if it came since the call began: all that wait share one attempt. Else the last failure, at once, if that takes longer than a call may wait. Then the caller is the patient one.
    pub(crate) async fn wait(&self, total: u64) -> Result<()> {
        let rest = {
            let state = self.state();
            let Some(failures) = state.failures.as_ref() else { return Ok(()) };
            if state.total > total {
                return Err(failures.last.clone());
            }
            let rest = failures.rest();
            if rest > self.patience {
                return Err(failures.not_tried());
            }
            rest
        };
        tokio::time::sleep(rest).await;
        Ok(())
    }

    /// A connection could not be made.
    pub(crate) fn failed(&self, error: &Error) {
        self.count(error, Weak::new());
    }

    /// A session ended before it carried anything.
    pub(crate) fn lost(&self, session: &Arc<Session>, error: &Error) {
        let session = Arc::downgrade(session);
        let is_known = self.state().failures.as_ref().is_some_and(|known| known.session.ptr_eq(&session));
        if !is_known {
            self.count(error, session);
        }
    }

    /// A session did its work.
    pub(crate) fn worked(&self) {
        self.state().failures = None;
    }

    /// The last failure, if the pauses have grown so long that further files need not be tried now.
    pub(crate) fn out_of_reach(&self) -> Option<Error> {
        let state = self.state();
        let failures = state.failures.as_ref()?;
        (pause(failures.count) >= self.patience).then(|| failures.last.clone())
    }

    fn count(&self, error: &Error, session: Weak<Session>) {
        let mut state = self.state();
        let count = state.failures.as_ref().map_or(1, |failures| failures.count.saturating_add(1));
        // Half of it and the whole: many that were cut off together do not come back together.
        let pause = pause(count).mul_f64(0.5 + fastrand::f64() / 2.0);
        tracing::warn!(%error, count, pause_ms = pause.as_millis() as u64, "no connection got anywhere; the next one waits");
        state.total += 1;
        state.failures = Some(Failures { count, last: error.clone(), at: SystemTime::now(), pause, session });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(PAUSE_MAX)
}

impl Failures {
    /// A clock that was set back has told no time.
    fn rest(&self) -> Duration {
        self.pause.saturating_sub(self.at.elapsed().unwrap_or_default())
    }

    fn not_tried(&self) -> Error {
        let Self { count, last, at, pause, .. } = self;
        let (at, until) = (aws::timestamp(*at), aws::timestamp(*at + *pause));
        let words = last.message();
        last.name.error(format!(
            "{words} (not tried again: this is failure {count} in a row, of {at}, and the next connection is made from \
             {until} on)"
        ))
    }
}

#[cfg(test)]
mod tests {
    use bridge::ErrorName;
    use tokio::time::Instant;

    use super::*;

    async fn waited(spacing: &Spacing) -> Result<Duration> {
        let started = Instant::now();
        spacing.wait(spacing.total()).await.map(|()| started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_grows_until_it_is_left_to_the_caller() {
        let spacing = Spacing::new(Manners::LAMBDA);
        let error = ErrorName::ConnectFailed.error("closed");
        assert_eq!(waited(&spacing).await.unwrap(), Duration::ZERO);
        for nominal in [200, 400, 800, 1600, 3200] {
            spacing.failed(&error);
            let waited = waited(&spacing).await.unwrap().as_millis();
            // The failure was a moment ago.
            assert!((nominal / 2 - 50..=nominal + 1).contains(&waited), "{waited} of {nominal} ms");
            assert_eq!(spacing.out_of_reach(), None);
        }
        for _ in 0..2 {
            spacing.failed(&error);
        }
        let refused = waited(&spacing).await.unwrap_err();
        assert_eq!(refused.name, ErrorName::ConnectFailed);
        assert!(
            refused.message().starts_with("closed (not tried again: this is failure 7 in a row"),
            "{refused}"
        );
        assert_eq!(spacing.out_of_reach(), Some(error.clone()));
        spacing.worked();
        assert_eq!(waited(&spacing).await.unwrap(), Duration::ZERO);
        assert_eq!(spacing.out_of_reach(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_wait_share_one_attempt() {
        let spacing = Spacing::new(Manners::COMMAND_LINE);
        let (error, total) = (ErrorName::ConnectFailed.error("closed"), spacing.total());
        spacing.failed(&error);
        assert_eq!(spacing.wait(total).await, Err(error));
        assert_eq!(spacing.wait(spacing.total()).await, Ok(()), "a later call makes its own");
        spacing.worked();
        assert_eq!(spacing.wait(total).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_command_line_waits_out_every_pause() {
        let spacing = Spacing::new(Manners::COMMAND_LINE);
        let error = ErrorName::ConnectFailed.error("closed");
        for count in 1..20 {
            spacing.failed(&error);
            assert!(waited(&spacing).await.unwrap() <= PAUSE_MAX);
            assert_eq!(spacing.out_of_reach().is_some(), count >= 9, "{count}");
        }
    }
}
