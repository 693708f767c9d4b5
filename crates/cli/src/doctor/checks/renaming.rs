//! Renaming with both requests of SFTP, in the order of a delivery.

use std::time::{Duration, Instant};

use bridge::Publish;
use partner::files::{Onto, RenameRequest, Reply};
use sftp::Status;

use crate::doctor::examination::{Doctor, Step, answer};

/// Pause between two attempts at a rename that was refused.
const PAUSE: Duration = Duration::from_secs(1);

/// How a file was renamed. An answer is `None` if the request was not sent, or the file had been taken away by then.
pub(super) struct Renamed {
    /// Path of the file now.
    pub(super) at: String,
    /// The other of the two paths.
    other: String,
    plain: Option<Reply<()>>,
    posix: Option<Reply<()>>,
}

/// A rename that was refused at first.
pub(super) struct Waited {
    pub(super) time: Duration,
    pub(super) refusal: Status,
}

impl Renamed {
    /// Sends both requests; the one of a delivery first, because a drop box may take the file away after it.
    pub(super) async fn both(doctor: &mut Doctor, from: String, to: String) -> Step<Self> {
        let sftp = doctor.sftp()?;
        let mut renamed = Self { at: from, other: to, plain: None, posix: None };
        doctor.scratch.remember(&renamed.other);
        let keeps = doctor.configuration.settings.policy.if_exists.keeps();
        let requests = if keeps { Onto::Free.requests() } else { Onto::Any.requests() };
        for request in requests {
            if request == RenameRequest::Posix && !sftp.can_replace() {
                continue;
            }
            let reply = answer(request.send(&sftp, &renamed.at, &renamed.other).await)?;
            let is_gone = renamed.is_renamed() && reply.refusal().is_some_and(Status::is_not_found);
            if reply.is_done() {
                std::mem::swap(&mut renamed.at, &mut renamed.other);
            }
            let reply = (!is_gone).then_some(reply);
            match request {
                RenameRequest::Plain => renamed.plain = reply,
                RenameRequest::Posix => renamed.posix = reply,
            }
        }
        doctor.scratch.renamed(&renamed.other, &renamed.at);
        Ok(renamed)
    }

    /// Tries again as long as a delivery would: something may hold the file for some time after it was written. A server
    /// that says that it does not support renaming is believed at once.
    pub(super) async fn patiently(
        doctor: &mut Doctor,
        partial: String,
        path: String,
    ) -> Step<(Self, Option<Waited>)> {
        let policy = &doctor.configuration.settings.policy;
        let (keeps, is_direct) = (policy.if_exists.keeps(), matches!(policy.publish, Publish::Direct));
        // With the default time limit of 20 s, this is as long as a delivery tries.
        let patience = doctor.configuration.timeout() * 3 / 2;
        let started = Instant::now();
        let mut renamed = Self::both(doctor, partial, path).await?;
        let is_final = renamed.suffices(keeps) || !renamed.may_pass() || is_direct;
        let Some(refusal) = renamed.refusal().filter(|_| !is_final).cloned() else {
            return Ok((renamed, None));
        };
        while !renamed.suffices(keeps) && renamed.may_pass() && started.elapsed() < patience {
            tokio::time::sleep(PAUSE).await;
            renamed = Self::both(doctor, renamed.at, renamed.other).await?;
            if !renamed.is_renamed() {
                let (now, is_the_dot) = renamed.without_dot(doctor, keeps).await?;
                if is_the_dot {
                    return Ok((now, None));
                }
                renamed = now;
            }
        }
        Ok((renamed, Some(Waited { time: started.elapsed(), refusal })))
    }

    /// Tries a name without a leading dot, like most final names. If the server refuses only names with a dot, our names
    /// have none from now on, and the second value is true.
    async fn without_dot(self, doctor: &mut Doctor, keeps: bool) -> Step<(Self, bool)> {
        if !doctor.scratch.show() {
            return Ok((self, false));
        }
        let (hidden, visible) = (self.other, doctor.scratch.path(""));
        let renamed = Self::both(doctor, self.at, visible).await?;
        if !renamed.suffices(keeps) {
            doctor.scratch.hide();
            return Ok((Self { other: hidden, ..renamed }, false));
        }
        // If a lock has just passed, the server accepts the dot, too.
        let again = Self::both(doctor, renamed.at, hidden).await?;
        if again.suffices(keeps) {
            doctor.scratch.hide();
            return Ok((again, false));
        }
        Ok((Self { plain: renamed.plain, posix: renamed.posix, ..again }, true))
    }

    fn is_renamed(&self) -> bool {
        [&self.plain, &self.posix].into_iter().flatten().any(Reply::is_done)
    }

    fn refusals(&self) -> impl Iterator<Item = &Status> {
        [&self.posix, &self.plain].into_iter().flatten().filter_map(Reply::refusal)
    }

    /// The refusal that says most.
    pub(super) fn refusal(&self) -> Option<&Status> {
        self.refusals().find(|status| !status.is_unsupported()).or(self.refusals().next())
    }

    /// Whether the server refused, and did not say that it does not support renaming.
    fn may_pass(&self) -> bool {
        self.refusals().any(|status| !status.is_unsupported())
    }

    /// Whether the rename of a delivery works: its first request, or the second if the server does not support that.
    pub(super) fn works(&self, onto: Onto) -> Option<bool> {
        let [first, second] = onto.requests().map(|request| match request {
            RenameRequest::Plain => self.plain.as_ref(),
            RenameRequest::Posix => self.posix.as_ref(),
        });
        match first {
            Some(Reply::Done(())) => Some(true),
            Some(Reply::Refused(status)) if !status.is_unsupported() => Some(false),
            Some(Reply::Refused(_)) => Some(second.is_some_and(Reply::is_done)),
            None => second.map(Reply::is_done),
        }
    }

    /// Whether a rename works that the settings allow, or would allow with another `SFTP_IF_EXISTS`.
    pub(super) fn suffices(&self, keeps: bool) -> bool {
        self.works(Onto::Any) != Some(false) || keeps && self.works(Onto::Free) == Some(true)
    }

    /// For the finding.
    pub(super) fn in_words(&self, can_replace: bool) -> String {
        let posix = if can_replace { in_words(self.posix.as_ref()) } else { "not offered".into() };
        format!("plain: {}; posix-rename: {posix}", in_words(self.plain.as_ref()))
    }
}

pub(super) fn in_words(reply: Option<&Reply<()>>) -> String {
    match reply {
        Some(Reply::Done(())) => "yes".into(),
        Some(Reply::Refused(Status { code, message, .. })) if message.is_empty() => {
            format!("refused, {code}")
        }
        Some(Reply::Refused(Status { code, message, .. })) => format!("refused, {code}, {message:?}"),
        None => "not tried, the file had been taken away".into(),
    }
}
