//! The marker goes the same way after its file.

use bridge::Result;
use bridge::collect::RemoteFile;

use crate::show::{Shown, show};
use crate::work::{Collected, Contents, Settled, Work};

impl Work<'_> {
    /// Settles the marker of a file that is gone from its place. Returns a warning.
    pub(crate) async fn settle_marker(&self, file: &RemoteFile) -> Result<Option<String>> {
        let Some(pattern) = &self.call.deps.collect.marker else { return Ok(None) };
        let marker = RemoteFile { path: pattern.of(&file.path), ..file.clone() };
        let (path, marker_path) = (file.remote_path(), marker.remote_path());
        let (successor, shown) = tokio::join!(biased; show(self.sftp, &path), show(self.sftp, &marker_path));
        // A file that has come since has the same marker: without it, it would never be collected.
        if !matches!(successor?, Shown::Nothing | Shown::Hidden(_)) {
            return Ok(None);
        }
        let Shown::File { size: Some(size), modified } = shown? else { return Ok(None) };
        let marker = RemoteFile { size, modified, ..marker };
        let collected = Collected { file: &marker, contents: Contents::MarkerOf(file) };
        let Settled { warning, .. } = Box::pin(self.settle(collected)).await?;
        Ok(warning.map(|warning| format!("the marker: {warning}")))
    }
}
