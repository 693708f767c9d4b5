//! The other direction in the template: a stack that does not collect has nothing of it, and both directions together keep
//! to the partner's cap.

use std::collections::BTreeSet;
use std::process::Command;

use integration_tests::process::output;
use integration_tests::tools::{self, workspace};
use regex_lite::Regex;
use serde_json::{Value, json};

/// Sets of parameters, by name.
pub(crate) type Sets<'a> = Vec<Vec<(&'a str, &'a str)>>;

/// What is left of the template with each set of parameters: resources, outputs, and the assertions that do not hold.
pub(crate) async fn resolved(sets: Sets<'_>) -> Vec<Value> {
    let sets: Vec<Value> = sets
        .into_iter()
        .map(|set| {
            let least = [("SftpHost", "h"), ("SftpTrustedHostKeys", "k"), ("SftpSecretId", "s")];
            let all = least.into_iter().chain(set);
            Value::Object(all.map(|(name, value)| (name.to_owned(), json!(value))).collect())
        })
        .collect();
    let sam = tools::sam().await.unwrap();
    let mut command = Command::new(sam.program("python"));
    command.arg(workspace().join("tests/src/resolve.py")).arg(workspace().join("sam/template.yaml"));
    command.arg(Value::Array(sets).to_string());
    let said = output(&command).await.unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

const BOTH: [(&str, &str); 2] = [("CollectBucket", "inbox"), ("CollectSchedule", "rate(5 minutes)")];

#[tokio::test]
async fn a_stack_that_does_not_collect_has_nothing_of_it() {
    let answers =
        resolved(vec![vec![], vec![("CollectDirectory", "out"), ("NoCollectionsHours", "5")]]).await;
    let text = answers[0].to_string();
    assert!(text.contains("TransferFunction"));
    for word in [
        "ollect",
        "WatchS",
        "watch",
        "ListRemote",
        "list-remote",
        "SettleRemote",
        "settle-remote",
        "cheduler",
    ] {
        assert!(!text.contains(word), "{word} is in a stack that does not collect");
    }
    // Without a bucket, other parameters of collecting make no resources.
    let names = |answer: &Value| answer["resources"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&answers[0]), names(&answers[1]));
    assert!(answers.iter().all(|answer| answer["broken"] == json!([])), "{answers:?}");
}

#[tokio::test]
async fn the_schedule_and_the_expected_files_are_optional() {
    let by_hand = vec![("CollectBucket", "inbox")];
    let all = BOTH.into_iter().chain([("NoCollectionsHours", "5")]).collect();
    let answers = resolved(vec![by_hand, BOTH.to_vec(), all]).await;
    let has = |answer: usize, name: &str| answers[answer]["resources"].get(name).is_some();
    for resource in ["WatchStateMachine", "CollectStateMachine", "CollectFailedAlarm", "LookFailedAlarm"] {
        assert!((0..3).all(|answer| has(answer, resource)), "{resource}");
    }
    assert_eq!([0, 1, 2].map(|answer| has(answer, "WatchSchedule")), [false, true, true]);
    assert_eq!([0, 1, 2].map(|answer| has(answer, "NoCollectionsAlarm")), [false, false, true]);
    let outputs = answers[0]["outputs"].as_object().unwrap();
    assert!(outputs.contains_key("WatchStateMachineArn") && outputs.contains_key("CollectStateMachineArn"));
}

/// The functions that connect, and how many connections one call has.
fn connecting(per_file: u64) -> [(&'static str, u64); 5] {
    [
        ("TransferFunction", per_file),
        ("VerifyRemoteFunction", 1),
        ("ListRemoteFunction", 1),
        ("CollectFunction", per_file),
        ("SettleRemoteFunction", 1),
    ]
}

/// The functions that the state machines call.
fn called(resources: &Value) -> String {
    ["BridgeStateMachine", "WatchStateMachine", "CollectStateMachine"]
        .map(|machine| {
            let values = resources[machine]["Properties"]["DefinitionSubstitutions"].as_object().unwrap();
            values.values().map(Value::to_string).collect::<String>()
        })
        .concat()
}

#[tokio::test]
async fn both_directions_together_keep_to_the_cap() {
    let caps = ["1", "2", "3", "4", "5", "6", "8", "10", "12", "16", "20", "30", "40", "50", "100"];
    let sets: Vec<(&str, &str)> =
        caps.iter().flat_map(|cap| ["1", "2", "4"].map(|per_file| (*cap, per_file))).collect();
    let with = |(cap, per_file): &(&'static str, &'static str)| {
        let sizes = [("MaxConnections", *cap), ("ConnectionsPerFile", *per_file)];
        BOTH.into_iter().chain(sizes).collect()
    };
    let answers = resolved(sets.iter().map(with).collect()).await;
    let mut accepted = 0;
    for ((cap, per_file), answer) in sets.iter().zip(&answers) {
        if answer["broken"] != json!([]) {
            let is_small = cap.parse::<u32>().unwrap() < 4 * per_file.parse::<u32>().unwrap();
            assert!(is_small, "{cap} connections, {per_file} for a file: {}", answer["broken"]);
            continue;
        }
        accepted += 1;
        let (resources, cap) = (&answer["resources"], cap.parse::<u64>().unwrap());
        let called = called(resources);
        let mut used = 0;
        for (function, connections) in connecting(per_file.parse().unwrap()) {
            if !called.contains(&format!("[\"{function}\",\"Arn\"]")) {
                continue;
            }
            let reserved = &resources[function]["Properties"]["ReservedConcurrentExecutions"];
            let reserved = reserved.as_u64().unwrap_or_else(|| panic!("{cap}: {function} has no cap"));
            assert!(reserved >= 1, "{cap}: {function} could never run");
            used += reserved * connections;
        }
        assert!(used <= cap, "{cap} connections, {per_file} for a file: {used} are used");
        assert!(used * 4 >= cap * 3, "{cap} connections, {per_file} for a file: only {used} are used");
    }
    assert!(accepted > 25, "{accepted}");
}

#[tokio::test]
async fn a_stack_that_only_collects_has_all_connections_for_it() {
    let caps = ["1", "2", "3", "4", "5", "6", "8", "10", "12", "16", "20", "30", "40", "50", "100"];
    let sets: Vec<(&str, &str)> =
        caps.iter().flat_map(|cap| ["1", "2", "4"].map(|per_file| (*cap, per_file))).collect();
    let only = |(cap, per_file): &(&'static str, &'static str)| {
        let sizes = [("CollectOnly", "true"), ("MaxConnections", *cap), ("ConnectionsPerFile", *per_file)];
        BOTH.into_iter().chain(sizes).collect()
    };
    for (answer, (cap, per_file)) in resolved(sets.iter().map(only).collect()).await.iter().zip(sets) {
        let (most, per_file) = (cap.parse::<u64>().unwrap(), per_file.parse::<u64>().unwrap());
        if answer["broken"] != json!([]) {
            assert!(per_file > 1 && most < 2 * per_file, "{cap}, {per_file}: {}", answer["broken"]);
            continue;
        }
        let resources = &answer["resources"];
        let reserved = |function: &str| {
            let reserved = &resources[function]["Properties"]["ReservedConcurrentExecutions"];
            reserved.as_u64().unwrap_or_else(|| panic!("{cap}: {function} has no cap"))
        };
        let called = called(resources);
        let mut used = 0;
        for (function, connections) in &connecting(per_file)[2..] {
            if called.contains(function) {
                assert!(reserved(function) >= 1, "{cap}: {function} could never run");
                used += reserved(function) * connections;
            }
        }
        assert!(used <= most && used * 10 >= most * 7, "{cap} connections, {per_file} for a file: {used}");
        assert!(per_file > 1 || used == most, "{cap}: {used}");
        // It delivers nothing, even if somebody starts a delivery.
        assert_eq!((reserved("TransferFunction"), reserved("VerifyRemoteFunction")), (0, 0), "{cap}");
        assert_eq!(resources["ObjectCreatedRule"]["Properties"]["State"], "DISABLED");
    }
    let others = resolved(vec![vec![("CollectOnly", "true")], BOTH.to_vec()]).await;
    assert_eq!(others[0]["broken"], json!(["CollectOnly requires a CollectBucket."]));
    assert_eq!(others[1]["resources"]["ObjectCreatedRule"]["Properties"]["State"], "ENABLED");
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let with = |more: &[(&'static str, &'static str)]| BOTH.into_iter().chain(more.iter().copied()).collect();
    let answers = resolved(vec![
        with(&[("MaxConnections", "1")]),
        with(&[("MaxConnections", "6"), ("ConnectionsPerFile", "2")]),
        with(&[("MaxConnections", "12"), ("ConnectionsPerFile", "4")]),
        vec![("CollectSchedule", "rate(5 minutes)")],
    ])
    .await;
    let words = ["at least 2", "at least 8", "at least 16", "requires a CollectBucket"];
    for (answer, words) in answers.iter().zip(words) {
        let broken = answer["broken"].as_array().unwrap();
        assert_eq!(broken.len(), 1, "{words}: {broken:?}");
        assert!(broken[0].as_str().unwrap().contains(words), "{words}: {broken:?}");
    }
}

/// The requests by which a file becomes an object, and what each needs, also of KMS if the bucket is encrypted with a key:
/// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html and the page of each request.
const REQUESTS: &[(&str, &[&str])] = &[
    ("put_object", &["s3:PutObject", "kms:GenerateDataKey"]),
    ("create_multipart_upload", &["s3:PutObject", "kms:GenerateDataKey"]),
    ("upload_part", &["s3:PutObject", "kms:GenerateDataKey", "kms:Decrypt"]),
    ("list_parts", &["s3:ListMultipartUploadParts"]),
    ("complete_multipart_upload", &["s3:PutObject", "kms:Decrypt"]),
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    // Of the newest object and of the version that was stored; 404 for an object that is not there; with its checksum.
    ("head_object", &["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "kms:Decrypt"]),
];

/// The S3 requests in the source files below these folders.
fn requests(folders: &[&str]) -> BTreeSet<String> {
    let request = Regex::new(r"\bs3\s*\.([a-z_]+)\(\)").unwrap();
    let mut found = BTreeSet::new();
    for folder in folders {
        for entry in std::fs::read_dir(workspace().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = if path.is_file() { std::fs::read_to_string(path).unwrap() } else { String::new() };
            found.extend(request.captures_iter(&text).map(|found| found[1].to_owned()));
        }
    }
    found.remove("clone");
    found
}

/// The actions that the statements of these policies allow.
fn actions(role: &Value, policies: &[&str]) -> BTreeSet<String> {
    let all = role["Properties"]["Policies"].as_array().unwrap().iter();
    let chosen = all.filter(|policy| policies.contains(&policy["PolicyName"].as_str().unwrap()));
    let statements = chosen.flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap());
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.iter().collect(),
        action => vec![action],
    });
    actions.map(|action| action.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_role_of_collect_allows_the_requests_that_the_code_makes_and_no_others() {
    let made = requests(&[
        "crates/aws/src/writer",
        "crates/aws/src/collected",
        "functions/collect/src",
        "functions/collect/src/read",
    ]);
    let known: BTreeSet<String> = REQUESTS.iter().map(|(request, _)| (*request).to_owned()).collect();
    assert_eq!(made, known);
    let key = "arn:aws:kms:us-east-1:000000000000:key/1";
    let with_key = BOTH.into_iter().chain([("KmsKeyArns", key)]).collect();
    let answers = resolved(vec![BOTH.to_vec(), with_key]).await;
    let needed = REQUESTS.iter().flat_map(|(_, actions)| actions.iter().map(|action| (*action).to_owned()));
    let needed: BTreeSet<String> = needed.collect();
    let allowed = answers
        .iter()
        .map(|it| actions(&it["resources"]["CollectRole"], &["store-objects", "encrypt-objects"]));
    let without_key = needed.iter().filter(|action| action.starts_with("s3:")).cloned().collect();
    assert_eq!(allowed.collect::<Vec<_>>(), [without_key, needed]);
}
