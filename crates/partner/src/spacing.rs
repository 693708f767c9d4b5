//! Pauses between failed connections. All files of a process share them, so that a server that is away or closes connections
//! does not get one from each file.

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use bridge::{Error, Result, lock};
use sftp::Session;

use crate::manners::Manners;
use crate::reachability::Reachability;

/// Pause after the first failure.
const PAUSE: Duration = Duration::from_millis(200);

/// The connections of this process that failed in a row.
pub(crate) struct Spacing {
    manners: Manners,
    state: Mutex<State>,
}

struct State {
    /// All failures of the process so far.
    total: u64,
    contact: Contact,
}

/// What became of the last connection.
enum Contact {
    NotTried,
    Worked,
    Failing(Failures),
}

/// Connections in a row that failed, or were lost before they carried any data.
struct Failures {
    count: u32,
    last: Error,
    /// When the first of them failed.
    since: SystemTime,
    /// When the last of them failed. By the wall clock, because other clocks stop while a Lambda function is frozen between
    /// two calls.
    at: SystemTime,
    /// Pause after `at`.
    pause: Duration,
    /// The lost session: several files may report the same one.
    session: Weak<Session>,
}

/// What a call may do that wants to connect.
enum Turn {
    ConnectAfter(Duration),
    Fail(Error),
}

impl Spacing {
    pub(crate) fn new(manners: Manners) -> Self {
        Self { manners, state: Mutex::new(State { total: 0, contact: Contact::NotTried }) }
    }

    /// Number of failures so far. A call reads it when it begins, and passes it to [`wait`](Self::wait).
    pub(crate) fn total(&self) -> u64 {
        self.state().total
    }

    /// Waits until the next connection may be made. `total` is the number of failures when the call began.
    ///
    /// # Errors
    /// The last failure: if it happened after the call began, because waiting calls share one attempt; or if the pause is
    /// longer than a call may wait.
    pub(crate) async fn wait(&self, total: u64) -> Result<()> {
        match self.turn(total, SystemTime::now()) {
            Turn::ConnectAfter(rest) => tokio::time::sleep(rest).await,
            Turn::Fail(error) => return Err(error),
        }
        Ok(())
    }

    fn turn(&self, total: u64, now: SystemTime) -> Turn {
        let state = self.state();
        let Contact::Failing(failures) = &state.contact else { return Turn::ConnectAfter(Duration::ZERO) };
        if state.total > total {
            return Turn::Fail(failures.last.clone());
        }
        match failures.rest(now) {
            rest if rest > self.manners.patience => Turn::Fail(failures.not_tried()),
            rest => Turn::ConnectAfter(rest),
        }
    }

    /// A connection could not be made.
    pub(crate) fn failed(&self, error: &Error) {
        self.count(error, Weak::new(), SystemTime::now());
    }

    /// A session was lost before it carried any data.
    pub(crate) fn lost(&self, session: &Arc<Session>, error: &Error) {
        let session = Arc::downgrade(session);
        let is_known = self.state().contact.failures().is_some_and(|known| known.session.ptr_eq(&session));
        if !is_known {
            self.count(error, session, SystemTime::now());
        }
    }

    /// A session has worked, or the server has refused the login: it is there.
    pub(crate) fn worked(&self) {
        self.state().contact = Contact::Worked;
    }

    pub(crate) fn reachability(&self) -> Reachability {
        match &self.state().contact {
            Contact::NotTried => Reachability::Unknown,
            Contact::Worked => Reachability::Reachable,
            Contact::Failing(Failures { since, count, .. }) => {
                Reachability::Unreachable { since: *since, attempts: (*count).into() }
            }
        }
    }

    /// The last failure, if the pauses have become so long that further files should not be tried now.
    pub(crate) fn out_of_reach(&self) -> Option<Error> {
        let state = self.state();
        let failures = state.contact.failures()?;
        (self.pause(failures.count) >= self.manners.patience).then(|| failures.last.clone())
    }

    fn count(&self, error: &Error, session: Weak<Session>, now: SystemTime) {
        let mut state = self.state();
        let (count, since) = state
            .contact
            .failures()
            .map_or((1, now), |failures| (failures.count.saturating_add(1), failures.since));
        // Between half of it and all: files that were cut off together do not reconnect together.
        let pause = self.pause(count).mul_f64(0.5 + fastrand::f64() / 2.0);
        tracing::warn!(%error, count, pause_ms = pause.as_millis() as u64, "a connection failed; the next one waits");
        state.total += 1;
        state.contact =
            Contact::Failing(Failures { count, last: error.clone(), since, at: now, pause, session });
    }

    fn pause(&self, failures: u32) -> Duration {
        PAUSE.saturating_mul(2u32.saturating_pow(failures.saturating_sub(1))).min(self.manners.pause_max)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Contact {
    fn failures(&self) -> Option<&Failures> {
        match self {
            Self::Failing(failures) => Some(failures),
            Self::NotTried | Self::Worked => None,
        }
    }
}

impl Failures {
    /// If the clock was set back, the whole pause remains.
    fn rest(&self, now: SystemTime) -> Duration {
        self.pause.saturating_sub(now.duration_since(self.at).unwrap_or_default())
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
mod away;

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
            assert!(waited(&spacing).await.unwrap() <= Manners::COMMAND_LINE.pause_max);
            assert_eq!(spacing.out_of_reach().is_some(), count >= 9, "{count}");
        }
    }

    #[test]
    fn story_176_it_is_known_since_when_no_connection_works() {
        let spacing = Spacing::new(Manners::LAMBDA);
        let error = ErrorName::ConnectFailed.error("closed");
        assert_eq!(spacing.reachability(), Reachability::Unknown);
        let first = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        for minutes in 0..3 {
            spacing.count(&error, Weak::new(), first + Duration::from_secs(60 * minutes));
            let since = Reachability::Unreachable { since: first, attempts: minutes + 1 };
            assert_eq!(spacing.reachability(), since);
        }
        spacing.worked();
        assert_eq!(spacing.reachability(), Reachability::Reachable);
        let again = first + Duration::from_secs(3600);
        spacing.count(&error, Weak::new(), again);
        assert_eq!(spacing.reachability(), Reachability::Unreachable { since: again, attempts: 1 });
    }
}
