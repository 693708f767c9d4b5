//! Runs a handler in the Lambda runtime. The error's name becomes the `errorType` that Step Functions matches.

use std::time::SystemTime;

use bridge::Deadline;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use tracing::Instrument as _;

/// A failed invocation. It may have any name, because `record-failure` also raises names of Lambda.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Lambda's `errorType`.
    pub error: String,
    /// Lambda's `errorMessage`.
    pub message: String,
}

impl From<bridge::Error> for Failed {
    fn from(error: bridge::Error) -> Self {
        Self { error: error.name.to_string(), message: error.message().to_owned() }
    }
}

impl From<Failed> for Diagnostic {
    fn from(failed: Failed) -> Self {
        Self { error_type: failed.error, error_message: failed.message }
    }
}

/// Runs a function until Lambda ends the process.
///
/// # Errors
/// If the runtime API cannot be reached.
pub async fn run<F, Fut>(handler: F) -> Result<(), lambda_runtime::Error>
where
    F: Fn(Value, Deadline) -> Fut,
    Fut: Future<Output = Result<Value, Failed>>,
{
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
        let span = invocation_span(&event.payload, &event.context.request_id);
        let outcome = handler(event.payload, Deadline::after(left)).instrument(span.clone()).await;
        let _entered = span.enter();
        match &outcome {
            // On the last line alone: the request id joins the others to it.
            Ok(_) => tracing::info!(version = bridge::VERSION, "done"),
            Err(failed) => tracing::error!(
                version = bridge::VERSION,
                error = failed.error,
                cause = failed.message,
                "failed"
            ),
        }
        outcome
    }))
    .await
}

/// The fields of every log line of an invocation.
fn invocation_span(payload: &Value, request_id: &str) -> tracing::Span {
    let known = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
    let text = |pointer: &str| known(pointer).unwrap_or_default();
    // The payload of verify-remote has no event. What it has of the object is in the checkpoint.
    let object =
        |event: &str, checkpoint: &str| known(event).or_else(|| known(checkpoint)).unwrap_or_default();
    let number = |pointer: &str| payload.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (bucket, object_key) = match payload.pointer("/checkpoint/destination") {
        Some(_) => (text("/checkpoint/destination/bucket"), text("/checkpoint/destination/object_key")),
        None => (
            object("/event/detail/bucket/name", "/checkpoint/object/bucket"),
            object("/event/detail/object/key", "/checkpoint/object/object_key"),
        ),
    };
    let file = ["/file/path", "/checkpoint/file/path", "/event/file/path"].into_iter().find_map(known);
    let span = tracing::info_span!(
        "invocation",
        request_id,
        // Step Functions' own events have it elsewhere.
        execution = [text("/execution/id"), text("/detail/executionArn")].concat(),
        bucket,
        object_key,
        // Of the other direction.
        file = tracing::field::Empty,
        attempt = number("/execution/retry_count") + 1,
        redrive_count = number("/execution/redrive_count"),
    );
    if let Some(file) = file {
        span.record("file", file);
    }
    span
}

/// The output as JSON.
///
/// # Errors
/// `Internal`, which does not happen with the bridge's types.
pub fn to_value<T: serde::Serialize>(output: &T) -> Result<Value, Failed> {
    serde_json::to_value(output)
        .map_err(|error| bridge::ErrorName::Internal.error(format!("encoding the output: {error}")).into())
}
