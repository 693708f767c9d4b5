//! The copy of a state machine that goes on where an execution failed.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The state that failed, with the input that it failed with.
#[derive(Clone, Debug)]
pub(super) struct FailedState {
    pub(super) name: String,
    input: Value,
}

/// The state that was entered last.
pub(super) fn failed_state(events: &[Value]) -> Result<FailedState> {
    let entered = events.iter().rev().find_map(|event| event.get("stateEnteredEventDetails"));
    let entered = entered.context("the execution entered no state")?;
    Ok(FailedState {
        name: entered["name"].as_str().unwrap_or_default().to_owned(),
        input: serde_json::from_str(entered["input"].as_str().unwrap_or("null"))?,
    })
}

/// What the copy starts with: the state's input, and what its context object would say.
pub(super) fn input(execution: &Value, failed: &FailedState, redrive_count: u32) -> Result<Value> {
    let event: Value = serde_json::from_str(execution["input"].as_str().unwrap_or("null"))?;
    Ok(json!({
        "document": failed.input,
        "original": {
            "event": event,
            "id": execution["executionArn"],
            "name": execution["name"],
            "start_time": start_time(execution),
            "machine": execution["stateMachineArn"],
            "redrive_count": redrive_count,
        },
    }))
}

/// The context object has RFC 3339, DescribeExecution seconds since 1970.
fn start_time(execution: &Value) -> String {
    let seconds = execution["startDate"].as_f64().unwrap_or_default();
    let moment = aws_sdk_s3::primitives::DateTime::from_secs_f64(seconds);
    moment.fmt(aws_sdk_s3::primitives::DateTimeFormat::DateTime).unwrap_or_default()
}

/// What the definition reads of its context object, and where the copy finds it. The input comes first: the other
/// replacements contain its name.
const CONTEXT: [(&str, &str); 6] = [
    ("Execution.Input", "event"),
    ("Execution.Id", "id"),
    ("Execution.Name", "name"),
    ("Execution.StartTime", "start_time"),
    ("Execution.RedriveCount", "redrive_count"),
    ("StateMachine.Id", "machine"),
];

/// The definition that begins at this state.
pub(super) fn definition(original: &str, state: &str) -> Result<String> {
    let mut definition: Value = serde_json::from_str(original)?;
    for_each_text(&mut definition, &mut |text| {
        for (name, field) in CONTEXT {
            let place = format!("$states.context.Execution.Input.original.{field}");
            *text = text.replace(&format!("$states.context.{name}"), &place);
        }
    });
    definition["States"]["StandIn"] = json!({
        "Type": "Pass", "Output": "{% $states.input.document %}", "Next": state,
    });
    definition["StartAt"] = "StandIn".into();
    Ok(definition.to_string())
}

fn for_each_text(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| for_each_text(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| for_each_text(field, change)),
        _ => {}
    }
}

/// One name for each definition, at most 80 characters.
pub(super) fn name(original: &str, definition: &str) -> String {
    let hash = Sha256::digest(definition);
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-redriven-{hash}", original.chars().take(50).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_the_first_execution_is_kept() {
        let original = json!({"StartAt": "A", "States": {"A": {"Arguments": {
            "event": "{% $states.context.Execution.Input %}", "id": "{% $states.context.Execution.Id %}",
            "state": "{% $states.context.State.Name %}"
        }}}});
        let copied = definition(&original.to_string(), "A").unwrap();
        let copied: Value = serde_json::from_str(&copied).unwrap();
        let arguments = &copied["States"]["A"]["Arguments"];
        assert_eq!(arguments["event"], "{% $states.context.Execution.Input.original.event %}");
        assert_eq!(arguments["id"], "{% $states.context.Execution.Input.original.id %}");
        assert_eq!(arguments["state"], "{% $states.context.State.Name %}");
        assert_eq!(
            (&copied["StartAt"], &copied["States"]["StandIn"]["Next"]),
            (&json!("StandIn"), &json!("A"))
        );
    }
}
