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

/// What has the key of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nothing was asked about it.
    Unknown,
    /// No object.
    Nothing,
    /// The object of this very file, as its metadata says.
    File,
    /// An object of another file.
    Other,
}

/// What has the keys of these files. A list tells of many keys that nothing has them.
pub(super) async fn holders(runner: &CollectRunner, files: &[RemoteFile]) -> Result<Vec<Holder>> {
    let mut holders = free(runner, files).await;
    let mut asking: JoinSet<(usize, Result<Holder>)> = JoinSet::new();
    let bucket: Arc<str> = runner.collect_settings().bucket.as_str().into();
    for (index, file) in files.iter().enumerate() {
        if holders[index] == Holder::Nothing {
            continue;
        }
        let Some(object_key) = runner.object_key(file) else { continue };
        if asking.len() >= FLIGHT {
            note(&mut holders, asking.join_next().await)?;
        }
        let (s3, bucket, file) = (runner.s3().clone(), Arc::clone(&bucket), file.clone());
        asking.spawn(async move { (index, holder(&s3, &bucket, &object_key, &file).await) });
    }
    while !asking.is_empty() {
        note(&mut holders, asking.join_next().await)?;
    }
    Ok(holders)
}

/// The same without a request for each file. Of the others, nothing is known.
pub(super) async fn free(runner: &CollectRunner, files: &[RemoteFile]) -> Vec<Holder> {
    let wanted: Vec<Option<String>> = files.iter().map(|file| runner.object_key(file)).collect();
    let are_free = keys::are_free(runner.s3(), &runner.collect_settings().bucket, &wanted).await;
    let holder = |is_free| if is_free { Holder::Nothing } else { Holder::Unknown };
    are_free.into_iter().map(holder).collect()
}

type Joined = Option<std::result::Result<(usize, Result<Holder>), JoinError>>;

/// A task can only be lost by a panic, which ends the process.
fn note(holders: &mut [Holder], joined: Joined) -> Result<()> {
    if let Some(Ok((index, holder))) = joined {
        holders[index] = holder?;
    }
    Ok(())
}

async fn holder(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    object_key: &str,
    file: &RemoteFile,
) -> Result<Holder> {
    match s3.head_object().bucket(bucket).key(object_key).send().await {
        Ok(head) => {
            let is_file = Origin::of(head.metadata()).is_some_and(|origin| origin.is(file));
            Ok(if is_file { Holder::File } else { Holder::Other })
        }
        Err(error) => {
            let error = CallError::of(&error);
            match error.status {
                Some(404) => Ok(Holder::Nothing),
                _ => Err(ErrorName::ObjectUnreadable.error(format!(
                    "looking for s3://{bucket}/{object_key}: {error}; this needs s3:GetObject and s3:ListBucket"
                ))),
            }
        }
    }
}
