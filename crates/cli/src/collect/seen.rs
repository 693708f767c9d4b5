//! Asks S3 whether it has files already.

use std::sync::Arc;

use aws::CallError;
use aws::collected::Origin;
use bridge::collect::RemoteFile;
use bridge::{ErrorName, Result};
use tokio::task::{JoinError, JoinSet};

use super::runner::CollectRunner;

/// Number of requests in flight.
const FLIGHT: usize = 32;

/// Whether the object of each of these files is this very file, as its metadata says.
pub(super) async fn are_stored(runner: &CollectRunner, files: &[RemoteFile]) -> Result<Vec<bool>> {
    let mut stored = vec![false; files.len()];
    let mut asking: JoinSet<(usize, Result<bool>)> = JoinSet::new();
    let bucket: Arc<str> = runner.collect_settings().bucket.as_str().into();
    for (index, file) in files.iter().enumerate() {
        let Some(object_key) = runner.object_key(file) else { continue };
        if asking.len() >= FLIGHT {
            note(&mut stored, asking.join_next().await)?;
        }
        let (s3, bucket, file) = (runner.s3().clone(), Arc::clone(&bucket), file.clone());
        asking.spawn(async move { (index, is_stored(&s3, &bucket, &object_key, &file).await) });
    }
    while !asking.is_empty() {
        note(&mut stored, asking.join_next().await)?;
    }
    Ok(stored)
}

type Joined = Option<std::result::Result<(usize, Result<bool>), JoinError>>;

/// A task can only be lost by a panic, which ends the process.
fn note(stored: &mut [bool], joined: Joined) -> Result<()> {
    if let Some(Ok((index, is_stored))) = joined {
        stored[index] = is_stored?;
    }
    Ok(())
}

async fn is_stored(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    object_key: &str,
    file: &RemoteFile,
) -> Result<bool> {
    match s3.head_object().bucket(bucket).key(object_key).send().await {
        Ok(head) => Ok(Origin::of(head.metadata()).is_some_and(|origin| origin.is(file))),
        Err(error) => {
            let error = CallError::of(&error);
            match error.status {
                Some(404) => Ok(false),
                _ => Err(ErrorName::ObjectUnreadable.error(format!(
                    "looking for s3://{bucket}/{object_key}: {error}; this needs s3:GetObject and s3:ListBucket"
                ))),
            }
        }
    }
}
