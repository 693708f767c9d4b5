//! What a person can do about a failure.

use bridge::{EXECUTION_ABORTED, EXECUTION_TIMED_OUT, ErrorName, Place};

/// The command, and the console's page of the execution. `s3-sftp-bridge deliver` has no ARN.
pub(crate) fn rerun(execution: &str, object: &str) -> (String, Option<String>) {
    let Some(region) = execution.strip_prefix("arn:").and_then(|arn| arn.split(':').nth(2)) else {
        return (format!("s3-sftp-bridge deliver '{}'", object.replace('\'', r"'\''")), None);
    };
    let command =
        format!("aws stepfunctions redrive-execution --region {region} --execution-arn {execution}");
    let console = format!(
        "https://{region}.console.aws.amazon.com/states/home?region={region}#/v2/executions/details/{execution}"
    );
    (command, Some(console))
}

/// Who reads the record.
pub(crate) fn place(execution: &str) -> Place {
    if execution.starts_with("arn:") { Place::Stack } else { Place::CommandLine }
}

/// Our own errors have their hint; Lambda's and Step Functions' own are few.
pub(crate) fn what_to_do(error: &str, place: Place) -> &'static str {
    match ErrorName::parse(error) {
        Some(name) => name.hint_for(place),
        None if error == EXECUTION_ABORTED => {
            "Somebody stopped this delivery. If the file is still wanted, redrive: the transfer resumes."
        }
        None if error == EXECUTION_TIMED_OUT => {
            "The delivery took longer than an execution may. Find out what held it up, then redrive: the transfer resumes."
        }
        None if ["States.Runtime", "States.DataLimitExceeded"].contains(&error) => {
            "The state machine failed in a way that it cannot catch: report it with the execution's history. If a redrive fails again, start a new execution with the same input."
        }
        None if error == "Lambda.TooManyRequestsException" => {
            "More deliveries wait than MaxConnections lets through: raise it if the partner allows, then redrive."
        }
        None if error.starts_with("Sandbox.")
            || error == "Runtime.ExitError"
            || error == "Lambda.Unknown" =>
        {
            "The function crashed or ran out of time or memory: look at its log, then redrive, the transfer resumes."
        }
        None if error.starts_with("Lambda.") => "AWS Lambda could not run the function: redrive.",
        None => "Step Functions stopped the state: read the cause, then redrive.",
    }
}

/// GitHub's anchor of the runbook's heading.
pub(crate) fn anchor(error: &str) -> String {
    match ErrorName::parse(error) {
        Some(name) => name.as_str().to_lowercase(),
        None if [EXECUTION_ABORTED, EXECUTION_TIMED_OUT].contains(&error) => error.to_lowercase(),
        None => "errors-of-lambda-and-step-functions".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_run_by_hand_is_rerun_by_hand() {
        let (command, console) = rerun("s3-sftp-bridge deliver", "s3://b/it's");
        assert_eq!((command.as_str(), console), (r"s3-sftp-bridge deliver 's3://b/it'\''s'", None));
    }

    #[test]
    fn what_was_run_by_hand_is_told_what_to_do_by_hand() {
        let what_to_do = what_to_do("RemoteFull", place("deliver-2026-11-27"));
        assert!(what_to_do.contains("run the command again"), "{what_to_do}");
    }

    #[test]
    fn every_error_has_something_to_do() {
        for error in [
            "RemoteFull",
            "Lambda.TooManyRequestsException",
            "Sandbox.Timedout",
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
