//! What needs a session with the partner's server. A lost session is followed by another.

use aws::Standing;
use bridge::{Checkpoint, Outcome, Phase, Publication, Result};
use partner::Persistence;

use crate::call::Call;
use crate::mark::Marked;
use crate::turn::{End, Published};
use crate::work::{Next, Work};

/// Whether S3 has just said which upload is the newest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    JustNow,
    NotYet,
}

impl Call<'_> {
    /// Runs the phases that need a session.
    pub(crate) async fn on_server(&self, checkpoint: &mut Checkpoint) -> Result<Next> {
        let credential = &self.input.credential;
        let mut persistence = Persistence::default();
        loop {
            let start = checkpoint.reached();
            let accepted = checkpoint.report.credential_version_id.clone();
            let outcome = self.deps.partner.with_session(credential, accepted.as_deref(), async |session| {
                checkpoint.report.credential_version_id = credential.accepted(session.label());
                Work::new(self, session).run(checkpoint).await
            });
            let error = match outcome.await {
                Ok(next) => return Ok(next),
                Err(error) => error,
            };
            let progress = checkpoint.reached() > start;
            if self.stop.has_passed() || !persistence.goes_on(&error, progress, self.stop).await {
                return Err(error);
            }
        }
    }
}

impl Work<'_> {
    async fn run(&self, checkpoint: &mut Checkpoint) -> Result<Next> {
        let mut asked = Asked::NotYet;
        if checkpoint.phase.publication().is_none() {
            let published = match Box::pin(self.publish_file(checkpoint)).await? {
                End::Published(published) => published,
                End::Superseded(reason) => return Ok(self.superseded_receipt(checkpoint, reason)),
                End::OutOfTime => return Ok(Next::CallAgain),
            };
            if let Some(standing) = self.record(checkpoint, published) {
                asked = Asked::JustNow;
                if let Some(next) = self.follow(checkpoint, standing).await? {
                    return Ok(next);
                }
            }
        }
        Box::pin(self.finish(checkpoint, asked)).await
    }

    /// From now on the checkpoint says that the file is published. Returns what S3 said after that, if it was asked.
    fn record(&self, checkpoint: &mut Checkpoint, published: Published) -> Option<Standing> {
        let Published { outcome, proof, unconfirmed, standing } = published;
        checkpoint.phase = Phase::Published(Publication {
            outcome,
            path: checkpoint.final_path(),
            proof,
            host_key_fingerprint: Some(self.host_key_fingerprint.to_owned()),
            marker: None,
            unconfirmed,
            // What was there before was not put there by us.
            is_newest: outcome == Outcome::AlreadyDelivered,
        });
        standing
    }

    /// Sees to it that the newest upload is published, and puts the marker beside it.
    async fn finish(&self, checkpoint: &mut Checkpoint, asked: Asked) -> Result<Next> {
        let publication = checkpoint.phase.publication();
        let is_newest = publication.is_some_and(|publication| publication.is_newest);
        let needs_marker = publication.is_some_and(|publication| self.call.needs_marker(publication));
        // A marker describes the file that is there: none is written for a file that was replaced since.
        if !is_newest || needs_marker && asked == Asked::NotYet {
            let standing = self.call.standing(checkpoint).await?;
            if let Some(next) = self.follow(checkpoint, standing).await? {
                return Ok(next);
            }
        }
        self.clear_asides(checkpoint).await?;
        if !needs_marker {
            return Ok(Next::Settle);
        }
        match self.mark(checkpoint).await? {
            Marked::Written => {
                let standing = self.call.standing(checkpoint).await?;
                Ok(self.follow(checkpoint, standing).await?.unwrap_or(Next::Settle))
            }
            Marked::AsItWas => Ok(Next::Settle),
            Marked::OutOfTime => Ok(Next::CallAgain),
        }
    }
}
