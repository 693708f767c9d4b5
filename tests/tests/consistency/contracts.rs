//! Every release reads what earlier ones wrote, and keeps the names that other programs use. The files are from real runs
//! of each release: `tests/contracts`.

use std::collections::{BTreeMap, BTreeSet};

use aws::metrics::Metric;
use bridge::{
    Checkpoint, DayReceiptKey, ErrorName, FailureKey, FetchKeyInput, FetchKeyOutput, Receipt, ReceiptKey,
    RecordFailureInput, TransferInput, VerifyRemoteInput, decode,
};
use integration_tests::contract::inputs::{Input, Inputs, Presence};
use integration_tests::contract::{hold, is_recording, lost, of_each_release, record, releases};
use integration_tests::template::template;
use integration_tests::tools::workspace;
use regex_lite::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Nothing of a document is overlooked when it is read. A field with a default could be renamed without an error.
fn assert_is_read<T: DeserializeOwned + Serialize>(what: &str, document: &Value) {
    let read: T = decode(document.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let lost = lost(document, &serde_json::to_value(read).unwrap());
    assert!(lost.is_empty(), "{what} is read without {lost:#?}");
}

/// The files of every release.
fn each(name: &str) -> Vec<(String, Value)> {
    let found = of_each_release(name);
    assert_eq!(found.len(), releases().len(), "each release has {name}");
    found.into_iter().map(|(release, document)| (format!("{name} of {release}"), document)).collect()
}

/// What a state gives to its function, as the definition of the release builds it from the document.
fn payload(state: &str, definition: &Value, document: &Value, event: &Value) -> Value {
    let asked = definition["States"][state]["Arguments"]["Payload"].as_object().unwrap();
    let execution = asked.get("execution").and_then(Value::as_object).map(|fields| {
        let value = |name: &String| match name.as_str() {
            "redrive_count" | "retry_count" => json!(1),
            _ => json!(format!("the {name}")),
        };
        fields.keys().map(|name| (name.clone(), value(name))).collect::<serde_json::Map<_, _>>()
    });
    let fields = asked.iter().map(|(name, given)| {
        let value = match (name.as_str(), given) {
            ("event", _) => event.clone(),
            ("document", _) => without(document, "failure"),
            // What the state machine adds for people.
            ("failure", _) => without(&document["failure"], "record"),
            ("execution", _) => json!(execution),
            ("resends", _) => json!(1),
            (_, Value::Bool(raise)) => json!(raise),
            (name, _) => document[name].clone(),
        };
        (name.clone(), value)
    });
    Value::Object(fields.collect())
}

fn without(value: &Value, field: &str) -> Value {
    let mut value = value.clone();
    value.as_object_mut().unwrap().remove(field);
    value
}

#[test]
fn story_252_payloads_of_every_release_are_read_whole() {
    for (release, folder) in releases() {
        let file = |name: &str| -> Value {
            let text = std::fs::read_to_string(folder.join(name))
                .unwrap_or_else(|why| panic!("{release}/{name}: {why}"));
            serde_json::from_str(&text).unwrap()
        };
        let (definition, event) = (file("bridge.asl.json"), file("documents/event.json"));
        let documents = std::fs::read_dir(folder.join("documents")).unwrap();
        let mut states = BTreeSet::new();
        for path in documents.map(|entry| entry.unwrap().path()) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let state = name.split('-').next().unwrap().to_owned();
            if state == "event" {
                let payload = payload("FetchKey", &definition, &json!({}), &event);
                assert_is_read::<FetchKeyInput>(&format!("{release}: FetchKey"), &payload);
                continue;
            }
            let document = file(&format!("documents/{name}.json"));
            let (what, payload) =
                (format!("{release}: {name}"), payload(&state, &definition, &document, &event));
            match state.as_str() {
                "Transfer" => assert_is_read::<TransferInput>(&what, &payload),
                "VerifyRemote" => assert_is_read::<VerifyRemoteInput>(&what, &payload),
                "RecordFailure" | "RaiseOriginal" => assert_is_read::<RecordFailureInput>(&what, &payload),
                other => panic!("{release}: no state {other:?} has a payload"),
            }
            if let Some(checkpoint) = document.get("checkpoint").filter(|checkpoint| !checkpoint.is_null()) {
                assert_is_read::<Checkpoint>(&what, checkpoint);
            }
            if let Some(credential) = document.get("credential").filter(|credential| !credential.is_null()) {
                assert_is_read::<FetchKeyOutput>(&what, &json!({ "credential": credential }));
            }
            states.insert(name);
        }
        for needed in ["Transfer", "Transfer-in-the-middle", "VerifyRemote", "RecordFailure", "RaiseOriginal"]
        {
            assert!(states.contains(needed), "{release} has no document of {needed}");
        }
    }
}

#[test]
fn story_252_keys_of_every_release_are_read() {
    for (what, keys) in each("records/keys.json") {
        let keys: Vec<String> = serde_json::from_value(keys).unwrap();
        assert!(keys.len() > 3, "{what}");
        for key in keys {
            let read = ReceiptKey::parse(&key).map(|key| key.to_string());
            let read = read.or_else(|| DayReceiptKey::parse(&key).map(|key| key.to_string()));
            let read = read.or_else(|| FailureKey::parse(&key).map(|key| key.to_string()));
            assert_eq!(read.as_deref(), Some(&*key), "{what}");
        }
    }
}

#[test]
fn story_252_a_field_that_is_renamed_is_noticed() {
    let (what, document) = each("documents/Transfer-in-the-middle.json").remove(0);
    let mut renamed = document["checkpoint"].clone();
    let report = renamed["report"].as_object_mut().unwrap();
    let value = report.remove("bytes_sent").unwrap();
    report.insert("bytes_transferred".into(), value);
    let read: Checkpoint = decode(renamed.clone()).unwrap();
    let lost = lost(&renamed, &serde_json::to_value(read).unwrap());
    assert_eq!(lost, [".report.bytes_transferred is gone"], "{what}");
}

#[test]
fn story_252_receipts_and_records_of_every_release_are_read_whole() {
    for (what, receipt) in each("records/receipt.json") {
        assert_is_read::<Receipt>(&what, &receipt);
        // Earlier ones do not say which release wrote them.
        let mut older = receipt.clone();
        assert!(older.as_object_mut().unwrap().remove("bridge_version").is_some(), "{what}");
        assert_eq!(decode::<Receipt>(older).unwrap().bridge_version, None);
    }
    for (what, record) in each("records/failure.json") {
        let text = |field: &str| record[field].as_str().unwrap_or_else(|| panic!("{what}: {field}"));
        assert!(ErrorName::parse(text("error")).is_some(), "{what}");
        // What the commands and the functions look for in a record.
        for field in ["cause", "execution", "what_to_do", "started_at"] {
            assert!(!text(field).is_empty(), "{what}: {field}");
        }
    }
}

/// The names that other programs read.
fn names() -> Value {
    let template = template();
    let section = |from: &str, to: &str| {
        let (_, rest) = template.split_once(&format!("\n{from}:\n")).unwrap();
        rest.split_once(&format!("\n{to}:\n")).map_or(rest, |(section, _)| section).to_owned()
    };
    let entry = Regex::new(r"(?m)^  ([A-Z][A-Za-z0-9]+):").unwrap();
    let of =
        |section: &str| entry.captures_iter(section).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let set =
        |names: Vec<String>| names.into_iter().map(|name| (name, json!(true))).collect::<BTreeMap<_, _>>();
    let text = |names: Vec<&str>| set(names.into_iter().map(str::to_owned).collect());
    // An update replaces a resource whose logical id has changed: its contents would be gone.
    let resources = section("Resources", "Outputs");
    let kept = Regex::new(
        r"(?m)^  ([A-Za-z0-9]+):\n    Type: AWS::(S3::Bucket|SQS::Queue|Serverless::StateMachine|Serverless::Function)$",
    );
    let kept = kept.unwrap();
    let resources =
        kept.captures_iter(&resources).map(|found| (found[1].to_owned(), json!({ &found[2]: true })));
    json!({
        "outputs": set(of(&section("Outputs", "nothing"))),
        "resources": resources.collect::<BTreeMap<_, _>>(),
        "metrics": text(Metric::ALL.iter().map(|metric| metric.name()).collect()),
        "metric_namespace": { aws::metrics::NAMESPACE: true },
        "errors": text(ErrorName::ALL.iter().map(|name| name.as_str()).collect()),
        "outcomes": text(bridge::Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect()),
    })
}

#[test]
fn story_252_names_that_other_programs_use_stay() {
    let names = names();
    for group in ["outputs", "resources", "metrics", "errors", "outcomes"] {
        assert!(names[group].as_object().unwrap().len() > 3, "{group}: {}", names[group]);
    }
    hold("names.json", &names);
}

/// The name of the file with the parameters and the settings.
const INPUTS: &str = "inputs.json";

/// The texts of the recorded decisions.
fn decisions() -> Vec<String> {
    let files = std::fs::read_dir(workspace().join("docs/decisions")).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn story_252_defaults_stay_and_what_was_accepted_is_accepted() {
    let now = Inputs::of(&template()).unwrap();
    assert!(now.parameters.len() > 40 && now.settings.len() > 30, "{now:#?}");
    if is_recording() {
        return record(INPUTS, &serde_json::to_value(now).unwrap());
    }
    for (what, then) in each(INPUTS) {
        let then: Inputs = decode(then).unwrap_or_else(|error| panic!("{what}: {error}"));
        let broken = then.broken_by(&now, &decisions());
        assert!(broken.is_empty(), "{what} promised more: {broken:#?}");
    }
}

/// What is reported if the template is changed like this.
fn broken_by_template(from: &str, to: &str, decisions: &[String]) -> String {
    let template = template();
    assert_eq!(template.matches(from).count(), 1, "{from:?} is there once");
    let [then, now] = [&template, &template.replace(from, to)].map(|text| Inputs::of(text).unwrap());
    assert_ne!(then, now, "{to:?} changes nothing");
    then.broken_by(&now, decisions).join("\n")
}

#[test]
fn story_252_a_template_that_accepts_less_is_noticed() {
    let port = "    Description: TCP port of the SFTP server.\n    Default: 22\n    MinValue: 1\n    MaxValue: 65535\n";
    let port_with = |from: &str, to: &str| broken_by_template(port, &port.replace(from, to), &[]);
    assert_eq!(port_with("22\n", "2222\n"), r#"SftpPort: the default was "22", is "2222""#);
    assert_eq!(port_with("    Default: 22\n", ""), "SftpPort: was optional, is required");
    assert_eq!(port_with("MinValue: 1", "MinValue: 1024"), "SftpPort: the minimum was 1, is 1024");
    assert_eq!(port_with("65535", "32767"), "SftpPort: the maximum was 65535, is 32767");

    for (from, to, broken) in [
        ("MaxLength: 1900", "MaxLength: 1800", "SftpTrustedHostKeys: the maximum length was 1900, is 1800"),
        (
            "MaxLength: 1900",
            "MinLength: 8\n    MaxLength: 1900",
            "SftpTrustedHostKeys: there was no limit, the minimum length is 8",
        ),
        (
            "keep-both keeps it and delivers name.1.ext.\n    Default: replace\n    AllowedValues: [replace, skip, fail, keep-both]",
            "keep-both keeps it and delivers name.1.ext.\n    Default: replace\n    AllowedValues: [replace, skip, fail]",
            r#"SftpIfExists: does not accept ["keep-both"] any more"#,
        ),
        (
            "  S3Include:\n    Type: String\n",
            "  S3Include:\n    Type: String\n    AllowedValues: [\"\"]\n",
            r#"S3Include: accepted any value, accepts only {""}"#,
        ),
        (
            "\n  S3Include:\n    Type: String\n",
            "\n  S3Include:\n    Type: Number\n",
            "S3Include: the type was Text, is Number",
        ),
        ("\n  KeySuffix:\n    Type: ", "\n  KeyEnd:\n    Type: ", "KeySuffix: is gone"),
        (
            "\nParameters:\n",
            "\nParameters:\n  Region:\n    Type: String\n    Description: New.\n",
            "Region: is new, and required: give it a default",
        ),
    ] {
        assert_eq!(broken_by_template(from, to, &[]), broken);
    }
}

#[test]
fn story_252_a_changed_pattern_needs_a_decision() {
    let (from, to) = (r"'^[^*?\\$]*$'", r"'^[^*?\\$ ]*$'");
    let broken = broken_by_template(from, to, &[]);
    assert!(broken.starts_with("KeySuffix: the pattern was "), "{broken}");
    assert!(broken.contains("record a decision in docs/decisions"), "{broken}");
    let decided = |text: &str| broken_by_template(from, to, &[text.to_owned()]);
    assert_eq!(decided(r"The pattern of `KeySuffix` is now `^[^*?\\$ ]*$`, because"), "");
    assert_eq!(decided(r"The pattern of `KeySuffix` is now another one"), broken);
    assert_eq!(decided(r"The pattern of `KeyPrefix` is now `^[^*?\\$ ]*$`"), broken);
}

#[test]
fn story_252_a_setting_that_accepts_less_is_noticed() {
    let then = Inputs::of(&template()).unwrap();
    let with = |name: &str, change: fn(&mut Input)| {
        let mut now = then.clone();
        change(now.settings.get_mut(name).unwrap());
        assert_ne!(then, now, "{name} was changed");
        then.broken_by(&now, &[]).join("\n")
    };
    let fsync = with("SFTP_FSYNC", |fsync| fsync.default = Some("require".into()));
    assert_eq!(fsync, r#"SFTP_FSYNC: the default was "try", is "require""#);
    let user = with("SFTP_USER", |user| user.default = Some("bridge".into()));
    assert_eq!(user, r#"SFTP_USER: the default was none, is "bridge""#);
    let user = with("SFTP_USER", |user| user.presence = Presence::Required);
    assert_eq!(user, "SFTP_USER: was optional, is required");
    let keep = with("SFTP_KEEP_CONNECTION", |keep| keep.maximum = Some(60));
    assert_eq!(keep, "SFTP_KEEP_CONNECTION: the maximum was 600, is 60");
    let marker = with("SFTP_MARKER", |marker| marker.allowed_values.retain(|value| value != "md5"));
    assert_eq!(marker, r#"SFTP_MARKER: does not accept ["md5"] any more"#);
}

#[test]
fn story_252_accepting_more_is_allowed() {
    for (from, to) in [
        ("    MaxValue: 65535\n", ""),
        ("MaxLength: 1900", "MaxLength: 2000"),
        ("    AllowedValues: [rename, direct]\n", "    AllowedValues: [rename, direct, ask]\n"),
        ("    AllowedPattern: '^[^*?\\\\$]*$'\n", ""),
        ("\n  SftpHost:\n    Type: String\n", "\n  SftpHost:\n    Type: String\n    Default: localhost\n"),
        (
            "\nParameters:\n",
            "\nParameters:\n  Region:\n    Type: String\n    Description: New.\n    Default: \"\"\n",
        ),
    ] {
        assert_eq!(broken_by_template(from, to, &[]), "", "{to:?}");
    }
}

/// A running execution keeps the definition that it began with: the errors that this retries must keep their names, and
/// the states must find what they read.
#[test]
fn story_252_the_definition_of_every_release_knows_the_errors_of_now() {
    for (what, definition) in each("bridge.asl.json") {
        for (name, state) in definition["States"].as_object().unwrap() {
            let rules =
                ["Retry", "Catch"].iter().flat_map(|field| state[*field].as_array().into_iter().flatten());
            for error in rules.flat_map(|rule| rule["ErrorEquals"].as_array().unwrap()) {
                let error = error.as_str().unwrap();
                assert!(
                    crate::is_of_aws(error) || ErrorName::parse(error).is_some(),
                    "{what}, {name}: {error}"
                );
            }
        }
        for name in ErrorName::ALL.iter().filter(|name| crate::OF_DELIVERIES.contains(&name.as_str())) {
            let retried = definition["States"].to_string().contains(&format!("\"{name}\""));
            assert!(retried, "{what} does not retry {name}: executions that began with it would fail");
        }
    }
}
