//! What releases have promised: files of `tests/contracts`, taken from real runs of each release. Documents that it wrote
//! must still be read, and what it printed must still be there with at least the same fields.

pub mod inputs;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::tools::workspace;

/// If it is set, [`hold`] writes the files of the current version instead of comparing with those of all releases.
pub const RECORD: &str = "BRIDGE_RECORD_CONTRACTS";

/// The folder of each release, by its version.
pub fn releases() -> BTreeMap<String, PathBuf> {
    let folder = workspace().join("tests/contracts");
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

/// A file of each release that has it, with the release's version.
pub fn of_each_release(name: &str) -> Vec<(String, Value)> {
    let files = releases().into_iter().map(|(release, folder)| (release, folder.join(name)));
    let files = files.filter(|(_, file)| file.exists());
    files
        .map(|(release, file)| (release, serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()))
        .collect()
}

/// Sees to it that `now` has at least what the same output had in each release. `name` is the file's, below the folder of
/// the release.
///
/// # Panics
/// If something is missing, or has another type, or no release has such a file.
pub fn hold(name: &str, now: &Value) {
    if is_recording() {
        return record(name, now);
    }
    let promised = of_each_release(name);
    assert!(!promised.is_empty(), "no release has {name}: run this test once with {RECORD}=1");
    for (release, then) in promised {
        let missing = missing(&then, now);
        assert!(missing.is_empty(), "{name} of {release} had more than now: {missing:#?}\nnow: {now:#}");
    }
}

/// Whether the files of the current version are written.
pub fn is_recording() -> bool {
    std::env::var_os(RECORD).is_some()
}

/// Writes a file of the current version.
pub fn record(name: &str, now: &Value) {
    let file = workspace().join("tests/contracts").join(bridge::VERSION).join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, format!("{now:#}\n")).unwrap();
}

/// The fields of `then` that `now` does not have, or has with another type. More fields may be there. Of an array, each
/// element is compared with the one at its place, or with the last one.
pub fn missing(then: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", then, now, &mut found);
    found
}

fn compare(path: &str, then: &Value, now: &Value, found: &mut Vec<String>) {
    match (then, now) {
        // Null said only that there was such a field.
        (Value::Null, _) => {}
        (Value::Object(then), Value::Object(now)) => {
            for (name, then) in then {
                let path = format!("{path}.{name}");
                match now.get(name) {
                    Some(now) => compare(&path, then, now, found),
                    None => found.push(format!("{path}: is gone")),
                }
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            for (index, then) in then.iter().enumerate() {
                match now.get(index).or(now.last()) {
                    Some(now) => compare(&format!("{path}[{index}]"), then, now, found),
                    None => found.push(format!("{path}: is empty")),
                }
            }
        }
        (then, now) if kind(then) == kind(now) => {}
        (then, now) => found.push(format!("{path}: was {}, is {}", kind(then), kind(now))),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The fields of `then` that `now` does not have with the same value: what reading and writing has lost.
pub fn lost(then: &Value, now: &Value) -> Vec<String> {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let below = then.iter().flat_map(|(name, then)| {
                let lost = match now.get(name) {
                    Some(now) => lost(then, now),
                    None if then.is_null() => Vec::new(),
                    None => vec![" is gone".to_owned()],
                };
                lost.into_iter().map(move |lost| format!(".{name}{lost}"))
            });
            below.collect()
        }
        (then, now) if then == now => Vec::new(),
        (then, now) => vec![format!(": was {then}, is {now}")],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_that_is_removed_renamed_or_of_another_type_is_noticed_and_a_new_one_is_not() {
        let then =
            json!({"health": "ok", "oldest": [{"key": "k", "since": null}], "version": {"stack": "0.1.0"}});
        let with = |change: fn(&mut Value)| {
            let mut now = then.clone();
            change(&mut now);
            missing(&then, &now)
        };
        assert_eq!(with(|_| {}), [""; 0]);
        assert_eq!(with(|now| now["more"] = json!(1)), [""; 0]);
        assert_eq!(with(|now| now["oldest"][0]["since"] = json!("2026")), [""; 0]);
        assert_eq!(with(|now| drop(now.as_object_mut().unwrap().remove("health"))), [".health: is gone"]);
        let renamed = |now: &mut Value| now["oldest"][0] = json!({"object_key": "k", "since": null});
        assert_eq!(with(renamed), [".oldest[0].key: is gone"]);
        assert_eq!(with(|now| now["version"] = json!("0.1.0")), [".version: was an object, is a string"]);
        assert_eq!(with(|now| now["oldest"] = json!([])), [".oldest: is empty"]);
    }

    #[test]
    fn what_is_not_read_is_lost() {
        let then = json!({"sent": {"offset": 5, "restarts": 1}, "checkpoint": null});
        assert_eq!(lost(&then, &json!({"sent": {"offset": 5, "restarts": 1, "new": 0}})), [""; 0]);
        assert_eq!(lost(&then, &json!({"sent": {"offset": 5}})), [".sent.restarts is gone"]);
        assert_eq!(
            lost(&then, &json!({"sent": {"offset": 6, "restarts": 1}})),
            [".sent.offset: was 5, is 6"]
        );
    }
}
