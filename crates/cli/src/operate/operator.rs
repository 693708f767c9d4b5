//! What every command of the operator works with.

use aws::clients;
use aws::credential::Clients;
use aws::records::RecordBucket;

use super::arguments::StackArguments;
use super::direction::Direction;
use super::executions::Executions;
use super::problem::Problem;
use super::records::Records;
use super::stack::Stack;
use super::undelivered::UndeliveredEvents;

/// A stack, with clients for what is in it.
pub(crate) struct Operator {
    pub(crate) stack: Stack,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) records: Records,
    pub(crate) executions: Executions,
    /// Of the state machine for backfills.
    pub(crate) backfills: Executions,
    /// Of the state machine that collects files. `None` if the stack has none.
    pub(crate) collections: Option<Executions>,
    /// Of the state machine that looks at the directory. `None` if the stack has none.
    pub(crate) looks: Option<Executions>,
    pub(crate) undelivered: UndeliveredEvents,
    /// For the partner's credential.
    pub(crate) credential_clients: Clients,
}

impl Operator {
    /// Finds the stack.
    ///
    /// # Errors
    /// `Usage` without credentials or region, or if there is no such stack.
    pub(crate) async fn of(arguments: &StackArguments) -> Result<Self, Problem> {
        let config = clients::complete_config(&arguments.account()).await?;
        let cloudformation = aws_sdk_cloudformation::Client::new(&config);
        let region = config.region().map(ToString::to_string).unwrap_or_default();
        let stack = Stack::load(&cloudformation, &arguments.stack, &region).await?;
        let s3 = clients::s3(&config);
        let records = Records::new(s3.clone(), stack.record_bucket());
        let step_functions = clients::step_functions_once(&config);
        let executions = Executions::new(step_functions.clone(), stack.state_machine_arn());
        let other = |arn: &str| (!arn.is_empty()).then(|| Executions::new(step_functions.clone(), arn));
        let collections = other(stack.collect_machine_arn());
        let looks = other(stack.watch_machine_arn());
        let backfills = Executions::new(step_functions, stack.backfill_machine_arn());
        let sqs = aws_sdk_sqs::Client::new(&config);
        let undelivered = UndeliveredEvents::new(sqs, stack.unstarted_queue_url());
        let credential_clients = Clients::new(&config);
        Ok(Self {
            stack,
            s3,
            records,
            executions,
            backfills,
            collections,
            looks,
            undelivered,
            credential_clients,
        })
    }

    /// The executions of one direction.
    ///
    /// # Errors
    /// Why there are none, as a clause.
    pub(crate) fn executions_of(&self, direction: Direction) -> Result<&Executions, String> {
        let found = match direction {
            Direction::Delivery => Some(&self.executions),
            Direction::Collection => self.collections.as_ref(),
            Direction::Look => self.looks.as_ref(),
        };
        found.ok_or_else(|| format!("the stack {:?} collects nothing", self.stack.name()))
    }

    /// The executions of all directions that the stack has.
    pub(crate) fn all_executions(&self) -> impl Iterator<Item = &Executions> {
        [Some(&self.executions), self.collections.as_ref(), self.looks.as_ref()].into_iter().flatten()
    }

    /// To change records.
    pub(crate) fn record_bucket(&self) -> RecordBucket {
        RecordBucket::new(self.s3.clone(), self.stack.record_bucket())
    }
}
