//! A newer upload after this one was published: an older version must not stay over a newer one.

use aws::{Newer, Standing};
use bridge::{Checkpoint, ObjectSummary, Outcome, Result, Route};

use crate::work::{Next, Work};

impl Work<'_> {
    /// If S3 knows of a newer upload after something was written under a final name, this execution delivers that upload
    /// as well: the newer one's own execution may have published it before, and was overwritten. `None` if there is
    /// nothing to follow.
    pub(crate) async fn follow(
        &self,
        checkpoint: &mut Checkpoint,
        standing: Standing,
    ) -> Result<Option<Next>> {
        let policy = &self.call.settings().policy;
        // With `fail` and `keep-both` nothing was replaced. With a date in its path, the newer one has another name.
        let may_replace = !policy.if_exists.keeps() && !policy.remote_path.has_date();
        let Newer { reason, version_id } = match standing {
            Standing::Superseded(newer) if may_replace => newer,
            _ => {
                mark_newest(checkpoint);
                return Ok(None);
            }
        };
        let outcome = checkpoint.phase.publication().map(|publication| publication.outcome);
        if outcome == Some(Outcome::AlreadyDelivered) {
            // Nothing was written.
            self.clear_asides(checkpoint).await?;
            return Ok(Some(self.superseded_receipt(checkpoint, reason)));
        }
        let s3 = &self.call.deps.clients.s3;
        let Some(newest) = aws::pin_newer(s3, &checkpoint.object, version_id.as_deref()).await? else {
            checkpoint.warn(format!(
                "{reason}; the newer upload was deleted meanwhile. Ask the partner whether the newer file arrived"
            ));
            mark_newest(checkpoint);
            return Ok(None);
        };
        self.clear_asides(checkpoint).await?;
        tracing::warn!(
            reason,
            "published, and overtaken at the same time; delivering the newer upload as well"
        );
        let (location, execution) = (&self.call.settings().location, &self.call.input.execution);
        let summary = ObjectSummary::from(&newest);
        let route = Route::new(location, policy, &summary, &execution.id, &execution.start_time)?;
        let begun = Checkpoint::start(newest, route, aws::now());
        let former = std::mem::replace(checkpoint, begun).report;
        let report = &mut checkpoint.report;
        report.repairs = Some(format!(
            "{reason}. It came while an older one was being published, so this execution delivered the newer one as well"
        ));
        report.credential_version_id = former.credential_version_id;
        report.bytes_sent = former.bytes_sent;
        Ok(Some(Next::CallAgain))
    }
}

fn mark_newest(checkpoint: &mut Checkpoint) {
    if let Some(publication) = checkpoint.phase.publication_mut() {
        publication.is_newest = true;
    }
}
