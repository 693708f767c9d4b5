//! What can be redriven, and what a redrive does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

use super::http::Answer;
use super::{Redriven, State, copy};

/// How long after its end an execution can be redriven.
const PERIOD: Duration = Duration::from_secs(14 * 24 * 3_600);

impl State {
    pub(super) async fn redrive(&self, arn: &str, token: Option<&str>) -> Result<Answer> {
        if self.known().forgotten.contains(arn) {
            return Ok(Answer::unknown(arn));
        }
        let Some(execution) = self.execution(arn).await? else { return Ok(Answer::unknown(arn)) };
        let token = token.map(|token| (arn.to_owned(), token.to_owned()));
        if let Some(token) = &token
            && self.known().tokens.contains(token)
        {
            let date = self.known().redriven.get(arn).map(|redriven| redriven.date);
            return Ok(Answer::ok(json!({ "redriveDate": date })));
        }
        let events = match self.obstacle(arn, &execution).await? {
            Ok(events) => events,
            Err(obstacle) => return Ok(Answer::error("ExecutionNotRedrivable", &obstacle)),
        };
        let redriven = self.continued(arn, &execution, &events).await?;
        let date = redriven.date;
        let mut known = self.known();
        known.tokens.extend(token);
        known.redriven.insert(arn.to_owned(), redriven);
        Ok(Answer::ok(json!({ "redriveDate": date })))
    }

    /// The events of the last attempt, or why this execution cannot be redriven, in AWS's words.
    pub(super) async fn obstacle(
        &self,
        arn: &str,
        execution: &Value,
    ) -> Result<std::result::Result<Vec<Value>, String>> {
        let status = execution["status"].as_str().unwrap_or_default();
        if !["FAILED", "TIMED_OUT", "ABORTED"].contains(&status) {
            return Ok(Err(format!("Execution is {status} and cannot be redriven")));
        }
        let ended = Duration::from_secs_f64(execution["stopDate"].as_f64().unwrap_or_default());
        let is_old = now().saturating_sub(ended) > PERIOD || self.known().expired.contains(arn);
        if is_old {
            return Ok(Err("Execution redrivable period exceeded".to_owned()));
        }
        let events = self.events(self.copy_of(arn).as_deref().unwrap_or(arn)).await?;
        let is_long = events.len() >= self.options.events_max;
        Ok(if is_long { Err("Execution history event limit exceeded".to_owned()) } else { Ok(events) })
    }

    /// Runs the deployed definition from the state that was entered last, with its input.
    async fn continued(&self, arn: &str, execution: &Value, events: &[Value]) -> Result<Redriven> {
        let before = self.known().redriven.get(arn).cloned();
        let failed = copy::failed_state(events)?;
        let count = before.as_ref().map_or(0, |redriven| redriven.count) + 1;
        let machine = execution["stateMachineArn"].as_str().unwrap_or_default();
        let copy_machine = self.copied_machine(machine, &failed.name).await?;
        let input = copy::input(execution, &failed, count)?;
        let name = execution["name"].as_str().unwrap_or_default();
        let start = json!({
            "stateMachineArn": copy_machine, "name": format!("{name}-{count}"), "input": input.to_string(),
        });
        let started = self.call("StartExecution", &start).await?;
        let earlier_copies = before.map(|before| [before.earlier_copies, vec![before.copy]].concat());
        Ok(Redriven {
            copy: started["executionArn"].as_str().unwrap_or_default().to_owned(),
            copy_machine,
            earlier_copies: earlier_copies.unwrap_or_default(),
            count,
            date: now().as_secs_f64(),
        })
    }

    /// A state machine that begins at this state. It is made once: a redrive does not see a later definition.
    async fn copied_machine(&self, machine: &str, state: &str) -> Result<String> {
        let which = (machine.to_owned(), state.to_owned());
        if let Some(copy) = self.known().copied_machines.get(&which) {
            return Ok(copy.clone());
        }
        let described = self.call("DescribeStateMachine", &json!({"stateMachineArn": machine})).await?;
        let definition = copy::definition(described["definition"].as_str().unwrap_or_default(), state)?;
        let name = copy::name(described["name"].as_str().unwrap_or_default(), &definition);
        let create = json!({"name": name, "roleArn": described["roleArn"], "definition": definition});
        // The same name with the same definition: MiniStack refuses it, AWS returns the first one.
        let (status, created) = super::http::call(&self.aws, "CreateStateMachine", &create).await?;
        let copy = match created["stateMachineArn"].as_str() {
            Some(arn) if status == 200 => arn.to_owned(),
            _ => format!("{}:{name}", machine.rsplit_once(':').unwrap_or_default().0),
        };
        self.known().copied_machines.insert(which, copy.clone());
        Ok(copy)
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
