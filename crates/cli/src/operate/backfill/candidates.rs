//! The objects that may have to be delivered: from a listing, or from an operator's file.

use std::path::Path;

use aws_sdk_s3::Client;
use tokio::task::JoinSet;

use super::file::{self, Named};
use crate::operate::holdings::{Rule, Upload, Uploads};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;
use crate::operate::progress;
use crate::operate::since::Since;

/// Objects of a file that are looked up at the same time.
const LOOKUPS: usize = 16;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What the stack delivers.
    pub(super) uploads: Vec<Upload>,
    /// Objects that the stack does not deliver.
    pub(super) passed_over: usize,
    /// Objects that were uploaded too early.
    pub(super) older: usize,
    /// Objects of a file that are not there.
    pub(super) missing: Vec<String>,
}

impl Found {
    fn add(&mut self, upload: Upload, rule: &Rule, prefix: &str) {
        if !upload.object_key.starts_with(prefix) || rule.passes_over(&upload).is_some() {
            self.passed_over += 1;
        } else {
            self.uploads.push(upload);
        }
    }

    /// Without what was uploaded before.
    pub(super) fn newer_than(mut self, since: Option<&Since>) -> Self {
        if let Some(since) = since {
            let all = self.uploads.len();
            self.uploads.retain(|upload| upload.last_modified >= since.unix_seconds());
            self.older = all - self.uploads.len();
        }
        self
    }
}

/// The current uploads below a prefix.
pub(super) async fn listed(operator: &Operator, rule: &Rule, prefix: &str) -> Result<Found, Problem> {
    let bar = progress::counting("listing objects");
    let mut found = Found::default();
    let mut pages = Uploads::new(&operator.s3, &rule.bucket, prefix);
    while let Some(page) = pages.page().await? {
        bar.inc(page.len() as u64);
        for upload in page {
            found.add(upload, rule, prefix);
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

/// The objects that a file names.
pub(super) async fn named(
    operator: &Operator,
    rule: &Rule,
    file: &Path,
    prefix: &str,
) -> Result<Found, Problem> {
    let named = file::read(file)?;
    let bar = progress::counting_to("looking up objects", named.len());
    let mut found = Found::default();
    let mut named = named.into_iter();
    let mut lookups = JoinSet::new();
    loop {
        while lookups.len() < LOOKUPS
            && let Some(named) = named.next()
        {
            lookups.spawn(look_up(operator.s3.clone(), rule.bucket.clone(), named));
        }
        let Some(looked_up) = lookups.join_next().await else { break };
        bar.inc(1);
        match looked_up.map_err(|error| Problem::Failed(error.to_string()))?? {
            Ok(upload) => found.add(upload, rule, prefix),
            Err(missing) => found.missing.push(missing.object_key),
        }
    }
    bar.finish_and_clear();
    found.missing.sort();
    Ok(found)
}

/// The upload, or what is not there.
async fn look_up(s3: Client, bucket: String, named: Named) -> Result<Result<Upload, Named>, Problem> {
    let Named { object_key, version_id } = &named;
    let head =
        s3.head_object().bucket(&bucket).key(object_key).set_version_id(version_id.clone()).send().await;
    match head {
        Ok(head) => Ok(Ok(Upload {
            object_key: object_key.clone(),
            version_id: head.version_id().filter(|id| *id != "null").map(str::to_owned),
            etag: head.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
            size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            last_modified: head.last_modified().map(|time| time.secs()).unwrap_or_default(),
        })),
        // A version id that S3 cannot read is a bad request; a deleted version's is not allowed.
        Err(error) if matches!(aws::CallError::of(&error).status, Some(400 | 404 | 405)) => Ok(Err(named)),
        Err(error) => {
            Err(Problem::of_call(&format!("looking up s3://{bucket}/{object_key}"), "s3:GetObject", &error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_222_what_is_older_is_counted_and_left_out() {
        let upload = |last_modified| Upload {
            object_key: "k".into(),
            version_id: None,
            etag: None,
            size: 1,
            last_modified,
        };
        let found = || Found { uploads: [1, 2, 3].map(upload).to_vec(), ..Found::default() };
        let since = Since::parse("1970-01-01T00:00:02Z").unwrap();
        let newer = found().newer_than(Some(&since));
        assert_eq!((newer.uploads, newer.older), (vec![upload(2), upload(3)], 1));
        assert_eq!(found().newer_than(None).uploads.len(), 3);
    }
}
