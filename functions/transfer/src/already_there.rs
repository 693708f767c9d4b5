//! A duplicate event or a rerun: a file under the final name that may be this very version.

use bridge::{Checksum, ErrorName, IfExists, NUMBER_MAX, PinnedObject, RemotePaths, Result};
use partner::files::refuse_directory;
use sftp::Sftp;

/// Its number, and the checksum by which `verify-remote` proves it before anyone relies on it.
///
/// # Errors
/// `RemotePathRejected` for another file that is not to be touched; `InvalidConfig` if that cannot be seen.
pub(crate) async fn find<'o>(
    sftp: &Sftp,
    if_exists: IfExists,
    object: &'o PinnedObject,
    remote: &RemotePaths,
    may_guess: bool,
) -> Result<Option<(u32, &'o Checksum)>> {
    let stored = object.checksum.as_ref();
    for number in 0..=NUMBER_MAX {
        let path = remote.numbered(number);
        let attributes = match sftp.stat(&path).await {
            Ok(Some(attributes)) => attributes,
            Ok(None) => return Ok(None),
            Err(error) if error.is_status() && if_exists.keeps() => {
                return Err(ErrorName::InvalidConfig.error(format!(
                    "SFTP_IF_EXISTS is {}, but the server does not let be seen what exists: {error}; nothing was sent. Set it to replace",
                    if_exists.as_str()
                )));
            }
            // A server that lets nothing be seen is no reason not to deliver.
            Err(error) if error.is_status() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if if_exists != IfExists::KeepBoth {
            refuse_directory(&path, &attributes)?;
        }
        let same_size = attributes.size == Some(object.size);
        let later = attributes
            .modified
            .zip(object.last_modified)
            .is_some_and(|(modified, stored_at)| i64::from(modified) >= stored_at);
        let likely = same_size && (later || matches!(if_exists, IfExists::Skip | IfExists::Fail));
        if let Some(stored) = stored.filter(|_| likely && may_guess) {
            return Ok(Some((number, stored)));
        }
        match if_exists {
            IfExists::Replace | IfExists::Skip => return Ok(None),
            // Of one of this size, the contents decide, before publishing at the latest.
            IfExists::Fail if same_size && stored.is_none() => return Ok(None),
            IfExists::Fail => {
                return Err(ErrorName::RemotePathRejected
                    .error(format!("{path:?} exists, and SFTP_IF_EXISTS is fail; nothing was published")));
            }
            IfExists::KeepBoth => {}
        }
    }
    Ok(None)
}
