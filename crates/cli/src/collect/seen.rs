//! Asks S3 whether it has files already.

use std::sync::Arc;

use aws::CallError;
use aws::collected::Origin;
use bridge::collect::RemoteFile;
use bridge::{ErrorName, Result};
use tokio::task::{JoinError, JoinSet};

use super::keys;
use super::runner::CollectRunner;

/// Number of requests in flight.
const FLIGHT: usize = 32;

/// Whether an object has the key of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyStatus {
    /// An object may have the key.
    Unknown,
    /// No object has it.
    Free,
    /// The object of this very file, as its metadata says.
    File,
    /// An object of another file.
    Other,
}

/// What has the keys of these files. A list tells of many keys that nothing has them.
pub(super) async fn statuses(runner: &CollectRunner, files: &[RemoteFile]) -> Result<Vec<KeyStatus>> {
    let mut statuses = statuses_by_list(runner, files).await;
    let mut asking: JoinSet<(usize, Result<KeyStatus>)> = JoinSet::new();
    let bucket: Arc<str> = runner.collect_settings().bucket.as_str().into();
    for (index, file) in files.iter().enumerate() {
        if statuses[index] == KeyStatus::Free {
            continue;
        }
        let Some(object_key) = runner.object_key(file) else { continue };
        if asking.len() >= FLIGHT {
            note(&mut statuses, asking.join_next().await)?;
        }
        let (s3, bucket, file) = (runner.s3().clone(), Arc::clone(&bucket), file.clone());
        asking.spawn(async move { (index, status(&s3, &bucket, &object_key, &file).await) });
    }
    while !asking.is_empty() {
        note(&mut statuses, asking.join_next().await)?;
    }
    Ok(statuses)
}

/// As [`statuses`], from lists alone: a key that no list shows as free is `Unknown`.
pub(super) async fn statuses_by_list(runner: &CollectRunner, files: &[RemoteFile]) -> Vec<KeyStatus> {
    let wanted: Vec<Option<String>> = files.iter().map(|file| runner.object_key(file)).collect();
    let are_free = keys::are_free(runner.s3(), &runner.collect_settings().bucket, &wanted).await;
    let status = |is_free| if is_free { KeyStatus::Free } else { KeyStatus::Unknown };
    are_free.into_iter().map(status).collect()
}

type Joined = Option<std::result::Result<(usize, Result<KeyStatus>), JoinError>>;

/// A task can only be lost by a panic, which ends the process.
fn note(statuses: &mut [KeyStatus], joined: Joined) -> Result<()> {
    if let Some(Ok((index, status))) = joined {
        statuses[index] = status?;
    }
    Ok(())
}

async fn status(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    object_key: &str,
    file: &RemoteFile,
) -> Result<KeyStatus> {
    match s3.head_object().bucket(bucket).key(object_key).send().await {
        Ok(head) => {
            let is_file = Origin::of(head.metadata()).is_some_and(|origin| origin.is(file));
            Ok(if is_file { KeyStatus::File } else { KeyStatus::Other })
        }
        Err(error) => {
            let error = CallError::of(&error);
            match error.status {
                Some(404) => Ok(KeyStatus::Free),
                _ => Err(ErrorName::ObjectUnreadable.error(format!(
                    "looking for s3://{bucket}/{object_key}: {error}; this needs s3:GetObject and s3:ListBucket"
                ))),
            }
        }
    }
}
