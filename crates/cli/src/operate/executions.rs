//! The executions of a stack's state machine. Every call goes through the limiter.

use aws::rate::{Api, Limiter};
use aws_sdk_sfn::Client;
use aws_sdk_sfn::error::ProvideErrorMetadata as _;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::{ExecutionListItem, ExecutionStatus, HistoryEvent};

use super::problem::Problem;

/// The executions of one state machine.
pub(crate) struct Executions {
    client: Client,
    limiter: Limiter,
    state_machine_arn: String,
}

/// What became of a request to start an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// It runs. It may have been started before, by the same request.
    Started(String),
    /// An execution of this name has run before.
    Existed(String),
}

/// What became of a request to redrive an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Redrive {
    Started,
    /// Why it cannot be redriven.
    NotRedrivable(String),
    /// Step Functions does not know it any more.
    Unknown,
}

/// Executions of one status, page by page, the newest first.
pub(crate) struct Pages<'a> {
    executions: &'a Executions,
    status: Option<ExecutionStatus>,
    next: Next,
}

enum Next {
    First,
    After(String),
    End,
}

impl Executions {
    pub(crate) fn new(client: Client, state_machine_arn: &str) -> Self {
        Self { client, limiter: Limiter::default(), state_machine_arn: state_machine_arn.to_owned() }
    }

    /// The ARN of the execution with this name.
    pub(crate) fn arn_of(&self, name: &str) -> String {
        format!("{}:{name}", self.state_machine_arn.replacen(":stateMachine:", ":execution:", 1))
    }

    /// All executions, or those of one status.
    pub(crate) fn list(&self, status: Option<ExecutionStatus>) -> Pages<'_> {
        Pages { executions: self, status, next: Next::First }
    }

    /// One execution. `None` if Step Functions does not know it: it keeps executions for 90 days.
    pub(crate) async fn describe(&self, arn: &str) -> Result<Option<DescribeExecutionOutput>, Problem> {
        let describe = || self.client.describe_execution().execution_arn(arn).send();
        match self.limiter.call(Api::DescribeExecution, describe).await {
            Ok(execution) => Ok(Some(execution)),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(None),
            Err(error) => {
                Err(Problem::of_call(&format!("looking up {arn}"), "states:DescribeExecution", &error))
            }
        }
    }

    /// The last events of an execution, the newest first: at most `count`, at most 1,000.
    pub(crate) async fn last_events(&self, arn: &str, count: i32) -> Result<Vec<HistoryEvent>, Problem> {
        let history = || {
            let history = self.client.get_execution_history().execution_arn(arn);
            history.reverse_order(true).max_results(count).include_execution_data(true).send()
        };
        let history = self.limiter.call(Api::GetExecutionHistory, history).await.map_err(|error| {
            Problem::of_call(&format!("reading the history of {arn}"), "states:GetExecutionHistory", &error)
        })?;
        Ok(history.events)
    }

    /// Starts an execution of this name.
    pub(crate) async fn start(&self, name: &str, input: &str) -> Result<Start, Problem> {
        let start = || {
            let start = self.client.start_execution().state_machine_arn(&self.state_machine_arn);
            start.name(name).input(input).send()
        };
        match self.limiter.call(Api::StartExecution, start).await {
            Ok(started) => Ok(Start::Started(started.execution_arn)),
            Err(error) if error.code() == Some("ExecutionAlreadyExists") => {
                Ok(Start::Existed(self.arn_of(name)))
            }
            Err(error) => Err(Problem::of_call(&format!("starting {name}"), "states:StartExecution", &error)),
        }
    }

    /// Redrives an execution.
    pub(crate) async fn redrive(&self, arn: &str) -> Result<Redrive, Problem> {
        // The limiter may repeat a request whose answer was lost: Step Functions knows it by the token.
        let token = format!("{:032x}", fastrand::u128(..));
        let redrive = || self.client.redrive_execution().execution_arn(arn).client_token(&token).send();
        match self.limiter.call(Api::RedriveExecution, redrive).await {
            Ok(_) => Ok(Redrive::Started),
            Err(error) if error.code() == Some("ExecutionDoesNotExist") => Ok(Redrive::Unknown),
            Err(error) if error.code() == Some("ExecutionNotRedrivable") => {
                let why = error.message().unwrap_or("Step Functions does not say why");
                Ok(Redrive::NotRedrivable(why.to_owned()))
            }
            Err(error) => {
                Err(Problem::of_call(&format!("redriving {arn}"), "states:RedriveExecution", &error))
            }
        }
    }
}

impl Pages<'_> {
    /// The next page of up to 1,000; `None` at the end.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<ExecutionListItem>>, Problem> {
        let token = match std::mem::replace(&mut self.next, Next::End) {
            Next::First => None,
            Next::After(token) => Some(token),
            Next::End => return Ok(None),
        };
        let Executions { client, limiter, state_machine_arn } = self.executions;
        let list = || {
            let list = client.list_executions().state_machine_arn(state_machine_arn).max_results(1_000);
            list.set_status_filter(self.status.clone()).set_next_token(token.clone()).send()
        };
        let page = limiter
            .call(Api::ListExecutions, list)
            .await
            .map_err(|error| Problem::of_call("listing the executions", "states:ListExecutions", &error))?;
        if let Some(token) = page.next_token {
            self.next = Next::After(token);
        }
        Ok(Some(page.executions))
    }
}
