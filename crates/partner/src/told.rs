//! What a session was told of a path a moment ago, so that the next step need not ask again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use bridge::lock;
use sftp::{Attributes, Session};

use crate::files::Seen;

/// A server's answer to a STAT of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is under the path. Never [`Seen::Hidden`].
    pub seen: Seen,
    /// Its attributes, as the server told them.
    pub attributes: Attributes,
}

impl Answer {
    /// Of a STAT that the server did not refuse. If it does not tell the type of what is there, it is taken for a file.
    pub fn of(told: Option<Attributes>) -> Self {
        let attributes = told.unwrap_or_default();
        let seen = match told {
            None => Seen::Nothing,
            Some(told) if told.is_directory() == Some(true) => Seen::Directory,
            Some(told) => Seen::File(told.size),
        };
        Self { seen, attributes }
    }
}

/// How long an answer is believed. Others work on the server, too.
const FRESH: Duration = Duration::from_secs(5);
/// Maximum number of answers that are kept. More files than that are not delivered at the same time.
const KEPT_MAX: usize = 1024;

/// What the sessions of this process were told a moment ago. Each answer is given once, and only for the session that
/// got it: other sessions may lead to another machine, or to another view of the same files.
#[derive(Debug, Default)]
pub struct Told(Mutex<VecDeque<Entry>>);

#[derive(Debug)]
struct Entry {
    session: Weak<Session>,
    path: String,
    answer: Answer,
    /// By the wall clock: other clocks stand still while a process is frozen between two calls, as on Lambda.
    at: SystemTime,
}

impl Entry {
    fn is_of(&self, session: &Arc<Session>, path: &str) -> bool {
        self.path == path && std::ptr::eq(self.session.as_ptr(), Arc::as_ptr(session))
    }

    fn is_believed(&self, now: SystemTime) -> bool {
        // The clock may have been set back.
        let is_fresh = now.duration_since(self.at).is_ok_and(|age| age <= FRESH);
        is_fresh && self.session.strong_count() > 0
    }
}

impl Told {
    /// What the session was just told of the path. It takes the place of what the session was told of it before.
    pub fn remember(&self, session: &Arc<Session>, path: &str, answer: Answer) {
        self.remember_at(session, path, answer, SystemTime::now());
    }

    fn remember_at(&self, session: &Arc<Session>, path: &str, answer: Answer, now: SystemTime) {
        let mut entries = self.lock();
        entries.retain(|entry| entry.is_believed(now) && !entry.is_of(session, path));
        if entries.len() == KEPT_MAX {
            entries.pop_front();
        }
        entries.push_back(Entry { session: Arc::downgrade(session), path: path.to_owned(), answer, at: now });
    }

    /// What the session was told of the path in the last seconds, unless it was taken before.
    pub fn take(&self, session: &Arc<Session>, path: &str) -> Option<Answer> {
        self.take_at(session, path, SystemTime::now())
    }

    fn take_at(&self, session: &Arc<Session>, path: &str, now: SystemTime) -> Option<Answer> {
        let mut entries = self.lock();
        let index = entries.iter().position(|entry| entry.is_of(session, path))?;
        entries.remove(index).filter(|entry| entry.is_believed(now)).map(|entry| entry.answer)
    }

    /// The path is about to change: what any session was told of it is not believed any more.
    pub fn forget(&self, path: &str) {
        self.lock().retain(|entry| entry.path != path);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use bridge::TrustedHostKeys;
    use bytes::Bytes;
    use sftp::internals::Ends;
    use sftp::{Endpoint, Options};
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    /// A session with a server that has only said its version.
    async fn session() -> Arc<Session> {
        let ((to_client, from_server), (to_server, _from_client)) =
            (unbounded_channel(), unbounded_channel());
        to_client.send(Bytes::from_static(&[0, 0, 0, 5, 2, 0, 0, 0, 3])).unwrap();
        let endpoint = Endpoint { host: "h".into(), port: 22 };
        let unused = TrustedHostKeys::parse("SHA256:EqgMOfjVVOCSBqe5WRx1ct2B5wdXFrsg9q2wJ/ot6oU").unwrap();
        let ends = Ends { from_server, to_server };
        let session = sftp::internals::session(ends, endpoint, unused, Options::default());
        Arc::new(session.await.unwrap())
    }

    fn file(size: u64) -> Answer {
        Answer::of(Some(Attributes { size: Some(size), modified: Some(7), ..Attributes::default() }))
    }

    #[test]
    fn an_answer_keeps_what_the_server_told() {
        assert_eq!((file(3).seen, file(3).attributes.modified), (Seen::File(Some(3)), Some(7)));
        assert_eq!(Answer::of(None).seen, Seen::Nothing);
        let directory = Attributes { permissions: Some(0o040_755), ..Attributes::default() };
        assert_eq!(Answer::of(Some(directory)).seen, Seen::Directory);
    }

    #[tokio::test]
    async fn an_answer_is_given_once_and_only_on_its_session() {
        let (told, session, other) = (Told::default(), session().await, session().await);
        told.remember(&session, "a", file(1));
        told.remember(&session, "b", Answer::of(None));
        assert_eq!(told.take(&other, "a"), None, "another session");
        assert_eq!(told.take(&session, "c"), None, "another path");
        assert_eq!(told.take(&session, "a"), Some(file(1)));
        assert_eq!(told.take(&session, "a"), None, "it was taken");
        told.remember(&session, "b", file(2));
        assert_eq!(told.take(&session, "b"), Some(file(2)), "the newer answer counts");
        assert_eq!(told.take(&session, "b"), None, "and the older one is gone");
    }

    #[tokio::test]
    async fn an_answer_is_not_believed_for_long() {
        let (told, session, now) = (Told::default(), session().await, SystemTime::now());
        for (path, later) in [("at once", Duration::ZERO), ("in time", FRESH)] {
            told.remember_at(&session, path, file(1), now);
            assert_eq!(told.take_at(&session, path, now + later), Some(file(1)), "{path}");
        }
        let too_late = now + FRESH + Duration::from_millis(1);
        let set_back = now - Duration::from_secs(60);
        for at in [too_late, set_back] {
            told.remember_at(&session, "a", file(1), now);
            assert_eq!(told.take_at(&session, "a", at), None);
        }
        told.remember(&session, "a", file(1));
        told.forget("a");
        assert_eq!(told.take(&session, "a"), None, "the path has changed since");
    }

    #[tokio::test]
    async fn what_an_ended_session_was_told_and_too_many_answers_are_dropped() {
        let (told, ended, session) = (Told::default(), session().await, session().await);
        told.remember(&ended, "a", file(1));
        drop(ended);
        for number in 0..KEPT_MAX as u64 {
            told.remember(&session, &number.to_string(), file(number));
        }
        assert_eq!(told.lock().len(), KEPT_MAX);
        told.remember(&session, "one more", file(0));
        assert_eq!(told.lock().len(), KEPT_MAX);
        assert_eq!(told.take(&session, "0"), None, "the oldest has made room");
        assert_eq!(told.take(&session, "1"), Some(file(1)));
    }
}
