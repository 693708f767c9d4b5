//! The variables of each function: the settings that it needs, and no more, because Lambda takes 4 KB.

use std::collections::BTreeMap;

use bridge::{CollectSettings, SETTINGS, Settings, Variables};
use serde_json::Value;

use crate::collecting::resolved;
use crate::{HOST_KEY, constraints, read};

/// The functions that deliver, and those that collect.
const DELIVERING: [&str; 2] = ["TransferFunction", "VerifyRemoteFunction"];
const COLLECTING: [&str; 3] = ["ListRemoteFunction", "CollectFunction", "SettleRemoteFunction"];

/// Settings that only deliveries need. The directories of deliveries are not among them, because nothing is collected from
/// there.
const OF_DELIVERIES: [&str; 17] = [
    "SFTP_PROOF",
    "SFTP_MARKER",
    "SFTP_FILE_MODE",
    "SFTP_DIR_MODE",
    "SFTP_PRESERVE_MTIME",
    "SFTP_FSYNC",
    "S3_AFTER_DELIVERY",
    "S3_MOVE_PREFIX",
    "S3_KEY_PREFIX",
    "S3_INCLUDE",
    "S3_EXCLUDE",
    "SFTP_SKIP_EMPTY",
    "SFTP_STRIP_PREFIX",
    "SFTP_IF_EXISTS",
    "SFTP_PUBLISH",
    "SFTP_PARTIAL_NAME",
    "SFTP_CREATE_DIRECTORIES",
];

/// Whether a function does without this setting.
fn is_unused(function: &str, setting: &str) -> bool {
    let of_others: &[&str] = match function {
        "ListRemoteFunction" => {
            &["COLLECT_SETTLE_SECONDS", "COLLECT_IF_EXISTS", "COLLECT_MARK_SYNCHED", "SFTP_MAX_CONNECTIONS"]
        }
        // It does all of the collecting in some stacks.
        "CollectFunction" => &[],
        "SettleRemoteFunction" => &[
            "COLLECT_EXCLUDE",
            "COLLECT_SETTLE_SECONDS",
            "COLLECT_OBJECT_KEY",
            "COLLECT_IF_EXISTS",
            "COLLECT_ARCHIVE_DAYS",
            "COLLECT_EMPTY",
            "COLLECT_NEWEST_ONLY",
            "COLLECT_MAX_FILES",
            "COLLECT_MARK_SYNCHED",
            "SFTP_MAX_CONNECTIONS",
        ],
        _ => return setting.starts_with("COLLECT_"),
    };
    OF_DELIVERIES.contains(&setting) || of_others.contains(&setting)
}

/// The name of the record bucket.
const RECORDS: &str = "records";

/// The variables of a function, and what the template says of their values. `None` if the stack has no such function.
fn variables(answer: &Value, function: &str) -> Option<BTreeMap<String, Value>> {
    let resource = answer["resources"].get(function)?;
    let all = [&answer["globals"]["Function"], &resource["Properties"]]
        .map(|place| place["Environment"]["Variables"].as_object().cloned().unwrap_or_default());
    Some(all.into_iter().flatten().collect())
}

/// The length of a value that only AWS knows, at its longest.
fn longest_of_aws(value: &Value) -> usize {
    match value["Ref"].as_str() {
        // S3's maximum for the name of a bucket, and CloudFormation's for that of a stack.
        Some("RecordBucket") => return 63,
        Some("AWS::StackName") => return 128,
        _ => (),
    }
    let text = value["Fn::Sub"].as_array().and_then(|it| it[0].as_str()).unwrap_or_else(|| panic!("{value}"));
    let longest =
        [("${AWS::Partition}", 10), ("${AWS::Region}", 16), ("${AWS::AccountId}", 12), ("${Name}", 71)];
    let filled = longest
        .into_iter()
        .fold(text.to_owned(), |text, (name, length)| text.replace(name, &"x".repeat(length)));
    assert!(!filled.contains('$'), "{filled}");
    filled.len()
}

/// Lambda counts the settings as JSON: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
#[tokio::test]
async fn story_106_the_longest_settings_that_a_stack_needs_fit_into_lambdas_4_kb() {
    let template = read("sam/template.yaml");
    let longest = |parameter: &str| {
        let length = match parameter {
            // The maximum of DNS, and that of S3 for a bucket's name.
            "SftpHost" => 253,
            "CollectBucket" => 63,
            _ => {
                let most = constraints(&template, parameter).find(|(name, _)| *name == "MaxLength");
                most.unwrap_or_else(|| panic!("{parameter} has no MaxLength")).1.parse().unwrap()
            }
        };
        "x".repeat(length)
    };
    let needed = ["SftpHost", "SftpUser", "SftpLocation", "SftpSecretId", "SftpTrustedHostKeys"];
    let needed = needed.map(|parameter| (parameter, longest(parameter)));
    let directory = ["CollectBucket", "CollectDirectory"].map(|parameter| (parameter, longest(parameter)));
    let delivers: Vec<_> = needed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let both = [&needed[..], &directory[..]].concat();
    let both: Vec<_> = both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut sizes = Vec::new();
    for answer in resolved(vec![delivers, both]).await {
        let functions = answer["resources"].as_object().unwrap().iter();
        let functions = functions.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
        for (function, _) in functions {
            let bytes = |(name, value): (String, Value)| {
                let length = value.as_str().map_or_else(|| longest_of_aws(&value), str::len);
                format!("\"{name}\":\"\",").len() + length
            };
            let bytes: usize = variables(&answer, function).unwrap().into_iter().map(bytes).sum();
            sizes.push((bytes, function.clone()));
        }
    }
    sizes.sort();
    assert_eq!(sizes.len(), 4 + 7, "{sizes:?}");
    assert!(sizes.last().unwrap().0 <= 4096, "{sizes:?}");
}

/// Another value than the default for every parameter that is a setting.
const CHOSEN: &[(&str, &str)] = &[
    ("SftpHost", "sftp.partner.example"),
    ("SftpPort", "2222"),
    ("SftpUser", "acme"),
    ("SftpLocation", "in"),
    ("SftpSecretId", "acme/sftp"),
    ("SftpTrustedHostKeys", HOST_KEY),
    ("SftpAuthentication", "password"),
    ("SftpAlgorithms", "legacy"),
    ("SftpConnectTimeout", "21"),
    ("SftpLoginTimeout", "22"),
    ("SftpProof", "read-back"),
    ("SftpMarker", "done"),
    ("SftpFileMode", "0640"),
    ("SftpDirMode", "0750"),
    ("SftpPreserveMtime", "try"),
    ("SftpFsync", "off"),
    ("AfterDelivery", "move"),
    ("MovePrefix", "delivered/"),
    ("KeyPrefix", "to/"),
    ("S3Include", "**/*.csv"),
    ("S3Exclude", "**/tmp/**"),
    ("SftpSkipEmpty", "true"),
    ("SftpRemotePath", "{name}"),
    ("SftpStripPrefix", "to/"),
    ("SftpIfExists", "fail"),
    ("SftpPartialName", "{id}.part"),
    ("SftpStagingDirectory", "stage"),
    ("SftpCreateDirectories", "false"),
    ("ConnectionsPerFile", "2"),
    ("LogLevel", "debug"),
    ("CollectBucket", "inbox"),
    ("CollectDirectory", "out"),
    ("CollectInclude", "*.ack"),
    ("CollectExclude", "none"),
    ("CollectRecursive", "true"),
    ("CollectSettleSeconds", "5"),
    ("CollectMarker", "{name}.done"),
    ("CollectObjectKey", "from/{path}"),
    ("CollectIfExists", "keep-both"),
    ("CollectArchiveDirectory", "old"),
    ("CollectArchiveDays", "14"),
    ("CollectEmpty", "skip"),
    ("CollectMaxFiles", "7"),
    ("CollectMarkSynched", "true"),
];

/// What cannot stand beside the above.
const MORE: &[&[(&str, &str)]] = &[
    &[],
    &[
        ("SftpPublish", "direct"),
        ("SftpIfExists", "skip"),
        ("SftpStagingDirectory", ""),
        ("SftpPartialName", ""),
    ],
    &[
        ("CollectAfterwards", "leave"),
        ("CollectArchiveDirectory", ""),
        ("CollectArchiveDays", "0"),
        ("CollectNewestOnly", "true"),
    ],
    &[("CollectOnly", "true"), ("SftpLocation", "")],
    &[("SftpSecretId", ""), ("SftpS3SshKey", "keys/acme")],
];

/// The settings that the parameters say, for a program that gets all of them.
fn settings(set: &[(&str, &str)]) -> BTreeMap<&'static str, String> {
    let value = |parameter| set.iter().rfind(|(name, _)| *name == parameter).map(|(_, value)| *value);
    let settings = SETTINGS.iter();
    let settings =
        settings.filter_map(|setting| Some((setting.name, value(setting.parameter()?)?.to_owned())));
    settings.chain([("RECORD_BUCKET", RECORDS.to_owned())]).collect()
}

fn parsed(variables: BTreeMap<&'static str, String>, collects: bool) -> (Settings, Option<CollectSettings>) {
    let variables: Variables = variables.into_iter().collect();
    let collect = collects.then(|| CollectSettings::parse(&variables).unwrap());
    (Settings::parse(&variables).unwrap(), collect)
}

#[tokio::test]
async fn each_function_gets_the_settings_that_it_needs() {
    // The last of two values counts.
    let sets: Vec<Vec<_>> = MORE.iter().map(|more| CHOSEN.iter().chain(*more).copied().collect()).collect();
    for (answer, set) in resolved(sets.clone()).await.iter().zip(&sets) {
        for function in DELIVERING.into_iter().chain(COLLECTING) {
            let found = variables(answer, function).unwrap();
            let value = |name: &str| match found.get(name)? {
                Value::String(value) => Some(value.clone()),
                _ if name == "RECORD_BUCKET" => Some(RECORDS.to_owned()),
                value => panic!("{function}: {name} is {value}"),
            };
            let names = SETTINGS.iter().map(|setting| setting.name);
            let got: BTreeMap<_, _> = names.filter_map(|name| Some((name, value(name)?))).collect();
            let excess: Vec<_> = got.keys().filter(|name| is_unused(function, name)).collect();
            assert!(excess.is_empty(), "{function} needs no {excess:?}");
            let mut needed = settings(set);
            needed.retain(|name, _| !is_unused(function, name));
            let collects = COLLECTING.contains(&function);
            assert_eq!(parsed(got, collects), parsed(needed, collects), "{function} {set:?}");
        }
    }
}
