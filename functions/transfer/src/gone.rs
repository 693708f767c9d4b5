//! An object that is gone because it was delivered: with `S3_AFTER_DELIVERY` as `delete` or `move`, a duplicate event or
//! a rerun finds it so.

use bridge::{
    Deadline, Error, ErrorName, IfExists, NUMBER_MAX, PinnedObject, RemotePaths, Result, TransferInput,
};
use sftp::{Attributes, Sftp};

use crate::Deps;

/// Whether the file is on the server. Its size is all that is left to know it by, and its time if S3 told it before.
///
/// # Errors
/// `missing`, explained, if there is no such file: nobody can tell then whether it was ever delivered.
pub(crate) async fn was_delivered(
    deps: &Deps,
    input: &TransferInput,
    object: &PinnedObject,
    time: &str,
    missing: Error,
    limit: Deadline,
) -> Result<String> {
    let settings = &deps.partner.settings;
    if !settings.after_delivery.removes() {
        return Err(missing);
    }
    let remote = RemotePaths::new(&settings.location, &settings.policy, object, time)?;
    let looking = deps.partner.with_session(&input.credential, None, async |session| {
        find(session.sftp(), settings.policy.if_exists, object, &remote).await
    });
    let found = tokio::time::timeout(limit.remaining(), looking).await;
    let found = found.unwrap_or_else(|_| {
        let host = &settings.host;
        Err(ErrorName::ConnectionLost.error(format!("{host}: no answer until the deadline")))
    })?;
    if let Some(path) = found {
        return Ok(format!(
            "the object is gone, as S3_AFTER_DELIVERY has it, and {path:?} is on the server with its size"
        ));
    }
    let path = &remote.path;
    Err(missing.name.error(format!(
        "{}. S3_AFTER_DELIVERY takes objects away once they are delivered: if another execution has delivered this one and the partner has taken {path:?}, there is nothing to do; if not, upload it again",
        missing.message()
    )))
}

/// The name under which it lies: with `keep-both`, a numbered one perhaps.
async fn find(
    sftp: &Sftp,
    if_exists: IfExists,
    object: &PinnedObject,
    remote: &RemotePaths,
) -> Result<Option<String>> {
    let is_it = |told: &Attributes| {
        let later = |stored| told.modified.is_none_or(|time| i64::from(time) >= stored);
        told.size == Some(object.size) && object.last_modified.is_none_or(later)
    };
    let numbers = if if_exists == IfExists::KeepBoth { NUMBER_MAX } else { 0 };
    for number in 0..=numbers {
        let path = remote.numbered(number);
        match sftp.stat(&path).await {
            Err(error) if !error.is_status() => return Err(error.into()),
            Ok(Some(told)) if is_it(&told) => return Ok(Some(path)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    Ok(None)
}
