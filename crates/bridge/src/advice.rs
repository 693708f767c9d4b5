//! What to do about an error of an execution.

use crate::{EXECUTION_ABORTED, EXECUTION_TIMED_OUT, ErrorName, Place};

/// What to do about an error of an execution, in a sentence. Our own errors have their hint; Lambda's and Step Functions'
/// own are few.
pub fn what_to_do(error: &str, place: Place) -> &'static str {
    match ErrorName::parse(error) {
        Some(name) => name.hint_for(place),
        None if error == EXECUTION_ABORTED => {
            "Somebody stopped this execution. If the file is still wanted, redrive: it goes on where it stopped."
        }
        None if error == EXECUTION_TIMED_OUT => {
            "It took longer than an execution may. Find out what held it up, then redrive: it goes on where it stopped."
        }
        None if ["States.Runtime", "States.DataLimitExceeded"].contains(&error) => {
            "The state machine failed in a way that it cannot catch: report it with the execution's history. If a redrive fails again, start a new execution with the same input."
        }
        None if error == "Lambda.TooManyRequestsException" => {
            "More files wait than MaxConnections lets through: raise it if the partner allows, then redrive."
        }
        None if error.starts_with("Sandbox.")
            || error.starts_with("Runtime.")
            || error == "Lambda.Unknown" =>
        {
            "The function crashed or ran out of time or memory: look at its log, then redrive, it goes on where it stopped."
        }
        None if error.starts_with("Lambda.") => "AWS Lambda could not run the function: redrive.",
        None => "Step Functions stopped the state: read the cause, then redrive.",
    }
}

/// Where the runbook says more: GitHub's anchor of the heading.
pub fn runbook_section(error: &str) -> String {
    let anchor = match ErrorName::parse(error) {
        Some(name) => name.as_str().to_lowercase(),
        None if [EXECUTION_ABORTED, EXECUTION_TIMED_OUT].contains(&error) => error.to_lowercase(),
        None => "errors-of-lambda-and-step-functions".into(),
    };
    format!("docs/errors.md#{anchor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_something_to_do() {
        for error in [
            "RemoteFull",
            "Lambda.TooManyRequestsException",
            "Sandbox.Timedout",
            "Runtime.Unknown",
            "Lambda.X",
            "States.Timeout",
            "States.Runtime",
            EXECUTION_ABORTED,
            EXECUTION_TIMED_OUT,
        ] {
            assert!(what_to_do(error, Place::Stack).contains("redrive"), "{error}");
        }
    }
}
