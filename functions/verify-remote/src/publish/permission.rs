//! Whether S3 lets a file under the final name be replaced.

use aws::{Newer, Standing};
use bridge::{Checkpoint, Error, ErrorName, Result};
use partner::files::{Seen, look};

use crate::work::Work;

/// Whether a file under the final name may be replaced.
pub(crate) enum Permission {
    Granted,
    Superseded(Newer),
    /// Another execution may have delivered this very file.
    LookAgain,
}

impl Work<'_> {
    /// Whether a file under the final name may be replaced now.
    pub(super) async fn permission(&self, checkpoint: &Checkpoint) -> Result<Permission> {
        match self.call.standing(checkpoint).await? {
            Standing::Newest => Ok(Permission::Granted),
            Standing::Superseded(newer) => Ok(Permission::Superseded(newer)),
            Standing::Gone => self.permission_without_object(checkpoint).await,
        }
    }

    /// The object is gone, so S3 does not say whether there was a newer one. Under a free name nothing is overwritten.
    async fn permission_without_object(&self, checkpoint: &Checkpoint) -> Result<Permission> {
        let path = checkpoint.final_path();
        match look(self.sftp, &path).await? {
            Seen::Nothing => Ok(Permission::Granted),
            Seen::File(Some(size)) if size == checkpoint.object.size => Ok(Permission::LookAgain),
            _ => Err(cannot_tell(checkpoint, &path)),
        }
    }
}

/// The object is gone, and a file is there that may be newer.
fn cannot_tell(checkpoint: &Checkpoint, path: &str) -> Error {
    ErrorName::ObjectUnreadable.error(format!(
        "s3://{}/{} was deleted before its file was published, and {path:?} already exists: nothing tells which of the two is newer. Nothing was published; {:?} stays. If the deleted object is the newer one, upload it again",
        checkpoint.object.bucket, checkpoint.object.object_key, checkpoint.route.upload_path()
    ))
}
