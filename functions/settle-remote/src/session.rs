//! What needs a session with the partner's server.

use bridge::collect::{Afterwards, CollectCheckpoint, StoredObject};
use bridge::{ErrorName, Result};

use crate::call::Call;
use crate::work::{Became, Work};

impl Call<'_> {
    /// What becomes of the file. Warnings go into the checkpoint.
    pub(crate) async fn settle(
        &self,
        checkpoint: &mut CollectCheckpoint,
        stored: &StoredObject,
    ) -> Result<Became> {
        if self.deps.collect.afterwards == Afterwards::Leave {
            return Ok(Became::Left);
        }
        let credential = &self.input.credential;
        let accepted = checkpoint.report.credential_version_id.clone();
        let working = self.deps.partner.with_session(credential, accepted.as_deref(), async |session| {
            checkpoint.report.credential_version_id = credential.accepted(session.label());
            checkpoint.report.host_key_fingerprint = Some(session.host_key_fingerprint().to_owned());
            Work::new(self, session.sftp()).run(checkpoint, stored).await
        });
        tokio::time::timeout(self.limit.remaining(), working).await.unwrap_or_else(|_| {
            let host = &self.deps.settings.host;
            Err(ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline")))
        })
    }
}
