//! `deliver`: FetchKey, Transfer, VerifyRemote and, on failure, RecordFailure, in this process.

use aws::clients;
use aws::credential::Clients;
use bridge::{
    Deadline, Error, ErrorName, Execution, Failure, FetchKeyInput, Receipt, RecordFailureInput,
    RecordSettings, Result, Settings, TransferInput, Variables, VerifyRemoteInput,
};
use serde_json::{Value, json};

use crate::progress;

/// What to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    bucket: String,
    object_key: String,
}

/// `s3://BUCKET/KEY` or `BUCKET/KEY`.
pub(crate) fn parse_object(text: &str) -> std::result::Result<Object, String> {
    match text.strip_prefix("s3://").unwrap_or(text).split_once('/') {
        Some((bucket, object_key)) if !bucket.is_empty() && !object_key.is_empty() => {
            Ok(Object { bucket: bucket.into(), object_key: object_key.into() })
        }
        _ => Err("expected s3://BUCKET/KEY or BUCKET/KEY".into()),
    }
}

/// The states of the machine, one after the other. Its retries are left to whoever calls.
pub(crate) async fn run(object: &Object) -> Result<Receipt> {
    let variables = Variables::from_environment();
    let settings = Settings::parse(&variables)?;
    let clients = Clients::new(&clients::config().await);
    let s3 = clients.s3.clone();
    let delivery = Delivery {
        settings,
        clients,
        event: json!({"detail": {"bucket": {"name": object.bucket}, "object": {"key": object.object_key}}}),
        execution: Execution {
            id: "s3-sftp-bridge deliver".into(),
            name: format!("deliver-{}", aws::now().replace(':', "-")),
            start_time: aws::now(),
            ..Execution::default()
        },
    };
    let mut state = "FetchKey";
    let mut document = json!({});
    match delivery.run(&mut state, &mut document).await {
        Ok(receipt) => Ok(receipt),
        Err(error) => {
            // A failure bucket is the stack's; by hand there need not be one.
            if let Ok(settings) = RecordSettings::parse(&variables) {
                delivery.record(settings, s3, state, document, &error).await;
            }
            Err(error)
        }
    }
}

struct Delivery {
    settings: Settings,
    clients: Clients,
    event: Value,
    execution: Execution,
}

impl Delivery {
    async fn run(&self, state: &mut &'static str, document: &mut Value) -> Result<Receipt> {
        let fetch_key = fetch_key::Deps { settings: self.settings.clone(), clients: self.clients.clone() };
        let (sending, on_sent) = progress::bar("sending");
        let transfer = transfer::Deps {
            settings: self.settings.clone(),
            clients: self.clients.clone(),
            sftp: sftp::Options::default(),
            on_progress: on_sent,
        };
        let (proving, on_read_back) = progress::bar("verifying");
        let verify_remote = verify_remote::Deps {
            settings: self.settings.clone(),
            clients: self.clients.clone(),
            sftp: sftp::Options::default(),
            on_progress: on_read_back,
        };
        let (execution, event) = (self.execution.clone(), self.event.clone());

        let input = FetchKeyInput { execution: execution.clone(), event: event.clone() };
        let credential = fetch_key::handle(&fetch_key, input).await?.credential;
        let mut resends = 0;
        loop {
            *state = "Transfer";
            let mut checkpoint = None;
            let checkpoint = loop {
                let input = TransferInput {
                    execution: execution.clone(),
                    event: event.clone(),
                    credential: credential.clone(),
                    checkpoint,
                    resends,
                };
                let progress = transfer::handle(&transfer, input, Deadline::NEVER).await?;
                *document = json!({"checkpoint": progress.checkpoint});
                if let Some(receipt) = progress.receipt {
                    return Ok(receipt);
                }
                match progress.checkpoint {
                    Some(complete) if complete.status == bridge::Status::Complete => break complete,
                    in_progress => checkpoint = in_progress,
                }
            };
            sending.finish_and_clear();
            *state = "VerifyRemote";
            match self.verify(&verify_remote, &credential, checkpoint, document).await {
                Err(error) if error.name == ErrorName::RemoteMismatch && resends == 0 => resends += 1,
                other => {
                    proving.finish_and_clear();
                    return other;
                }
            }
        }
    }

    async fn verify(
        &self,
        deps: &verify_remote::Deps,
        credential: &bridge::CredentialReference,
        mut checkpoint: bridge::Checkpoint,
        document: &mut Value,
    ) -> Result<Receipt> {
        loop {
            let input = VerifyRemoteInput {
                execution: self.execution.clone(),
                event: self.event.clone(),
                credential: credential.clone(),
                checkpoint,
            };
            let progress = verify_remote::handle(deps, input, Deadline::NEVER).await?;
            *document = json!({"checkpoint": progress.checkpoint});
            match (progress.receipt, progress.checkpoint) {
                (Some(receipt), _) => return Ok(receipt),
                (None, Some(more)) => checkpoint = more,
                (None, None) => return Err(ErrorName::Internal.error("verify-remote returned nothing")),
            }
        }
    }

    async fn record(
        &self,
        settings: RecordSettings,
        s3: aws_sdk_s3::Client,
        state: &str,
        document: Value,
        error: &Error,
    ) {
        let deps = record_failure::Deps { settings: Ok(settings), s3, step_functions: None, metrics: false };
        let failure = Failure {
            state: state.into(),
            error: error.name.to_string(),
            cause: error.message().into(),
            redrive_count: 0,
        };
        let (execution, event) = (self.execution.clone(), self.event.clone());
        let input = RecordFailureInput { execution, event, document, failure, raise: false };
        // Whether there is a record or not: the error is the caller's.
        let _ = record_failure::handle(&deps, input).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_an_object() {
        let expected = Object { bucket: "b".into(), object_key: "a b+c%2B.txt".into() };
        assert_eq!(parse_object("s3://b/a b+c%2B.txt"), Ok(expected.clone()));
        assert_eq!(parse_object("b/a b+c%2B.txt"), Ok(expected));
        assert_eq!(parse_object("b/../../x").map(|object| object.object_key), Ok("../../x".into()));
        for text in ["", "b", "b/", "/k", "s3://b"] {
            assert!(parse_object(text).is_err(), "{text}");
        }
    }
}
