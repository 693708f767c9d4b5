//! An object that is gone because it was delivered: with `S3_AFTER_DELIVERY` as `delete` or `move`, a duplicate event or
//! a rerun finds it so.

use bridge::{Error, PinnedObject, RemotePaths, Result, TransferInput};

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
) -> Result<String> {
    let settings = &deps.partner.settings;
    if !settings.after_delivery.removes() {
        return Err(missing);
    }
    let path = RemotePaths::new(&settings.location, &settings.policy, object, time)?.path;
    let told = deps.partner.with_session(&input.credential, None, async |session| {
        match session.sftp().stat(&path).await {
            Err(error) if !error.is_status() => Err(error.into()),
            told => Ok(told.ok().flatten()),
        }
    });
    let told = told.await?;
    let is_it = |told: sftp::Attributes| {
        told.size == Some(object.size)
            && object
                .last_modified
                .is_none_or(|stored| told.modified.is_none_or(|time| i64::from(time) >= stored))
    };
    if told.is_some_and(is_it) {
        return Ok(format!(
            "the object is gone, as S3_AFTER_DELIVERY has it, and {path:?} is on the server with its size"
        ));
    }
    Err(missing.name.error(format!(
        "{}. S3_AFTER_DELIVERY takes objects away once they are delivered: if another execution has delivered this one and the partner has taken {path:?}, there is nothing to do; if not, upload it again",
        missing.message()
    )))
}
