//! Uploads in parts that nothing would go on with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client;
use bridge::collect::{CollectCheckpoint, CollectPhase};

/// Maximum time to end the uploads of a stopped run.
const ABORT_MAX: Duration = Duration::from_secs(10);

/// The uploads of files whose state is not kept, by the paths of the files. No later run could go on with them.
#[derive(Clone)]
pub(super) struct Uploads {
    s3: Client,
    open: Arc<Mutex<BTreeMap<String, CollectCheckpoint>>>,
}

impl Uploads {
    pub(super) fn new(s3: Client) -> Self {
        Self { s3, open: Arc::default() }
    }

    pub(super) fn note(&self, checkpoint: CollectCheckpoint) {
        bridge::lock(&self.open).insert(checkpoint.file.path.clone(), checkpoint);
    }

    /// The file is collected, or there is nothing to collect.
    pub(super) fn forget(&self, path: &str) {
        bridge::lock(&self.open).remove(path);
    }

    /// Ends the upload of a file that has failed.
    pub(super) async fn end(&self, path: &str) {
        let open = bridge::lock(&self.open).remove(path);
        if let Some(checkpoint) = open {
            abort(&self.s3, &checkpoint).await;
        }
    }

    /// Ends those of files that a stop cut off.
    pub(super) async fn end_all(&self) {
        let open = std::mem::take(&mut *bridge::lock(&self.open));
        let ending = async {
            for checkpoint in open.values() {
                abort(&self.s3, checkpoint).await;
            }
        };
        let _ = tokio::time::timeout(ABORT_MAX, ending).await;
    }
}

/// Best effort: a rule of the bucket's lifecycle ends the rest.
pub(super) async fn abort(s3: &Client, checkpoint: &CollectCheckpoint) {
    let CollectPhase::Reading { upload: Some(upload), .. } = &checkpoint.phase else { return };
    let destination = &checkpoint.destination;
    let abort = s3.abort_multipart_upload().bucket(&destination.bucket);
    let _ = abort.key(&destination.object_key).upload_id(&upload.id).send().await;
}
