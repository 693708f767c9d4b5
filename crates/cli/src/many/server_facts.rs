//! What decides how many files are in progress at the same time.

use std::time::Duration;

use bridge::{CredentialReference, Result};
use partner::Partner;

use super::retries::{RETRIES_MAX, pause};

/// What decides how many files are in progress at the same time.
pub(crate) struct ServerFacts {
    /// Maximum number of files that may be open at once, if the server says so.
    pub(crate) open_files_max: Option<usize>,
    /// The shortest time that an answer took.
    pub(crate) round_trip: Duration,
}

impl ServerFacts {
    /// Logs in once, so that a partner that refuses the login refuses it once and not for each file.
    pub(crate) async fn ask(partner: &Partner, credential: &CredentialReference) -> Result<Self> {
        let mut retries = 0;
        loop {
            match Self::ask_once(partner, credential).await {
                Err(error) if error.name.is_connection_failure() && retries < RETRIES_MAX => {
                    pause(retries).await;
                    retries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn ask_once(partner: &Partner, credential: &CredentialReference) -> Result<Self> {
        let asking = partner.with_session(credential, None, async |session| {
            let sftp = session.sftp();
            // Without an answer, no limit is known.
            let limits = sftp.limits().await.ok().flatten();
            let open_files_max = limits.and_then(|limits| usize::try_from(limits.handles).ok());
            let open_files_max = open_files_max.filter(|max| *max > 0);
            Ok(Self { open_files_max, round_trip: sftp.round_trip() })
        });
        asking.await
    }
}
