//! The work of a call within one session.

use std::sync::Arc;

use bridge::{Checkpoint, Outcome, Receipt};
use partner::Answer;
use sftp::{Session, Sftp};

use crate::call::Call;

/// What comes after the work on the server.
pub(crate) enum Next {
    /// The file is published, and its marker, if there is to be one. The object is to be settled.
    Settle,
    /// The delivery has ended without a file of ours.
    End(Box<Receipt>),
    /// The state machine calls again. The checkpoint says how far the delivery has come, and of which upload it is.
    CallAgain,
}

/// The work of a call within one session.
pub(crate) struct Work<'a> {
    pub(crate) call: &'a Call<'a>,
    session: &'a Arc<Session>,
    pub(crate) sftp: &'a Sftp,
    pub(crate) host_key_fingerprint: &'a str,
}

impl<'a> Work<'a> {
    pub(crate) fn new(call: &'a Call<'a>, session: &'a Arc<Session>) -> Self {
        Self { call, session, sftp: session.sftp(), host_key_fingerprint: session.host_key_fingerprint() }
    }

    /// What this session was told of a path a moment ago.
    pub(crate) fn told(&self, path: &str) -> Option<Answer> {
        self.call.deps.partner.told.take(self.session, path)
    }

    /// The delivery ends because a newer upload takes the object's place.
    pub(crate) fn superseded_receipt(&self, checkpoint: &Checkpoint, reason: String) -> Next {
        let receipt = self.call.receipt(Outcome::Superseded, checkpoint);
        let host_key_fingerprint = Some(self.host_key_fingerprint.to_owned());
        Next::End(Box::new(Receipt { reason: Some(reason), host_key_fingerprint, ..receipt }))
    }
}
