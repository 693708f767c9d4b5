//! `bucket`: whether the bucket is there. Nothing is written into it: the functions write with a role of their own, of which
//! our permissions say nothing, and an object may start what others have attached to the bucket.

use aws::CallError;
use aws::clients::{self, Account};

use super::collecting;
use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let collecting = collecting(doctor)?;
    if !collecting.names_bucket {
        return Ok(Finding::fail(
            "COLLECT_BUCKET is not set, so nothing is collected",
            "set it to the bucket for collected files",
        ));
    }
    let bucket = &collecting.settings.bucket;
    let config = match clients::complete_config(&Account::default()).await {
        Ok(config) => config,
        Err(error) => {
            return Ok(Finding::warn(
                format!("AWS was not asked for the bucket {bucket:?}: {}", error.message()),
                "run this again with AWS credentials to see whether the bucket is there",
            ));
        }
    };
    let head = clients::s3(&config).head_bucket().bucket(bucket).send().await;
    Ok(match head.as_ref().map_err(CallError::of) {
        Ok(head) => {
            let region = head.bucket_region().map(|region| format!(" in {region}")).unwrap_or_default();
            Finding::ok(format!(
                "s3://{bucket} is there{region}; that the functions may write into it, the first file shows"
            ))
        }
        Err(error) if error.status == Some(404) => {
            Finding::fail(format!("there is no bucket {bucket:?}"), "create it, or correct COLLECT_BUCKET")
        }
        Err(error) => Finding::warn(
            format!("s3://{bucket} could not be looked at: {error}"),
            "this needs s3:ListBucket. The functions have a role of their own",
        ),
    })
}
