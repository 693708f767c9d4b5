//! What a file or directory is beside its contents.

use bridge::{Demand, ErrorName, Result};
use sftp::{Attributes, Sftp};

/// File systems that count in two seconds round.
const ROUNDED: u32 = 2;

/// Gives `path` the mode or the time that is `wanted`, as `setting` demands. Returns a warning if the server does not do
/// it and it was only to be tried.
///
/// # Errors
/// `InvalidConfig` if it is required and the server does not do it.
pub async fn set_attributes(
    sftp: &Sftp,
    path: &str,
    wanted: Attributes,
    demand: Demand,
    setting: &str,
) -> Result<Option<String>> {
    let why = match set(sftp, path, wanted).await {
        Ok(None) => return Ok(None),
        // Another execution of the same version was faster, and has set what it moved away.
        Err(error) if error.is_not_found() => return Ok(None),
        Ok(Some(ignored)) => ignored,
        Err(error) if error.is_status() => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    match demand {
        Demand::Try => {
            tracing::warn!(setting, why, "the server did not do as it was asked");
            Ok(Some(format!("{setting}: {why}")))
        }
        Demand::Require => Err(ErrorName::InvalidConfig.error(format!(
            "{setting} demands what the server does not do: {why}; nothing was published. Let it be tried only, or set it to off"
        ))),
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
