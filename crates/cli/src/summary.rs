//! What `deliver` says to people, as lines.

use std::process::ExitCode;

use bridge::{Error, ErrorName, Outcome, Place, Receipt, Settings};

use crate::location::Location;
use crate::output;
use crate::recursive::{NotTried, Summary};

/// The partner's server in an address.
pub(crate) struct Server {
    host: String,
    port: u16,
}

impl Server {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { host: settings.host.clone(), port: settings.port }
    }

    /// `sftp://HOST/PATH`, with the port where it is not SSH's own.
    fn address(&self, path: &str) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            22 => format!("sftp://{host}/{path}"),
            port => format!("sftp://{host}:{port}/{path}"),
        }
    }
}

/// What became of an object, and what a person should know.
pub(crate) fn receipt(receipt: &Receipt, server: &Server) -> Vec<String> {
    let object = format!("s3://{}/{}", receipt.object.bucket, receipt.object.object_key);
    let reason = receipt.reason.as_deref().unwrap_or_default();
    let proof = receipt.proof.and_then(|proof| serde_json::to_value(proof).ok());
    let proof = proof.as_ref().and_then(|proof| proof.as_str()).unwrap_or_default();
    let size = receipt.object.size.unwrap_or_default();
    let to = server.address(receipt.remote_path.as_deref().unwrap_or_default());
    let text = match receipt.outcome {
        Outcome::Delivered => {
            format!("delivered {object} to {to} ({size} bytes, proof: {proof})")
        }
        Outcome::AlreadyDelivered => {
            format!("{to} already holds {object} ({size} bytes, proof: {proof})")
        }
        Outcome::Skipped => format!("skipped {object}: {reason}"),
        Outcome::Superseded => format!("not delivered: {object}: {reason}"),
    };
    let warnings = receipt.warnings.iter().map(|warning| format!("warning: {warning}"));
    [text].into_iter().chain(warnings).collect()
}

/// Says what failed and what to do.
pub(crate) fn failure(error: &Error) -> ExitCode {
    output::note(&failure_lines(error));
    match error.name {
        ErrorName::InvalidConfig => ExitCode::from(2),
        _ => ExitCode::from(1),
    }
}

fn failure_lines(error: &Error) -> Vec<String> {
    let (hint, anchor) = (error.name.hint_for(Place::CommandLine), error.name.as_str().to_lowercase());
    vec![error.to_string(), format!("{hint} (docs/errors.md#{anchor})")]
}

/// One of many that failed.
pub(crate) fn not_delivered(object: &Location, error: &Error) -> String {
    format!("not delivered: {object}: {error}")
}

/// The last line of `--recursive`.
pub(crate) fn counts(delivered: usize, others: usize, failed: usize, run: &Summary) -> String {
    let mut text = format!("{delivered} delivered, {others} needed nothing, {failed} failed");
    if run.moved > 0 {
        text += &format!(", {} passed over below S3_MOVE_PREFIX", run.moved);
    }
    if run.cut_off > 0 {
        text += &format!(", {} not finished", run.cut_off);
    }
    text
}

/// How many are left where the partner refuses all of them.
pub(crate) fn not_tried(not_tried: &NotTried) -> String {
    let at_least = if not_tried.at_least { "at least " } else { "" };
    format!("stopped: {at_least}{} objects were not tried", not_tried.objects)
}

/// What a run that was stopped leaves; nothing where nobody reads it.
pub(crate) fn stopped(are_states_kept: bool) -> Vec<String> {
    match are_states_kept {
        _ if output::is_closed() => Vec::new(),
        true => vec!["stopped: run the same command again to go on where it was".into()],
        false => vec!["stopped: a partial file may be left on the server".into()],
    }
}

#[cfg(test)]
mod tests {
    use bridge::{CredentialReference, Execution, ObjectSummary, Parties, Proof, Report, SecretLocation};
    use proptest::prelude::*;

    use super::*;
    use crate::output::tests::{assert_plain, hostile};

    fn receipt_of(text: &str, outcome: Outcome) -> Receipt {
        let object = ObjectSummary {
            bucket: "b".into(),
            object_key: text.into(),
            etag: Some("e".into()),
            version_id: None,
            size: Some(5),
            last_modified: None,
            checksum: None,
            hash: None,
        };
        let credential = CredentialReference {
            location: SecretLocation::SecretsManager { arn: "a".into(), version_id: "v".into() },
            user_name: text.into(),
            algorithm: None,
            public_key_fingerprint: None,
            previous: None,
        };
        let execution = Execution::default();
        let parties = Parties { remote_host: text, credential: &credential, execution: &execution };
        let receipt = Receipt::new(outcome, object, &Report::default(), parties, String::new());
        Receipt {
            remote_path: Some(text.into()),
            reason: Some(text.into()),
            proof: Some(Proof::ReadBack),
            warnings: vec![text.into()],
            ..receipt
        }
    }

    fn server(host: &str, port: u16) -> Server {
        Server { host: host.into(), port }
    }

    #[test]
    fn story_47_the_address_has_its_port() {
        assert_eq!(server("h", 22).address("in/x"), "sftp://h/in/x");
        assert_eq!(server("h", 2222).address("in/x"), "sftp://h:2222/in/x");
        assert_eq!(server("2001:db8::1", 2222).address("x"), "sftp://[2001:db8::1]:2222/x");
    }

    proptest! {
        #[test]
        fn story_40_deliver_says_what_others_wrote_on_one_line(text in hostile()) {
            let server = server(&text, 2222);
            for outcome in
                [Outcome::Delivered, Outcome::AlreadyDelivered, Outcome::Skipped, Outcome::Superseded]
            {
                let lines = receipt(&receipt_of(&text, outcome), &server);
                prop_assert_eq!(lines.len(), 2);
                assert_plain(&lines);
            }
            let error = ErrorName::RemoteFailure.error(text.clone());
            prop_assert!(!error.message().contains(bridge::is_unprintable));
            assert_plain(&failure_lines(&error));
            prop_assert_eq!(failure_lines(&error).len(), 2);
            let object = Location { bucket: text.clone(), object_key: text };
            assert_plain(&[not_delivered(&object, &error)]);
        }
    }
}
