//! What has to say the same in several places: the error names, the settings, and the one name of each step.

use std::collections::BTreeSet;

use bridge::{ErrorName, SETTINGS};
use integration_tests::tools::workspace;
use serde_json::Value;

/// Folder, package and binary; state and, with `Function` behind it, resource.
const STEPS: [(&str, &str); 4] = [
    ("fetch-key", "FetchKey"),
    ("transfer", "Transfer"),
    ("verify-remote", "VerifyRemote"),
    ("record-failure", "RecordFailure"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

fn states() -> serde_json::Map<String, Value> {
    let definition: Value = serde_json::from_str(&read("statemachine/bridge.asl.json")).unwrap();
    definition["States"].as_object().unwrap().clone()
}

/// The `ErrorEquals` of each retrier or catcher of a state.
fn matched(state: &Value, field: &str) -> Vec<Vec<String>> {
    let rules = state[field].as_array().cloned().unwrap_or_default();
    rules.iter().map(|rule| serde_json::from_value(rule["ErrorEquals"].clone()).unwrap()).collect()
}

fn is_of_aws(name: &str) -> bool {
    ["Lambda.", "Sandbox.", "Runtime.", "States."].iter().any(|prefix| name.starts_with(prefix))
}

#[test]
fn the_definition_names_no_error_that_we_do_not_raise() {
    for (name, state) in states() {
        for error in matched(&state, "Retry").into_iter().chain(matched(&state, "Catch")).flatten() {
            assert!(is_of_aws(&error) || ErrorName::parse(&error).is_some(), "{name}: {error}");
        }
    }
}

#[test]
fn what_is_retryable_is_retried_and_nothing_else() {
    let states = states();
    let retried = |state: &str| -> BTreeSet<String> {
        matched(&states[state], "Retry").into_iter().flatten().filter(|error| !is_of_aws(error)).collect()
    };
    let retryable: BTreeSet<String> =
        ErrorName::ALL.iter().filter(|name| name.retryable()).map(|name| name.as_str().to_owned()).collect();
    for state in ["Transfer", "VerifyRemote"] {
        assert_eq!(retried(state), retryable, "{state}");
    }
    assert!(retried("FetchKey").is_subset(&retryable));
    for (name, state) in &states {
        for rule in matched(state, "Retry") {
            assert!(
                !rule.iter().any(|error| matches!(error.as_str(), "States.ALL" | "States.TaskFailed")),
                "{name}"
            );
        }
    }
}

#[test]
fn every_task_catches_everything_and_records_it() {
    for (name, state) in states() {
        if state["Type"] != "Task" || name == "RecordFailure" || name == "RaiseOriginal" {
            continue;
        }
        let last = state["Catch"].as_array().unwrap().last().unwrap();
        assert_eq!(last["ErrorEquals"], serde_json::json!(["States.ALL"]), "{name}");
        assert_eq!(last["Next"], "RecordFailure", "{name}");
    }
}

#[test]
fn every_state_retrier_and_catcher_says_why_it_is_there() {
    for (name, state) in states() {
        let rules =
            ["Retry", "Catch"].iter().flat_map(|field| state[*field].as_array().cloned().unwrap_or_default());
        for part in rules.chain([state.clone()]) {
            assert!(part["Comment"].as_str().is_some_and(|comment| comment.len() > 20), "{name}: {part}");
        }
    }
}

#[test]
fn one_name_a_step() {
    let (states, template) = (states(), read("sam/template.yaml"));
    for (folder, state) in STEPS {
        assert!(read(&format!("functions/{folder}/Cargo.toml")).contains(&format!("name = \"{folder}\"")));
        assert_eq!(states[state]["Arguments"]["FunctionName"], format!("${{{state}FunctionArn}}"));
        for line in [
            format!("\n  {state}Function:\n"),
            format!("CodeUri: ../functions/{folder}\n"),
            format!("Binary: {folder} }}"),
            format!("{state}FunctionArn: !GetAtt {state}Function.Arn\n"),
        ] {
            assert!(template.contains(&line), "{line:?} is not in the template");
        }
    }
}

#[test]
fn the_template_sets_every_setting_and_no_other() {
    let template = read("sam/template.yaml");
    let set: BTreeSet<&str> = template
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(name, _)| name)
        .filter(|name| ["SFTP_", "S3_", "FAILURE_", "LOG_LEVEL"].iter().any(|start| name.starts_with(start)))
        .collect();
    assert_eq!(set, SETTINGS.iter().map(|setting| setting.name).collect());
}

#[test]
fn the_readme_shows_the_settings_as_they_are() {
    let readme = read("README.md");
    for setting in SETTINGS {
        let default = match setting.default {
            None | Some("") => String::new(),
            Some(default) => format!("`{default}`"),
        };
        let row = format!("| `{}` | {default} | {} |", setting.name, setting.description);
        assert!(readme.contains(&row), "the README lacks the row\n{row}");
    }
    let starts = ["| `SFTP_", "| `S3_", "| `FAILURE_"];
    let rows = readme.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
    assert_eq!(rows.count() + 1, SETTINGS.len(), "and LOG_LEVEL");
}

#[test]
fn the_readme_names_no_test_that_is_not_there() {
    let mut sources = String::new();
    let folders = ["tests/tests/end_to_end", "tests/tests/engine", "tests/tests/stories", "crates/aws/src"];
    for folder in folders {
        for file in std::fs::read_dir(workspace().join(folder)).unwrap() {
            sources += &std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        }
    }
    let readme = read("README.md");
    let named: Vec<&str> = readme.split('`').filter(|word| word.starts_with("story_")).collect();
    assert!(named.len() > 20);
    for name in named {
        assert!(sources.contains(&format!("fn {name}()")), "{name}");
    }
}

#[test]
fn the_runbook_has_a_heading_for_every_error() {
    let runbook = read("docs/errors.md");
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let names = ErrorName::ALL.iter().map(|name| name.as_str());
    let expected: Vec<&str> = names.chain(["Errors of Lambda and Step Functions"]).collect();
    assert_eq!(headings, expected);
    let unwrapped = runbook.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ErrorName::ALL {
        let hint = name.hint().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(&hint), "the runbook lacks the hint of {name}: {hint}");
    }
}
