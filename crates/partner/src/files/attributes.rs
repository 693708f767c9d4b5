//! Mode and modification time of files and directories.

use bridge::{AttributeSettings, Demand, ErrorName, Result};
use sftp::{Attributes, Sftp, Status};

use super::look::{Seen, look};
use super::reply::Reply;

/// Smallest difference of two times that is not due to rounding, in seconds. Some file systems store even seconds only.
const TIME_DIFFERENCE_MIN: u32 = 2;

/// What the attributes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributesOf {
    /// A directory that was just made.
    Directory,
    /// A partial file.
    PartialFile {
        /// This delivery has asked the server to rename it, so it may have the final name by now.
        rename_requested: bool,
    },
    /// A file that is written under its final name.
    FinalFile,
}

/// Sets mode and time of a delivered file as the settings ask. `last_modified` is when S3 stored the object, in seconds
/// since 1970. Returns warnings.
///
/// # Errors
/// `InvalidConfig` if the settings require something that the server does not do, or the session was lost.
pub async fn set_file_attributes(
    sftp: &Sftp,
    path: &str,
    settings: AttributeSettings,
    last_modified: Option<i64>,
    of: AttributesOf,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(mode) = settings.file_mode {
        let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, mode.demand, "SFTP_FILE_MODE", of).await?);
    }
    // The times of SFTP end in 2106.
    let modified = last_modified.and_then(|seconds| u32::try_from(seconds).ok());
    if let (Some(demand), Some(seconds)) = (settings.mtime, modified) {
        let wanted = Attributes { modified: Some(seconds), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, demand, "SFTP_PRESERVE_MTIME", of).await?);
    }
    Ok(warnings)
}

/// Sets the `wanted` mode or time of `path`. If the server does not do it, the outcome depends on the `demand` of
/// `setting`: a warning, or an error.
///
/// # Errors
/// `InvalidConfig` if it is required and the server does not do it, or the session was lost.
pub async fn set_attributes(
    sftp: &Sftp,
    path: &str,
    wanted: Attributes,
    demand: Demand,
    setting: &str,
    of: AttributesOf,
) -> Result<Option<String>> {
    let why = match try_attributes(sftp, path, wanted).await? {
        AttributesSet::Shown | AttributesSet::NotShown => return Ok(None),
        AttributesSet::Refused(status) if status.is_not_found() && is_gone(sftp, path, of).await? => {
            return Ok(None);
        }
        AttributesSet::Refused(status) => status.to_string(),
        AttributesSet::Ignored(difference) => difference,
    };
    match demand {
        Demand::Try => {
            tracing::warn!(setting, why, "the server did not set an attribute");
            Ok(Some(format!("{setting}: {why}")))
        }
        Demand::Require => {
            let stands = match of {
                AttributesOf::FinalFile => "the file is there without it",
                AttributesOf::Directory | AttributesOf::PartialFile { .. } => "nothing was published",
            };
            Err(ErrorName::InvalidConfig.error(format!(
                "{setting} requires what the server does not do: {why}; {stands}. Use try, or off"
            )))
        }
    }
}

/// Whether the file is gone because another execution of the same version was faster: it has set the attributes and
/// renamed the file. If the server shows nothing, "no such file" may mean a missing permission, so only a rename that we
/// requested ourselves explains it.
async fn is_gone(sftp: &Sftp, path: &str, of: AttributesOf) -> Result<bool> {
    match look(sftp, path).await? {
        Seen::File(_) | Seen::Directory => Ok(false),
        Seen::Nothing => Ok(true),
        Seen::Hidden => Ok(matches!(of, AttributesOf::PartialFile { rename_requested: true })),
    }
}

/// Outcome of [`try_attributes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributesSet {
    /// The server shows the attributes that it was asked to set.
    Shown,
    /// The server said OK, and does not show these attributes.
    NotShown,
    /// The server said OK, and shows other attributes: says which.
    Ignored(String),
    /// The server refused.
    Refused(Status),
}

/// Asks the server to set a mode or a time, and looks whether it did.
///
/// # Errors
/// The session was lost.
pub async fn try_attributes(sftp: &Sftp, path: &str, wanted: Attributes) -> Result<AttributesSet> {
    if let Reply::Refused(status) = Reply::of(sftp.setstat(path, &wanted).await)? {
        return Ok(AttributesSet::Refused(status));
    }
    let shown = Reply::of(sftp.stat(path).await)?.done().flatten().unwrap_or_default();
    let mode = wanted.permissions.zip(shown.permissions.map(|mode| mode & 0o7777));
    let time = wanted.modified.zip(shown.modified);
    Ok(match (mode, time) {
        (Some((wanted, shown)), _) if wanted != shown => AttributesSet::Ignored(format!(
            "{path:?} has the mode {shown:04o} after it was set to {wanted:04o}"
        )),
        (_, Some((wanted, shown))) if wanted.abs_diff(shown) >= TIME_DIFFERENCE_MIN => {
            AttributesSet::Ignored(format!(
                "{path:?} has the time {shown} (seconds since 1970) after it was set to {wanted}"
            ))
        }
        (None, None) => AttributesSet::NotShown,
        _ => AttributesSet::Shown,
    })
}
