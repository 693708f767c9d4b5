//! What `collect` prints for people, as lines.

use std::time::Duration;

use bridge::Error;
use bridge::collect::{CollectOutcome, CollectReceipt};

use super::entry::Reason;
use crate::address::Server;
use crate::output;

/// Maximum number of names that are printed one by one.
const NAMED_MAX: usize = 20;

/// How a collection ended, and its warnings.
pub(super) fn receipt(receipt: &CollectReceipt, server: &Server) -> Vec<String> {
    let from = server.address(&receipt.file.remote_path());
    let object = receipt.object.as_ref();
    let to = object.map(|object| format!("s3://{}/{}", object.bucket, object.object_key)).unwrap_or_default();
    let size = receipt.file.size;
    let afterwards = receipt.afterwards.as_deref().map(|words| format!("; {words}")).unwrap_or_default();
    let reason = receipt.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let text = match receipt.outcome {
        CollectOutcome::Collected => format!("collected {from} to {to} ({size} bytes{afterwards})"),
        CollectOutcome::AlreadyCollected => {
            format!("{to} already holds {from} ({size} bytes{afterwards})")
        }
        CollectOutcome::Changed | CollectOutcome::Gone => format!("not collected: {from}{reason}"),
        CollectOutcome::Skipped => format!("skipped {from}{reason}"),
    };
    let warnings = receipt.warnings.iter().map(|warning| format!("warning: {warning}"));
    [text].into_iter().chain(warnings).collect()
}

/// One of many files that failed.
pub(super) fn not_collected(address: &str, error: &Error) -> String {
    format!("not collected: {address}: {error}")
}

/// Names that can never be collected as they are: said, so that none is lost in silence.
pub(super) fn impossible(found: &[(String, Reason)], address: impl Fn(&str) -> String) -> Vec<String> {
    let named = found.iter().take(NAMED_MAX);
    let mut lines: Vec<String> = named
        .map(|(path, reason)| format!("warning: cannot be collected: {}: {}", address(path), reason.words))
        .collect();
    if let Some(more) = found.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        lines.push(format!("... and {more} more; s3-sftp-bridge list names all"));
    }
    lines
}

/// Nothing is at the path that was asked for.
pub(super) fn nothing_there(address: &str) -> String {
    format!("there is nothing at {address}")
}

/// The one wait for all files.
pub(super) fn waiting(settle: Duration, what_for: &str) -> String {
    format!("waiting {} s (COLLECT_SETTLE_SECONDS), {what_for}", settle.as_secs())
}

/// What follows the wait.
pub(super) fn then_looks_again(due: usize) -> String {
    match due {
        1 => "then the file that is due is looked at again".to_owned(),
        due => format!("then the {due} files that are due are looked at again"),
    }
}

/// What a stopped run leaves. No lines if nobody reads them.
pub(super) fn stopped(are_states_kept: bool) -> Vec<String> {
    if output::is_closed() {
        Vec::new()
    } else if are_states_kept {
        vec!["stopped; to resume, run the same command again. S3 keeps the parts of unfinished files until then".into()]
    } else {
        vec!["stopped; the parts of unfinished files were removed from S3, and the next run begins with them again".into()]
    }
}

#[cfg(test)]
mod tests {
    use bridge::collect::{CollectReport, RemoteFile};
    use bridge::{ErrorName, Execution, ObjectSummary, Parties};
    use proptest::prelude::*;

    use super::*;
    use crate::output::tests::{assert_plain, hostile};
    use crate::samples;

    fn receipt_of(text: &str, outcome: CollectOutcome) -> CollectReceipt {
        let (credential, execution) = (samples::credential(text), Execution::default());
        let parties = Parties { remote_host: text, credential: &credential, execution: &execution };
        let (host, directory, path) = (text.to_owned(), text.to_owned(), text.to_owned());
        let file = RemoteFile { host, directory, path, size: 5, modified: None };
        let receipt = CollectReceipt::new(outcome, file, &CollectReport::default(), parties, String::new());
        CollectReceipt {
            object: Some(ObjectSummary::from(&samples::object(text))),
            reason: Some(text.into()),
            afterwards: Some(text.into()),
            warnings: vec![text.into()],
            ..receipt
        }
    }

    #[test]
    fn a_receipt_says_from_where_to_where_and_what_became_of_the_file() {
        let receipt_of = |outcome| CollectReceipt { warnings: Vec::new(), ..receipt_of("x", outcome) };
        let server = Server { host: "h".into(), port: 22 };
        for (outcome, line) in [
            (CollectOutcome::Collected, "collected sftp://h/x/x to s3://b/x (5 bytes; x)"),
            (CollectOutcome::AlreadyCollected, "s3://b/x already holds sftp://h/x/x (5 bytes; x)"),
            (CollectOutcome::Changed, "not collected: sftp://h/x/x: x"),
            (CollectOutcome::Gone, "not collected: sftp://h/x/x: x"),
            (CollectOutcome::Skipped, "skipped sftp://h/x/x: x"),
        ] {
            assert_eq!(receipt(&receipt_of(outcome), &server), [line]);
        }
    }

    #[test]
    fn many_names_are_counted() {
        let reason = Reason { kind: "unnameable", words: "why".into() };
        let found = vec![("n".to_owned(), reason); 25];
        let lines = impossible(&found, |path| format!("sftp://h/{path}"));
        assert_eq!(lines.len(), 21);
        assert_eq!(lines[0], "warning: cannot be collected: sftp://h/n: why");
        assert!(lines[20].contains("5 more"), "{lines:?}");
    }

    proptest! {
        #[test]
        fn collect_says_what_others_wrote_on_one_line(text in hostile()) {
            let server = Server { host: text.clone(), port: 2222 };
            for outcome in [CollectOutcome::Collected, CollectOutcome::Changed, CollectOutcome::Skipped] {
                let lines = receipt(&receipt_of(&text, outcome), &server);
                prop_assert_eq!(lines.len(), 2);
                assert_plain(&lines);
            }
            let error = ErrorName::RemoteFailure.error(text.clone());
            assert_plain(&[not_collected(&text, &error)]);
        }
    }
}
