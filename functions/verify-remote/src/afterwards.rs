//! What becomes of the object, once its file is published. The delivery has succeeded by then, whatever happens here.

use std::time::Duration;

use aws::afterwards::{Copying, NotDone, delete, move_to, tag};
use bridge::{AfterDelivery, Deadline, Execution, Outcome, PinnedObject};

use crate::Deps;

/// So often it is tried, after the SDK's own retries.
const TRIES: u32 = 3;
/// Before the second try; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// For taking back a copy that could not be finished: its parts would be stored, and paid for, without end.
const TAKING_BACK: Duration = Duration::from_secs(5);
/// S3 allows a tag's value so many characters.
const TAG_MAX: usize = 256;

/// Does what `S3_AFTER_DELIVERY` says. Returns what was done, for the receipt, or else a warning.
pub(crate) async fn run(
    deps: &Deps,
    object: &PinnedObject,
    execution: &Execution,
    outcome: Outcome,
    deadline: Deadline,
) -> Result<Option<String>, String> {
    let policy = &deps.partner.settings.after_delivery;
    if *policy == AfterDelivery::Keep {
        return Ok(None);
    }
    let late = || NotDone { why: "there was not enough time".into(), transient: false };
    let mut tries = 1;
    loop {
        // No request is left to be cut off by the end of the invocation, which would be taken for a failed delivery.
        let working = once(deps, policy, object, execution, outcome, deadline);
        let done = tokio::time::timeout(deadline.remaining(), working).await;
        match done.unwrap_or_else(|_| Err(late())) {
            Ok(done) => return Ok(done),
            Err(error) if error.transient && tries < TRIES && !deadline.has_passed() => {
                tracing::warn!(why = error.why, tries, "S3_AFTER_DELIVERY failed, trying again");
                tokio::time::sleep((PAUSE * 2u32.pow(tries - 1)).min(deadline.remaining())).await;
                tries += 1;
            }
            Err(error) => {
                tracing::warn!(why = error.why, tries, "S3_AFTER_DELIVERY failed; the delivery has not");
                return Err(format!(
                    "S3_AFTER_DELIVERY: the file is delivered, but this was not done with the object: {}",
                    error.why
                ));
            }
        }
    }
}

async fn once(
    deps: &Deps,
    policy: &AfterDelivery,
    object: &PinnedObject,
    execution: &Execution,
    outcome: Outcome,
    deadline: Deadline,
) -> Result<Option<String>, NotDone> {
    let s3 = &deps.partner.clients.s3;
    match policy {
        AfterDelivery::Keep => Ok(None),
        AfterDelivery::Tag => {
            let execution: String = execution.id.chars().take(TAG_MAX).collect();
            let tags = [("delivered-at", aws::now()), ("execution", execution)];
            let tags = tags.each_ref().map(|(name, value)| (*name, value.as_str()));
            // What another execution has delivered, it has tagged.
            tag(s3, object, &tags, outcome == Outcome::Delivered).await?;
            Ok(Some("tagged".into()))
        }
        AfterDelivery::Delete => Ok(Some(delete(s3, object).await?.to_string())),
        // What lies there already was moved before, and is not moved into ever longer names.
        AfterDelivery::Move { prefix } if object.object_key.starts_with(prefix) => Ok(None),
        AfterDelivery::Move { prefix } => {
            let target = format!("{prefix}{}", object.object_key);
            let deadline = deadline.less(TAKING_BACK, 4);
            Ok(Some(move_to(s3, object, &target, Copying::default(), deadline).await?.to_string()))
        }
    }
}
