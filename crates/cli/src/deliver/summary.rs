//! What `deliver` prints for people, as lines.

use bridge::{Error, Outcome, Receipt};

use crate::address::Server;
use crate::location::Location;
use crate::output;

/// How a delivery ended, and its warnings.
pub(super) fn receipt(receipt: &Receipt, server: &Server) -> Vec<String> {
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

/// One of many objects that failed.
pub(super) fn not_delivered(object: &Location, error: &Error) -> String {
    format!("not delivered: {object}: {error}")
}

/// What a stopped run leaves. No lines if nobody reads them.
pub(super) fn stopped(are_states_kept: bool) -> Vec<String> {
    if output::is_closed() {
        Vec::new()
    } else if are_states_kept {
        vec!["stopped; to resume, run the same command again".into()]
    } else {
        vec!["stopped; a partial file may be left on the server".into()]
    }
}

#[cfg(test)]
mod tests {
    use bridge::{ErrorName, Execution, Parties, Proof, Report};
    use proptest::prelude::*;

    use super::*;
    use crate::output::tests::{assert_plain, hostile};
    use crate::samples;

    fn receipt_of(text: &str, outcome: Outcome) -> Receipt {
        let (object, credential) = (samples::object(text), samples::credential(text));
        let execution = Execution::default();
        let parties = Parties { remote_host: text, credential: &credential, execution: &execution };
        let receipt = Receipt::new(outcome, (&object).into(), &Report::default(), parties, String::new());
        Receipt {
            remote_path: Some(text.into()),
            reason: Some(text.into()),
            proof: Some(Proof::ReadBack),
            warnings: vec![text.into()],
            ..receipt
        }
    }

    proptest! {
        #[test]
        fn story_40_deliver_says_what_others_wrote_on_one_line(text in hostile()) {
            let server = Server { host: text.clone(), port: 2222 };
            for outcome in
                [Outcome::Delivered, Outcome::AlreadyDelivered, Outcome::Skipped, Outcome::Superseded]
            {
                let lines = receipt(&receipt_of(&text, outcome), &server);
                prop_assert_eq!(lines.len(), 2);
                assert_plain(&lines);
            }
            let error = ErrorName::RemoteFailure.error(text.clone());
            let object = Location { bucket: text.clone(), object_key: text };
            assert_plain(&[not_delivered(&object, &error)]);
        }
    }
}
