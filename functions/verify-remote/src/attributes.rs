//! Mode and time of the file, while it is still the partial one.

use bridge::{AttributeSettings, PinnedObject, Result};
use partner::set_attributes;
use sftp::{Attributes, Sftp};

/// Sets what the settings ask for. Returns warnings.
///
/// # Errors
/// `InvalidConfig` if something is required that the server does not do.
pub(crate) async fn set(
    sftp: &Sftp,
    settings: AttributeSettings,
    object: &PinnedObject,
    path: &str,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if let Some(mode) = settings.file_mode {
        let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, mode.demand, "SFTP_FILE_MODE").await?);
    }
    // S3 tells when an object was stored, and the protocol's seconds reach to 2106.
    let stored = object.last_modified.and_then(|seconds| u32::try_from(seconds).ok());
    if let (Some(demand), Some(seconds)) = (settings.mtime, stored) {
        let wanted = Attributes { modified: Some(seconds), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, demand, "SFTP_PRESERVE_MTIME").await?);
    }
    Ok(warnings)
}
