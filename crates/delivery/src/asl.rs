//! Reads definitions of state machines, for the tests that compare them with the states here.

use serde_json::Value;

/// The definition in `statemachine/` of this name.
pub(crate) fn definition(name: &str) -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../statemachine");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/{name}.asl.json")).unwrap()).unwrap()
}

/// The state that follows `name`, through the choices in between.
pub(crate) fn follow<'a>(states: &'a Value, name: &'a Value, input: &Value) -> &'a str {
    let mut name = name.as_str().unwrap();
    while states[name]["Type"] == "Choice" {
        let choices = states[name]["Choices"].as_array().unwrap();
        let chosen = choices.iter().find(|choice| holds(choice["Condition"].as_str().unwrap(), input));
        name = chosen.map_or(&states[name]["Default"], |choice| &choice["Next"]).as_str().unwrap();
    }
    name
}

/// Evaluates as much of JSONata as the choices use.
fn holds(condition: &str, input: &Value) -> bool {
    let expression = condition.trim_start_matches("{% ").trim_end_matches(" %}");
    expression.split(" and ").all(|term| {
        if let Some(path) = term.strip_prefix("$exists(") {
            !lookup(path.trim_end_matches(')'), input).is_null()
        } else if let Some((path, list)) = term.split_once(" in ") {
            let list: Vec<Value> = serde_json::from_str(&list.replace('\'', "\"")).unwrap();
            list.contains(lookup(path, input))
        } else if let Some((path, most)) = term.split_once(" <= ") {
            lookup(path, input).as_u64().unwrap() <= most.parse().unwrap()
        } else if let Some((path, value)) = term.split_once(" = ") {
            lookup(path, input) == value.trim_matches('\'')
        } else {
            panic!("this test cannot evaluate {term:?}: extend it")
        }
    })
}

fn lookup<'a>(path: &str, input: &'a Value) -> &'a Value {
    let fields = path.strip_prefix("$states.input.").unwrap();
    fields.split('.').fold(input, |value, field| &value[field])
}
