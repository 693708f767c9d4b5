//! Whether another look is under way. Two looks at the same time would do no harm, since an execution is started once;
//! but the second one would only repeat the work of the first, and load the partner's server.

use aws::CallError;
use aws::rate::Api;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus};
use bridge::Execution;

use crate::collections::Collections;

/// The older look that is running, if there is one: its name.
pub(crate) async fn older(collections: &Collections, execution: &Execution) -> Option<String> {
    let since = bridge::unix_seconds(&execution.start_time)?;
    if execution.id.is_empty() || execution.state_machine_id.is_empty() {
        return None;
    }
    let list = || {
        let list = collections.client().list_executions().state_machine_arn(&execution.state_machine_id);
        list.status_filter(ExecutionStatus::Running).send()
    };
    match collections.limiter().call(Api::ListExecutions, list).await {
        Ok(running) => {
            let running = running.executions.iter();
            let places = running.map(|running| (place_of(running), running.name.clone()));
            older_than((since, &execution.id), places)
        }
        Err(error) => {
            let error = CallError::of(&error);
            tracing::warn!(%error, "whether another look is under way could not be asked; going on");
            None
        }
    }
}

/// When a look began, and its ARN, which decides between two that began in the same second.
type Place<'a> = (i64, &'a str);

fn place_of(running: &ExecutionListItem) -> Place<'_> {
    (running.start_date.secs(), &running.execution_arn)
}

fn older_than<'a>(ours: Place<'_>, running: impl Iterator<Item = (Place<'a>, String)>) -> Option<String> {
    running.filter(|(place, _)| *place < ours).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_looks_one_goes_on() {
        let (ours, other) = ((10, "b"), (10, "a"));
        let running = |places: &[Place<'static>]| -> Vec<(Place<'static>, String)> {
            places.iter().map(|place| (*place, place.1.to_owned())).collect()
        };
        assert_eq!(older_than(ours, running(&[ours]).into_iter()), None, "ourselves");
        assert_eq!(older_than(ours, running(&[ours, other]).into_iter()), Some("a".into()));
        assert_eq!(older_than(other, running(&[ours, other]).into_iter()), None);
        assert_eq!(older_than(ours, running(&[(11, "a")]).into_iter()), None, "it ends, not we");
        assert_eq!(older_than(ours, running(&[(9, "z"), (8, "y"), ours]).into_iter()), Some("y".into()));
    }
}
