//! A file under the final name that may be this very object: after a duplicate event, or in a new execution.

use std::sync::Arc;

use bridge::{Checksum, ErrorName, IfExists, NUMBER_MAX, PinnedObject, Result, Route};
use partner::Answer;
use partner::files::{Reply, refuse_directory};
use sftp::{Attributes, Session, Status};

use crate::send::acknowledged::Found;
use crate::send::sending::Sending;

/// What is decided about one name.
enum Decision {
    /// This file may be the object.
    Found(Checksum),
    /// Send the object.
    Send,
    /// Look at the next number.
    NextName,
}

impl Sending<'_> {
    /// Looks only while nothing is sent.
    ///
    /// # Errors
    /// `RemotePathRejected` for another file that must not be replaced, `InvalidConfig` if the server does not show
    /// whether there is one.
    pub(super) async fn find_delivered(
        &self,
        session: &Arc<Session>,
        object: &PinnedObject,
        route: &Route,
        offset: u64,
    ) -> Result<Option<Found>> {
        if offset > 0 {
            return Ok(None);
        }
        for number in 0..=NUMBER_MAX {
            let path = route.numbered(number);
            let told = match Reply::of(session.sftp().stat(&path).await)? {
                Reply::Done(told) => told,
                Reply::Refused(refusal) => return self.ensure_nothing_to_keep(&refusal).map(|()| None),
            };
            if number == 0 && !route.is_direct() {
                self.call.deps.partner.told.remember(session, &path, Answer::of(told));
            }
            let Some(attributes) = told else { return Ok(None) };
            match self.decide(&path, &attributes, object)? {
                Decision::Found(checksum) => return Ok(Some(Found { number, checksum })),
                Decision::Send => return Ok(None),
                Decision::NextName => {}
            }
        }
        Ok(None)
    }

    /// A server that shows nothing is no reason not to deliver, unless a file that exists has to be kept.
    fn ensure_nothing_to_keep(&self, refusal: &Status) -> Result<()> {
        let if_exists = self.settings().policy.if_exists;
        if !if_exists.keeps() {
            return Ok(());
        }
        Err(ErrorName::InvalidConfig.error(format!(
            "SFTP_IF_EXISTS is {}, but the server does not show which files exist: {refusal}; nothing was sent. Set it to replace",
            if_exists.as_str()
        )))
    }

    fn decide(&self, path: &str, attributes: &Attributes, object: &PinnedObject) -> Result<Decision> {
        let if_exists = self.settings().policy.if_exists;
        if if_exists != IfExists::KeepBoth {
            refuse_directory(path, attributes)?;
        }
        let stored = object.checksum.as_ref();
        let same_size = attributes.size == Some(object.size);
        let is_later = attributes
            .modified
            .zip(object.last_modified)
            .is_some_and(|(modified, stored_at)| i64::from(modified) >= stored_at);
        let is_likely = same_size && (is_later || matches!(if_exists, IfExists::Skip | IfExists::Fail));
        if let Some(stored) = stored.filter(|_| is_likely && self.may_guess()) {
            return Ok(Decision::Found(stored.clone()));
        }
        match if_exists {
            IfExists::Replace | IfExists::Skip => Ok(Decision::Send),
            // The contents decide when the file is published.
            IfExists::Fail if same_size && stored.is_none() => Ok(Decision::Send),
            IfExists::Fail => Err(ErrorName::RemotePathRejected
                .error(format!("{path:?} exists, and SFTP_IF_EXISTS is fail; nothing was published"))),
            IfExists::KeepBoth => Ok(Decision::NextName),
        }
    }

    /// A wrong guess costs the one time that a file may be sent again.
    fn may_guess(&self) -> bool {
        let checkpoint = self.checkpoint();
        let is_first_try = checkpoint.report.repairs.is_none() || checkpoint.sent.restarts == 0;
        self.call.input.resends == 0 && is_first_try
    }
}
