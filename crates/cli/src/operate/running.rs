//! Running executions, held against uploads of which no record tells.

use aws_sdk_sfn::types::ExecutionStatus;

use super::executions::Executions;
use super::holdings::Unexplained;
use super::problem::Problem;
use super::progress;

/// Looks at the inputs of running executions, the newest first, until every upload has one.
pub(crate) async fn look_for(executions: &Executions, unexplained: &mut Unexplained) -> Result<(), Problem> {
    let bar = progress::counting("running executions");
    let mut pages = executions.list(Some(ExecutionStatus::Running));
    while let Some(earliest) = unexplained.earliest_start()
        && let Some(page) = pages.page().await?
    {
        let young = page.iter().filter(|execution| execution.start_date.secs() >= earliest);
        let is_last = young.clone().count() < page.len();
        for execution in young {
            if unexplained.left() == 0 {
                break;
            }
            bar.inc(1);
            if let Some(described) = executions.describe(&execution.execution_arn).await? {
                unexplained.note(&execution.execution_arn, described.input().unwrap_or_default());
            }
        }
        // The newest come first.
        if is_last {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(())
}
