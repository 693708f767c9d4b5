//! Facts that are written in several places agree: error names, settings, the name of each step, stories, documents.

use std::collections::{BTreeMap, BTreeSet};

use bridge::{Algorithms, ErrorName, Preset, SETTINGS, Settings, Stack, Variables};
use integration_tests::tools::workspace;
use regex_lite::Regex;
use serde_json::Value;

mod collecting;
mod contracts;
mod documents;
mod environment;
mod functions;
mod github;
mod hcl;
mod imports;
mod packages;
mod release;
mod settings;
mod terraform;
mod terraform_runs;
mod watching;

/// The name of each step: of its folder, package and binary; of its state and, with `Function`, its resource.
const STEPS: [(&str, &str); 7] = [
    ("fetch-key", "FetchKey"),
    ("transfer", "Transfer"),
    ("verify-remote", "VerifyRemote"),
    ("record-failure", "RecordFailure"),
    ("list-remote", "ListRemote"),
    ("collect", "Collect"),
    ("settle-remote", "SettleRemote"),
];

/// The definitions whose states call the steps.
const DEFINITIONS: [&str; 3] = ["bridge", "collect", "watch"];

/// The retryable errors of our own that can occur in each state. No state raises any other.
const CAN_OCCUR: [(&str, &str, &[&str]); 9] = [
    ("bridge", "FetchKey", &["SecretUnavailable"]),
    ("bridge", "Transfer", OF_DELIVERIES),
    ("bridge", "VerifyRemote", OF_DELIVERIES),
    ("collect", "FetchKey", &["SecretUnavailable"]),
    ("watch", "FetchKey", &["SecretUnavailable"]),
    (
        "collect",
        "Collect",
        &[
            "SecretUnavailable",
            "ObjectReadInterrupted",
            "ObjectWriteInterrupted",
            "ConnectFailed",
            "ConnectionLost",
            "RemoteFailure",
            "RemoteUnreadable",
        ],
    ),
    ("collect", "VerifyObject", &["ObjectReadInterrupted", "ObjectWriteInterrupted"]),
    ("collect", "SettleRemote", &["SecretUnavailable", "ConnectFailed", "ConnectionLost", "RemoteFailure"]),
    (
        "watch",
        "ListRemote",
        &[
            "SecretUnavailable",
            "StepFunctionsUnavailable",
            "ConnectFailed",
            "ConnectionLost",
            "RemoteFailure",
            "RemoteUnreadable",
        ],
    ),
];

const OF_DELIVERIES: &[&str] =
    &["SecretUnavailable", "ObjectReadInterrupted", "ConnectFailed", "ConnectionLost", "RemoteFailure"];

fn read(path: &str) -> String {
    std::fs::read_to_string(workspace().join(path)).unwrap()
}

fn states(definition: &str) -> serde_json::Map<String, Value> {
    let definition: Value =
        serde_json::from_str(&read(&format!("statemachine/{definition}.asl.json"))).unwrap();
    definition["States"].as_object().unwrap().clone()
}

/// The states of all definitions, with their names.
fn all_states() -> Vec<(String, Value)> {
    let of = |definition: &&str| {
        let definition = (*definition).to_owned();
        states(&definition).into_iter().map(move |(name, state)| (format!("{definition}, {name}"), state))
    };
    DEFINITIONS.iter().flat_map(of).collect()
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
    for (name, state) in all_states() {
        for error in matched(&state, "Retry").into_iter().chain(matched(&state, "Catch")).flatten() {
            assert!(is_of_aws(&error) || ErrorName::parse(&error).is_some(), "{name}: {error}");
        }
    }
}

#[test]
fn what_is_retryable_is_retried_where_it_can_occur_and_nothing_else() {
    let mut retried = BTreeMap::<(&str, String), BTreeSet<String>>::new();
    for definition in DEFINITIONS {
        for (name, state) in states(definition) {
            let errors: BTreeSet<String> = matched(&state, "Retry").into_iter().flatten().collect();
            for never in ["States.ALL", "States.TaskFailed"] {
                assert!(!errors.contains(never), "{definition}, {name} retries {never}");
            }
            let own: BTreeSet<String> = errors.into_iter().filter(|error| !is_of_aws(error)).collect();
            if !own.is_empty() {
                retried.insert((definition, name), own);
            }
        }
    }
    let set = |errors: &[&str]| errors.iter().map(|&error| error.to_owned()).collect::<BTreeSet<_>>();
    let expected = CAN_OCCUR.iter();
    let expected: BTreeMap<_, _> = expected
        .map(|(definition, state, errors)| ((*definition, (*state).to_owned()), set(errors)))
        .collect();
    assert_eq!(retried, expected);
    let retryable: BTreeSet<String> =
        ErrorName::ALL.iter().filter(|name| name.retryable()).map(|name| name.as_str().to_owned()).collect();
    assert_eq!(retried.into_values().flatten().collect::<BTreeSet<_>>(), retryable);
}

#[test]
fn every_task_catches_everything_and_records_it() {
    for (name, state) in all_states() {
        if state["Type"] != "Task" || name.ends_with("RecordFailure") || name.ends_with("RaiseOriginal") {
            continue;
        }
        let last = state["Catch"].as_array().unwrap().last().unwrap();
        assert_eq!(last["ErrorEquals"], serde_json::json!(["States.ALL"]), "{name}");
        assert_eq!(last["Next"], "RecordFailure", "{name}");
    }
}

#[test]
fn every_state_retrier_and_catcher_says_why_it_is_there() {
    for (name, state) in all_states() {
        let rules =
            ["Retry", "Catch"].iter().flat_map(|field| state[*field].as_array().cloned().unwrap_or_default());
        for part in rules.chain([state.clone()]) {
            assert!(part["Comment"].as_str().is_some_and(|comment| comment.len() > 20), "{name}: {part}");
        }
    }
}

#[test]
fn one_name_a_step() {
    let template = read("sam/template.yaml");
    for (folder, state) in STEPS {
        assert!(read(&format!("functions/{folder}/Cargo.toml")).contains(&format!("name = \"{folder}\"")));
        let named = DEFINITIONS.iter().filter_map(|definition| states(definition).remove(state));
        let functions: Vec<Value> = named.map(|state| state["Arguments"]["FunctionName"].clone()).collect();
        assert!(!functions.is_empty(), "no definition has {state}");
        assert!(functions.iter().all(|name| *name == format!("${{{state}FunctionArn}}")), "{functions:?}");
        for line in [
            format!("\n  {state}Function:\n"),
            format!("CodeUri: ../functions/{folder}\n"),
            format!("Binary: {folder} }}"),
        ] {
            assert!(template.contains(&line), "{line:?} is not in the template");
        }
        let own = format!("!GetAtt {state}Function.Arn");
        let arn = match state {
            // With one connection, one function serves both states.
            "VerifyRemote" => format!("!If [OneConnection, !GetAtt TransferFunction.Arn, {own}]"),
            // With few connections, one function does all of the collecting.
            "ListRemote" | "SettleRemote" => {
                format!("!If [OneCollector, !GetAtt CollectFunction.Arn, {own}]")
            }
            _ => own,
        };
        assert!(template.contains(&format!("{state}FunctionArn: {arn}\n")), "{state}");
    }
}

/// The settings in the template, with the value of each.
fn environment(template: &str) -> Vec<(&str, &str)> {
    let starts = ["SFTP_", "S3_", "COLLECT_", "RECORD_", "NOTICE_", "LOG_LEVEL"];
    let lines = template.lines().filter_map(|line| line.trim().split_once(": "));
    lines.filter(|(name, _)| starts.iter().any(|start| name.starts_with(start))).collect()
}

/// The parameter of a setting.
fn parameter_of(setting: &str) -> &'static str {
    let setting = SETTINGS.iter().find(|known| known.name == setting).unwrap();
    setting.parameter().unwrap_or_default()
}

#[test]
fn the_template_sets_every_setting_to_its_own_parameter_and_no_other() {
    let template = read("sam/template.yaml");
    let set = environment(&template);
    let names: BTreeSet<&str> = set.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, SETTINGS.iter().map(|setting| setting.name).collect());
    for block in template.split(" Variables:\n").skip(1) {
        let block = environment(block);
        let names: BTreeSet<&str> = block.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), block.len(), "one of these is set twice: {names:?}");
    }
    for (name, value) in &set {
        let setting = SETTINGS.iter().find(|setting| setting.name == *name).unwrap();
        let parameter = parameter_of(setting.name);
        // Not set if the parameter has its default.
        let condition = value.strip_prefix("!If [").and_then(|rest| rest.split_once(", "));
        let expected = match condition {
            Some((condition, _)) => format!("!If [{condition}, !Ref {parameter}, !Ref AWS::NoValue]"),
            None if setting.name == "SFTP_KEEP_CONNECTION" => {
                "!FindInMap [Connections, !Ref MaxConnections, KeepSeconds]".into()
            }
            None if setting.name == "RECORD_BUCKET" => "!Ref RecordBucket".into(),
            None => format!("!Ref {parameter}"),
        };
        assert_eq!(*value, expected, "{}", setting.name);
        let means = match condition {
            Some(("MovesDelivered", _)) => "MovesDelivered: !Equals [!Ref AfterDelivery, move]".into(),
            Some(("CollectsOnly", _)) => {
                "CollectsOnly: !And [!Condition Collects, !Equals [!Ref CollectOnly, \"true\"]]".into()
            }
            Some((condition, _)) => {
                let default = constraints(&template, parameter).find(|(name, _)| *name == "Default");
                let default = default.unwrap_or_default().1.trim_matches('"');
                format!("{condition}: !Not [!Equals [!Ref {parameter}, \"{default}\"]]")
            }
            None => continue,
        };
        assert!(template.contains(&format!("\n  {means}\n")), "{means}");
    }
}

/// The properties of a parameter in the template.
fn constraints<'a>(template: &'a str, parameter: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let parameters =
        &template[template.find("\nParameters:\n").unwrap()..template.find("\nMappings:\n").unwrap()];
    let (_, rest) = parameters.split_once(&format!("\n  {parameter}:\n")).unwrap();
    let lines = rest.lines().take_while(|line| line.starts_with("    ")).map(str::trim);
    lines.map(|line| line.split_once(": ").unwrap_or((line, "")))
}

/// Whether the template accepts this value of a parameter.
fn template_takes(template: &str, parameter: &str, value: &str) -> bool {
    constraints(template, parameter).all(|constraint| match constraint {
        ("AllowedPattern", pattern) => Regex::new(pattern.trim_matches('\'')).unwrap().is_match(value),
        ("AllowedValues", values) => {
            values.trim_matches(['[', ']']).split(", ").any(|allowed| allowed.trim_matches('"') == value)
        }
        ("MinValue", least) => value.parse::<u32>().is_ok_and(|value| value >= least.parse().unwrap()),
        ("MaxValue", most) => value.parse::<u32>().is_ok_and(|value| value <= most.parse().unwrap()),
        ("MaxLength", most) => value.chars().count() <= most.parse().unwrap(),
        _ => true,
    })
}

const HOST_KEY: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

fn settings_take(setting: &str, value: &str) -> bool {
    let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", HOST_KEY)];
    let mut variables: Variables = least.into_iter().collect();
    if setting == "SFTP_S3_SSH_KEY" {
        variables = variables.with("SFTP_SECRET_ID", "");
    }
    if setting.starts_with("COLLECT_") && setting != "COLLECT_BUCKET" {
        let apart =
            [("SFTP_LOCATION", "/in"), ("COLLECT_BUCKET", "collected"), ("COLLECT_DIRECTORY", "/out")];
        variables = apart.into_iter().fold(variables, |variables, (name, value)| variables.with(name, value));
    }
    if setting == "COLLECT_NEWEST_ONLY" {
        variables = variables.with("COLLECT_AFTERWARDS", "leave");
    }
    if ["COLLECT_BUCKET", "COLLECT_DIRECTORY"].contains(&setting) {
        // The directory may be the one of deliveries.
        variables = variables.with("COLLECT_INCLUDE", "*.csv");
    }
    Settings::parse(&variables.with(setting, value)).is_ok()
}

/// A setting, values that the template and the settings both accept, and values that both refuse.
const VALUES: &[(&str, &[&str], &[&str])] = &[
    (
        "SFTP_HOST",
        &["sftp.partner.example", "a_b.example.", "192.0.2.1", "2001:db8::1", "::1", "::ffff:192.0.2.1"],
        &["", "sftp://h", "u@h", "h/in", "h:22", "[::1]", "[::1]:22", "a b"],
    ),
    ("SFTP_PORT", &["1", "65535"], &["0", "65536", "ssh"]),
    ("SFTP_USER", &["", "acme", "acme@partner", "DOMAIN\\acme"], &[]),
    ("SFTP_LOCATION", &["", "/", "in", "/data/in/", "./in"], &[]),
    (
        "SFTP_SECRET_ID",
        &[
            "partner",
            "prod/sftp/a_1+b=c.d@e-f",
            "rds!x",
            "arn:aws-iso-b:secretsmanager:x-1:123456789012:secret:a/b!c-1aB2c3",
            "arn:aws:secretsmanager:x-1:123456789012:secret:without/its/end",
        ],
        &[
            "two words",
            "a:b",
            "arn:aws:s3:::b/k",
            "arn:aws:secretsmanager:x-1:1:secret:a",
            "{\"Password\":\"x\"}",
        ],
    ),
    (
        "SFTP_S3_SSH_KEY",
        &["keys/partner", "keys.of-1/path/to/a key", "s3://keys/partner"],
        &[
            "keys",
            "keys/",
            "/partner",
            "Keys/partner",
            "s3:keys/partner",
            "https://keys/partner",
            "-----BEGIN OPENSSH PRIVATE KEY-----/",
        ],
    ),
    (
        "SFTP_TRUSTED_HOST_KEYS",
        &[HOST_KEY, "# a comment\nSHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ,"],
        &["", " "],
    ),
    (
        "SFTP_AUTHENTICATION",
        &[
            "",
            "password",
            "password,publickey",
            "password, publickey",
            "publickey password\nkeyboard-interactive,",
        ],
        &["hostbased", "password;publickey", "password,hostbased", ","],
    ),
    (
        "SFTP_ALGORITHMS",
        &[
            "",
            "modern",
            "legacy",
            "+aes256-cbc",
            "modern, +aes256-cbc",
            "legacy -ecdh-*\n^aes256-ctr,",
            "-aes128-gcm@openssh.com,+ssh-rsa",
        ],
        &["ancient", "aes256-cbc", "modern;+ssh-rsa", "modern,legacy", "+aes256_cbc"],
    ),
    ("SFTP_CONNECT_TIMEOUT", &["1", "20", "300"], &["0", "301", "soon"]),
    ("SFTP_LOGIN_TIMEOUT", &["1", "20", "300"], &["0", "301", "-1"]),
    ("SFTP_PROOF", &["auto", "hash", "read-back", "size", "none"], &["md5"]),
    ("SFTP_MARKER", &["none", "done", "sha256", "md5"], &["sha1"]),
    (
        "SFTP_FILE_MODE",
        &["", "off", "0640", "640", "try:0640", "require:0640"],
        &["rw-r-----", "try:", "0o640", "must:0640", "00640"],
    ),
    (
        "SFTP_DIR_MODE",
        &["", "off", "0750", "750", "try:0750", "require:0750"],
        &["rwxr-x---", "try:", "0o750", "must:0750", "00750"],
    ),
    ("SFTP_PRESERVE_MTIME", &["off", "try", "require"], &["on"]),
    ("SFTP_FSYNC", &["try", "off", "require"], &["on"]),
    ("SFTP_MAX_CONNECTIONS", &["1", "2", "4"], &["0", "17", "many"]),
    ("S3_AFTER_DELIVERY", &["keep", "tag", "delete"], &["burn"]),
    ("S3_MOVE_PREFIX", &["", "delivered/", "räksmörgås {a} #1/"], &[]),
    ("S3_KEY_PREFIX", &["", "partner-a/", "räksmörgås {a} #1/"], &[]),
    ("S3_INCLUDE", &["", "*.csv", "**/*.csv, out/?.txt"], &[]),
    ("S3_EXCLUDE", &["", "**/tmp/**"], &[]),
    ("SFTP_SKIP_EMPTY", &["false", "true"], &["no"]),
    ("SFTP_REMOTE_PATH", &["", "{key}", "in/{date:%Y/%m}/{stem}.{ext}"], &["in\\{key}"]),
    ("SFTP_STRIP_PREFIX", &["", "partner-a/"], &[]),
    ("SFTP_IF_EXISTS", &["replace", "skip", "fail", "keep-both"], &["overwrite"]),
    ("SFTP_PUBLISH", &["rename", "direct"], &["move"]),
    ("SFTP_PARTIAL_NAME", &["", "{id}", "~{name} {id}.tmp"], &["{name}.tmp", "a/{id}", "{id}\\"]),
    ("SFTP_STAGING_DIRECTORY", &["", "stage", "/data/stage/"], &["a\\b"]),
    ("SFTP_CREATE_DIRECTORIES", &["true", "false"], &["no"]),
    ("COLLECT_BUCKET", &["", "collected", "a.b-1"], &["s3://collected", "Collected", "ab", "-ab"]),
    ("COLLECT_DIRECTORY", &["", "/", "out", "/data/out/", "./out"], &[]),
    ("COLLECT_ONLY", &["false", "true"], &["yes"]),
    ("COLLECT_INCLUDE", &["", "*.csv", "reports/**/*.csv, ?.txt"], &[]),
    ("COLLECT_EXCLUDE", &["", "none", ".*,*.tmp"], &[]),
    ("COLLECT_RECURSIVE", &["false", "true"], &["yes"]),
    ("COLLECT_SETTLE_SECONDS", &["0", "60", "86400"], &["86401", "-1", "1m"]),
    (
        "COLLECT_MARKER",
        &["", "none", "{name}.done", "READY {name}"],
        &["done", "{name}{name}", "{stem}.done", "done/{name}", "{name}\\"],
    ),
    ("COLLECT_OBJECT_KEY", &["", "{path}", "in/{date:%Y/%m}/{stem}.{ext}"], &["in\\{path}"]),
    ("COLLECT_IF_EXISTS", &["replace", "skip", "fail", "keep-both"], &["overwrite"]),
    ("COLLECT_AFTERWARDS", &["archive", "delete", "leave"], &["move"]),
    ("COLLECT_ARCHIVE_DIRECTORY", &["", "old", "/data/old/"], &["a\\b"]),
    ("COLLECT_ARCHIVE_DAYS", &["0", "14", "3650"], &["3651", "two"]),
    ("COLLECT_EMPTY", &["collect", "skip"], &["no"]),
    ("COLLECT_NEWEST_ONLY", &["false", "true"], &["1"]),
    ("COLLECT_MAX_FILES", &["1", "1000", "10000"], &["0", "10001"]),
    ("COLLECT_MARK_SYNCHED", &["false", "true"], &["on"]),
    (
        "NOTICE_TOPIC_ARN",
        &[
            "",
            "arn:aws:sns:eu-west-1:123456789012:failures",
            "arn:aws-us-gov:sns:us-gov-west-1:123456789012:a_B-1",
        ],
        &[
            "failures",
            "arn:aws:sns:eu-west-1:123456789012:failures.fifo",
            "arn:aws:sqs:eu-west-1:123456789012:q",
        ],
    ),
    ("LOG_LEVEL", &["error", "warn", "info", "debug", "trace"], &["verbose"]),
];

#[test]
fn the_template_and_the_settings_take_the_same_values() {
    let template = read("sam/template.yaml");
    for setting in SETTINGS.iter().filter(|setting| setting.stack != Stack::Chosen) {
        assert!(VALUES.iter().any(|(name, ..)| *name == setting.name), "{}", setting.name);
    }
    let takes = |setting: &str, value: &str| {
        (template_takes(&template, parameter_of(setting), value), settings_take(setting, value))
    };
    for (setting, both, neither) in VALUES {
        for (values, expected) in [(both, true), (neither, false)] {
            for value in *values {
                assert_eq!(takes(setting, value), (expected, expected), "{setting} {value:?}");
            }
        }
    }
    let Algorithms { key_exchanges, host_keys, ciphers, macs } = Algorithms::preset(Preset::Legacy);
    for name in [key_exchanges, host_keys, ciphers, macs].concat() {
        assert_eq!(takes("SFTP_ALGORITHMS", &format!("+{name},^{name}")), (true, true), "{name}");
    }
    // The stack also writes these into policies, where a star is a wildcard.
    for (setting, value) in
        [("SFTP_S3_SSH_KEY", "keys/a*b"), ("S3_MOVE_PREFIX", "a*b"), ("S3_KEY_PREFIX", "a*b")]
    {
        assert_eq!(takes(setting, value), (false, true), "{setting}");
    }
    // For debugging, by hand.
    assert_eq!(takes("LOG_LEVEL", "info,transfer=debug"), (false, true));
}

/// IAM policies hold the characters U+0020 to U+00FF and no others:
/// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
#[test]
fn story_105_what_stands_in_policies_has_the_characters_that_iam_takes() {
    let template = read("sam/template.yaml");
    for (parameter, prefix) in [("KeyPrefix", ""), ("MovePrefix", ""), ("SftpS3SshKey", "keys/")] {
        for (name, expected) in [
            ("plain/", true),
            ("räksmörgås ÿ/", true),
            ("Łódź/", false),
            ("日本/", false),
            ("📦/", false),
            ("a\tb", false),
            ("a$b", false),
            ("a*b", false),
            ("a?b", false),
        ] {
            let value = format!("{prefix}{name}");
            assert_eq!(template_takes(&template, parameter, &value), expected, "{parameter} {value:?}");
        }
    }
}

/// Otherwise Lambda ends the function, and the execution fails as `Sandbox.Timedout`.
#[test]
fn story_107_fetch_key_gives_up_before_lambda_ends_it() {
    let template = read("sam/template.yaml");
    let (_, function) = template.split_once("\n  FetchKeyFunction:\n").unwrap();
    let (_, timeout) = function.split_once("      Timeout: ").unwrap();
    let timeout: u64 = timeout.lines().next().unwrap().parse().unwrap();
    assert!(aws::credential::READ_LIMIT.as_secs() + 10 <= timeout, "{timeout}");
}

/// The table of promises in `docs/semantics.md` ends with the numbers of the stories that try to break each of them.
#[test]
fn every_promise_names_stories_that_are_told_and_tested() {
    let semantics = read("docs/semantics.md");
    let (_, promises) = semantics.split_once("\n| promise | ").unwrap();
    let numbers: BTreeSet<u32> = story_tests().iter().filter_map(|name| number_of(name)).collect();
    let rows: Vec<&str> = promises.lines().skip(2).take_while(|line| line.starts_with("| **")).collect();
    assert!(rows.len() >= 10, "{} promises", rows.len());
    for row in rows {
        let (_, stories) = row.trim_end_matches(" |").rsplit_once("| ").unwrap();
        for number in stories.split(", ") {
            let known = number.parse().is_ok_and(|number: u32| numbers.contains(&number));
            assert!(known, "no test is named after story {number:?}: {row}");
        }
    }
}

#[test]
fn the_runbook_has_a_heading_for_every_error() {
    let runbook = read("docs/errors.md");
    let headings: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let general = [
        "Where to look",
        "Finishing a failed delivery",
        "When many failed",
        "Was it delivered?",
        "Automatic retries",
    ];
    let general = general.into_iter();
    let names = ErrorName::ALL.iter().map(|name| name.as_str());
    let expected: Vec<&str> = general.chain(names).chain(["Errors of Lambda and Step Functions"]).collect();
    assert_eq!(headings, expected);
    let unwrapped = runbook.split_whitespace().collect::<Vec<_>>().join(" ");
    for name in ErrorName::ALL {
        let hint = name.hint().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(&hint), "the runbook lacks the hint of {name}: {hint}");
    }
}

/// The names of all tests that are named after a story.
fn story_tests() -> BTreeSet<String> {
    let named = Regex::new(r"fn (story_[0-9]+_[a-z0-9_]+)\(").unwrap();
    let mut names = BTreeSet::new();
    let mut folders = ["crates", "functions", "tests", "xtask"].map(|name| workspace().join(name)).to_vec();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if is_source {
                let source = std::fs::read_to_string(path).unwrap();
                names.extend(named.captures_iter(&source).map(|found| found[1].to_owned()));
            }
        }
    }
    names
}

fn number_of(name: &str) -> Option<u32> {
    name.strip_prefix("story_")?.split('_').next()?.parse().ok()
}

/// `docs/stories.md` has a heading `### NN. sentence` for each story, and a line for each of its tests.
#[test]
fn the_page_of_stories_and_the_names_of_the_tests_agree() {
    let (page, tests) = (read("docs/stories.md"), story_tests());
    let (mut stories, mut named) = (Vec::<(u32, u32)>::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for line in page.lines() {
        let heading = line.strip_prefix("### ").and_then(|rest| rest.split_once(". "));
        if let Some((number, sentence)) = heading {
            let number = number.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            if stories.last().is_some_and(|(last, _)| *last >= number) || !sentence.ends_with('.') {
                wrong.push(format!("not the next number, or no sentence: {line}"));
            }
            stories.push((number, 0));
        } else if let Some(name) = line.strip_prefix("- `").and_then(|rest| rest.strip_suffix('`')) {
            let Some((story, count)) = stories.last_mut() else { panic!("below no story: {line}") };
            *count += 1;
            if number_of(name) != Some(*story) || !tests.contains(name) || !named.insert(name.to_owned()) {
                wrong.push(format!("take away below {story}, where it is wrong, unknown or twice: {line}"));
            }
        }
    }
    for (number, _) in stories.iter().filter(|(_, count)| *count == 0) {
        wrong.push(format!("no test shows story {number}"));
    }
    let mut missing = BTreeMap::<u32, String>::new();
    for name in tests.difference(&named) {
        *missing.entry(number_of(name).unwrap_or_default()).or_default() += &format!("\n- `{name}`");
    }
    for (number, lines) in missing {
        let is_known = stories.iter().any(|(known, _)| *known == number);
        let heading = if is_known { String::new() } else { format!("\n### {number}. SENTENCE.\n") };
        wrong.push(format!("add below story {number}:{heading}{lines}"));
    }
    assert!(wrong.is_empty(), "docs/stories.md:\n{}", wrong.join("\n"));
}
