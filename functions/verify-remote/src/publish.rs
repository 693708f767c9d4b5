//! Publishing: the only place where the final name comes into being.

use bridge::{RemotePaths, Result};
use sftp::Sftp;

pub(crate) enum Published {
    /// By us; with what a person should know.
    Now(Vec<String>),
    /// Another execution of the same version was faster.
    ByAnother,
}

/// Renames the proved partial file onto the final name.
pub(crate) async fn publish(sftp: &Sftp, remote: &RemotePaths, size: u64) -> Result<Published> {
    match sftp.rename(&remote.partial, &remote.path).await {
        Ok(()) => Ok(Published::Now(Vec::new())),
        Err(error) if error.is_not_found() && is_there(sftp, &remote.path, Some(size)).await? => {
            Ok(Published::ByAnother)
        }
        // Without posix-rename an existing name stands in the way. Between the two requests there is no file of that
        // name; a reader sees none or a whole one, never a part.
        Err(error)
            if error.is_status() && !sftp.can_replace() && is_there(sftp, &remote.path, None).await? =>
        {
            sftp.remove(&remote.path).await?;
            sftp.rename(&remote.partial, &remote.path).await?;
            Ok(Published::Now(vec![
                "the server cannot replace a file in one step: the former one was removed just before".into(),
            ]))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether there is a file, of this size if one is given.
async fn is_there(sftp: &Sftp, path: &str, size: Option<u64>) -> Result<bool> {
    match sftp.stat(path).await {
        Ok(Some(attributes)) => Ok(size.is_none() || attributes.size == size),
        Ok(None) => Ok(false),
        Err(error) if error.is_status() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
