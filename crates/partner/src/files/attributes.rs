//! What a file or directory is beside its contents.

use bridge::{Checkpoint, Demand, ErrorName, Result};
use sftp::{Attributes, Sftp};

/// File systems that count in two seconds round.
const ROUNDED: u32 = 2;

/// Gives `path` the mode or the time that is `wanted`, as `setting` demands. Returns a warning if the server does not do
/// it and it was only to be tried. `delivery` is the one whose file it is; a directory has none.
///
/// # Errors
/// `InvalidConfig` if it is required and the server does not do it.
pub async fn set_attributes(
    sftp: &Sftp,
    path: &str,
    wanted: Attributes,
    demand: Demand,
    setting: &str,
    delivery: Option<&Checkpoint>,
) -> Result<Option<String>> {
    let why = match set(sftp, path, wanted).await {
        Ok(None) => return Ok(None),
        Err(error) if error.is_not_found() && is_gone(sftp, path, delivery).await? => return Ok(None),
        Ok(Some(ignored)) => ignored,
        Err(error) if error.is_status() => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    let stands = match delivery.is_some_and(|delivery| delivery.remote.is_direct()) {
        true => "the file is there without it",
        false => "nothing was published",
    };
    match demand {
        Demand::Try => {
            tracing::warn!(setting, why, "the server did not do as it was asked");
            Ok(Some(format!("{setting}: {why}")))
        }
        Demand::Require => Err(ErrorName::InvalidConfig.error(format!(
            "{setting} demands what the server does not do: {why}; {stands}. Let it be tried only, or set it to off"
        ))),
    }
}

/// Whether there is really no such file, as the server says: another execution of the same version was faster, and has
/// set what it moved away. Where nothing can be seen, it may be a refusal, unless we have asked for the rename ourselves.
async fn is_gone(sftp: &Sftp, path: &str, delivery: Option<&Checkpoint>) -> Result<bool> {
    match sftp.stat(path).await {
        Ok(there) => Ok(there.is_none()),
        Err(error) if error.is_status() => Ok(delivery.is_some_and(|delivery| delivery.publishing)),
        Err(error) => Err(error.into()),
    }
}

/// Returns what is wrong although the server said OK, as far as it lets that be seen.
async fn set(sftp: &Sftp, path: &str, wanted: Attributes) -> sftp::Result<Option<String>> {
    sftp.setstat(path, &wanted).await?;
    let told = match sftp.stat(path).await {
        Ok(told) => told.unwrap_or_default(),
        Err(error) if error.is_status() => return Ok(None),
        Err(error) => return Err(error),
    };
    if let (Some(wanted), Some(told)) = (wanted.permissions, told.permissions.map(|mode| mode & 0o7777))
        && wanted != told
    {
        return Ok(Some(format!("{path:?} has the mode {told:04o} after it was set to {wanted:04o}")));
    }
    if let (Some(wanted), Some(told)) = (wanted.modified, told.modified)
        && wanted.abs_diff(told) >= ROUNDED
    {
        return Ok(Some(format!(
            "{path:?} has the time {told} (seconds since 1970) after it was set to {wanted}"
        )));
    }
    Ok(None)
}
