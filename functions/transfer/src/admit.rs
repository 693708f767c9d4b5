//! Whether there is anything to send, and if so, which version of the object.

use aws::{ByteStream, Pin};
use bridge::{Checkpoint, ObjectSummary, Outcome, PinnedObject, Receipt, Report, Result, Route};

use crate::call::Call;

/// What the call has to do.
pub(crate) enum Admission {
    /// Nothing: the delivery ends here.
    Ended(Box<Receipt>),
    /// Nothing: an earlier call has sent every byte.
    SentBefore(Box<Checkpoint>),
    /// Send the object from the start. Its contents came with the answer that pinned it, if S3 was asked for the
    /// current version.
    New { checkpoint: Box<Checkpoint>, body: Option<ByteStream> },
    /// Continue an earlier call.
    Continue(Box<Checkpoint>),
}

impl Call<'_> {
    /// Decides before anything connects to the partner, unless the object is gone.
    pub(crate) async fn admit(&self) -> Result<Admission> {
        let (event, policy) = (&self.event, &self.settings().policy);
        if self.input.checkpoint.is_none()
            && let Some(reason) = policy.passes_over(&event.object_key)
        {
            return Ok(self.ended(Outcome::Skipped, event.into(), reason));
        }
        // The key of a folder marker ends in `/`. Whether this is one is known once it is pinned.
        if !event.object_key.ends_with('/') {
            Route::check(policy, &event.bucket, &event.object_key, self.time())?;
        }
        match &self.input.checkpoint {
            Some(checkpoint) if checkpoint.is_sending() => {
                Ok(Admission::Continue(Box::new(checkpoint.clone())))
            }
            Some(checkpoint) => Ok(Admission::SentBefore(Box::new(checkpoint.clone()))),
            None => self.admit_upload().await,
        }
    }

    async fn admit_upload(&self) -> Result<Admission> {
        match aws::pin(&self.deps.clients.s3, &self.event, self.deliverable()).await? {
            Pin::Superseded { object, reason } => Ok(self.ended(Outcome::Superseded, object, reason)),
            Pin::Returning { object, reason } => Ok(self.ended(Outcome::Skipped, object, reason)),
            Pin::Missing(error) => {
                // An input typed by hand does not say enough to recognise a delivered file by.
                if self.event.size.is_none() {
                    return Err(error);
                }
                let last_modified = self.event.event_time.as_deref().and_then(bridge::unix_seconds);
                let object = ObjectSummary { last_modified, ..ObjectSummary::from(&self.event) };
                let reason = Box::pin(self.was_delivered(&object, error)).await?;
                Ok(self.ended(Outcome::AlreadyDelivered, object, reason))
            }
            Pin::Object { object, body } => {
                match self.settings().skips(&object.bucket, &object.object_key, object.size) {
                    Some(reason) => Ok(self.ended(Outcome::Skipped, (&object).into(), reason)),
                    None => self.start(object, body),
                }
            }
        }
    }

    fn start(&self, object: PinnedObject, body: Option<ByteStream>) -> Result<Admission> {
        let (settings, execution) = (self.settings(), &self.input.execution);
        let (policy, summary) = (&settings.policy, ObjectSummary::from(&object));
        let route = Route::new(&settings.location, policy, &summary, &execution.id, self.time())?;
        if let Some(suffix) = settings.marker.suffix() {
            // A marker's name that is too long is refused before anything is sent.
            route.marker(route.path(), suffix, policy)?;
        }
        let checkpoint = Box::new(Checkpoint::start(object, route, aws::now()));
        Ok(Admission::New { checkpoint, body })
    }

    fn ended(&self, outcome: Outcome, object: ObjectSummary, reason: String) -> Admission {
        let report = Report { started_at: aws::now(), ..Report::default() };
        Admission::Ended(Box::new(self.receipt(outcome, object, &report, reason)))
    }
}
