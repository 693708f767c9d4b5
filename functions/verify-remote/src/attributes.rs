//! Mode and time of the file, while it is still the partial one, unless the final one is written to directly.

use bridge::{AttributeSettings, Checkpoint, Result};
use partner::set_attributes;
use sftp::{Attributes, Sftp};

/// Sets what the settings ask for. Returns warnings.
///
/// # Errors
/// `InvalidConfig` if something is required that the server does not do.
pub(crate) async fn set(
    sftp: &Sftp,
    settings: AttributeSettings,
    checkpoint: &Checkpoint,
    path: &str,
) -> Result<Vec<String>> {
    let (mut warnings, delivery) = (Vec::new(), Some(checkpoint));
    if let Some(mode) = settings.file_mode {
        let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, mode.demand, "SFTP_FILE_MODE", delivery).await?);
    }
    // S3 tells when an object was stored, and the protocol's seconds reach to 2106.
    let stored = checkpoint.object.last_modified.and_then(|seconds| u32::try_from(seconds).ok());
    if let (Some(demand), Some(seconds)) = (settings.mtime, stored) {
        let wanted = Attributes { modified: Some(seconds), ..Attributes::default() };
        warnings.extend(set_attributes(sftp, path, wanted, demand, "SFTP_PRESERVE_MTIME", delivery).await?);
    }
    Ok(warnings)
}
