//! The state `RecordFailure`.

use std::fmt::Display;

use aws::metrics::Meter;
use bridge::{Execution, Failure, RecordFailureInput, RecordSettings};
use serde_json::{Value, json};

use crate::failed::StateError;

/// Writes records of failures, if there is a record bucket.
#[derive(Clone)]
pub struct Recorder {
    settings: Option<RecordSettings>,
    s3: aws_sdk_s3::Client,
}

impl Recorder {
    /// Without settings, nothing is recorded.
    pub fn new(settings: Option<RecordSettings>, s3: aws_sdk_s3::Client) -> Self {
        Self { settings, s3 }
    }

    /// Records how an execution failed, and how far it was. Best effort: a record that cannot be written is missing.
    pub async fn record<S: Display>(
        &self,
        execution: &Execution,
        event: &Value,
        checkpoint: Option<Value>,
        failed: &StateError<S>,
    ) {
        let Some(settings) = self.settings.clone() else { return };
        let deps = record_failure::Deps {
            settings: Ok(settings),
            s3: self.s3.clone(),
            step_functions: None,
            sns: None,
            meter: Meter::off(),
        };
        let document = checkpoint.map_or_else(|| json!({}), |checkpoint| json!({"checkpoint": checkpoint}));
        let failure = Failure {
            state: failed.state.to_string(),
            error: failed.error.name.to_string(),
            cause: failed.error.message().into(),
            redrive_count: execution.redrive_count,
        };
        let (execution, event) = (execution.clone(), event.clone());
        let input = RecordFailureInput { execution, event, document, failure, raise: false };
        let _ = record_failure::handle(&deps, input).await;
    }
}
