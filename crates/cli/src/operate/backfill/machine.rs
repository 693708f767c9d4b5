//! Leaving many deliveries to the stack's state machine for backfills.

use std::collections::HashSet;

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::event::{attempt_of, nth_name};
use super::plan::Plan;
use super::report::{self, Backfill, Layout, State};
use crate::operate::executions::{Executions, Start};
use crate::operate::operator::Operator;
use crate::operate::problem::{Answer, Problem};

/// Length of the hash in a backfill's name, in hexadecimal digits.
const DIGITS: usize = 20;

/// Writes the manifest, and starts a backfill unless one runs: two would exceed the cap together.
pub(super) async fn start(plan: &Plan, operator: &Operator, layout: Layout) -> Result<Answer, Problem> {
    let backfills = &operator.backfills;
    let manifest = manifest(plan);
    let first = format!("backfill-{}", &hex::encode(Sha256::digest(&manifest))[..DIGITS]);
    if let Some(name) = running(backfills).await? {
        let state = if starts_all(operator, &name, plan).await? { State::Runs } else { State::AnotherRuns };
        report::backfill(plan, operator, &Backfill::new(&backfills.arn_of(&name), state), layout);
        return Ok(if state == State::Runs { report::answer(plan) } else { Answer::Owed });
    }
    let object_key = object_key(&first);
    write(operator, &object_key, manifest).await?;
    let input = json!({"bucket": operator.stack.record_bucket(), "key": object_key}).to_string();
    let (arn, state) = started(backfills, &first, &input).await?;
    report::backfill(plan, operator, &Backfill::new(&arn, state), layout);
    Ok(report::answer(plan))
}

/// One line for each delivery. Those under way are in it, too: they keep a place of the new backfill.
fn manifest(plan: &Plan) -> Vec<u8> {
    let mut lines = String::new();
    for item in &plan.items {
        // The name needs no escapes, and the input is JSON.
        lines.push_str(&format!("{{\"name\":\"{}\",\"input\":{}}}\n", item.name, item.input));
    }
    lines.into_bytes()
}

fn object_key(backfill: &str) -> String {
    format!("backfills/{}.jsonl", attempt_of(backfill).0)
}

/// Whether the manifest of a backfill names all that is to be started. One of an operator's own may be elsewhere.
async fn starts_all(operator: &Operator, backfill: &str, plan: &Plan) -> Result<bool, Problem> {
    let Some(manifest) = operator.records.text(&object_key(backfill)).await? else { return Ok(false) };
    let names: HashSet<&str> = manifest.lines().filter_map(|line| line.split('"').nth(3)).collect();
    Ok(plan.new_items().all(|item| names.contains(item.name.as_str())))
}

async fn running(backfills: &Executions) -> Result<Option<String>, Problem> {
    let mut pages = backfills.list(Some(ExecutionStatus::Running));
    while let Some(page) = pages.page().await? {
        if let Some(execution) = page.first() {
            return Ok(Some(execution.name.clone()));
        }
    }
    Ok(None)
}

async fn write(operator: &Operator, object_key: &str, manifest: Vec<u8>) -> Result<(), Problem> {
    let bucket = operator.stack.record_bucket();
    let put = operator.s3.put_object().bucket(bucket).key(object_key).body(manifest.into());
    put.content_type("application/x-ndjson").send().await.map(drop).map_err(|error| {
        Problem::of_call(&format!("writing s3://{bucket}/{object_key}"), "s3:PutObject", &error)
    })
}

/// Starts it under the first free name. A backfill of the same manifest that was aborted or failed goes on under the next.
async fn started(backfills: &Executions, first: &str, input: &str) -> Result<(String, State), Problem> {
    let mut attempt = 1;
    loop {
        let arn = match backfills.start(&nth_name(first, attempt), input).await? {
            Start::Started(arn) => return Ok((arn, State::Started)),
            Start::Existed(arn) => arn,
        };
        match backfills.describe(&arn).await?.map(|execution| execution.status) {
            Some(ExecutionStatus::Running) => return Ok((arn, State::Runs)),
            Some(ExecutionStatus::Succeeded) => return Ok((arn, State::Ended)),
            _ => attempt += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::operate::backfill::plan::{Item, Standing};

    #[test]
    fn story_224_the_manifest_has_a_line_for_each_delivery_and_for_those_under_way() {
        let item = |name: &str, standing| Item {
            name: name.into(),
            input: json!({"detail": {"object": {"key": "a\n\"b\" ü"}}}).to_string(),
            standing,
        };
        let plan = Plan {
            items: vec![item("backfill-1", Standing::UnderWay), item("backfill-2-2", Standing::New)],
            ..Plan::default()
        };
        let manifest = String::from_utf8(manifest(&plan)).unwrap();
        let lines: Vec<Value> = manifest.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["name"], "backfill-2-2");
        assert_eq!(lines[0]["input"]["detail"]["object"]["key"], "a\n\"b\" ü");
        let names: Vec<&str> = manifest.lines().filter_map(|line| line.split('"').nth(3)).collect();
        assert_eq!(names, ["backfill-1", "backfill-2-2"]);
        assert_eq!((plan.new_items().count(), plan.under_way()), (1, 1));
    }
}
