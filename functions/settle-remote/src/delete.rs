//! Deletes the file.

use bridge::Result;
use bridge::collect::RemoteFile;
use partner::files::Reply;

use crate::work::{Became, Settled, Standing, Work};

impl Work<'_> {
    /// Deletes the file, if it is still the one that was collected.
    pub(crate) async fn delete(&self, file: &RemoteFile) -> Result<Settled> {
        let path = file.remote_path();
        let mut refusals = 0;
        loop {
            match self.standing(file).await? {
                Standing::Same => {}
                // An earlier request was carried out.
                Standing::Gone if refusals > 0 || self.call.is_retry() => return Ok(Became::Deleted.into()),
                Standing::Gone => return Ok(Became::Gone.into()),
                Standing::Changed(what) => return Ok(self.changed(file, what)),
                Standing::Hidden(refusal) => {
                    return Ok(Settled::left(format!("{path:?} was not deleted: {refusal}")));
                }
            }
            let refusal = match Reply::of(self.sftp.remove(&path).await)? {
                Reply::Done(()) => match self.standing(file).await? {
                    Standing::Same => "the server accepted it, and the file is still there".to_owned(),
                    Standing::Gone | Standing::Changed(_) | Standing::Hidden(_) => {
                        self.has_done();
                        return Ok(Became::Deleted.into());
                    }
                },
                Reply::Refused(refusal) => {
                    if self.waits(refusals, &refusal).await {
                        refusals += 1;
                        continue;
                    }
                    match self.standing(file).await? {
                        Standing::Gone => return Ok(Became::Deleted.into()),
                        _ => refusal.to_string(),
                    }
                }
            };
            return Ok(Settled::left(format!(
                "{path:?} is collected, but was not deleted: {refusal}. Ask the partner to let our user delete it, or set COLLECT_AFTERWARDS to leave"
            )));
        }
    }
}
