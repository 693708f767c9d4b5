//! `s3-sftp-bridge doctor --collect`, the real binary.

use std::collections::BTreeMap;

use integration_tests::cli;
use serde_json::Value;

use crate::collection::Collection;

/// The findings by the names of the checks, and the exit status.
async fn examine(collection: &Collection, more: &[&str]) -> (BTreeMap<String, Value>, i32) {
    let mut variables = collection.variables.clone();
    let environment = collection.source.environment().into_iter();
    variables.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    let arguments = [&["--collect", "--json", "--timeout", "2"], more].concat();
    let ran = cli::run(cli::doctor(&variables, &arguments).await).await;
    let json: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    assert_eq!(json["recommended"], Value::Null, "{json}");
    let checks = json["checks"].as_array().unwrap().iter();
    (checks.map(|it| (it["check"].as_str().unwrap().to_owned(), it.clone())).collect(), ran.status)
}

fn names(collection: &Collection) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(collection.local(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn doctor_checks_the_other_direction_and_leaves_the_partners_files_as_they_are() {
    let mut collection = Collection::new().await;
    collection.leave("a.csv", b"contents");
    collection.leave("b.csv", b"");
    // A bucket of this store exists if it has an object.
    collection
        .source
        .put("collected/other", integration_tests::object_source::Body::Bytes(Vec::new()))
        .unwrap();
    let before = names(&collection);
    for afterwards in ["archive", "delete", "leave"] {
        collection.set("COLLECT_AFTERWARDS", afterwards);
        let (found, status) = examine(&collection, &["--collect-probe", "a.csv"]).await;
        for check in ["listing", "attributes", "read", "afterwards", "clean-up"] {
            assert_eq!(found[check]["status"], "ok", "{afterwards}: {}", found[check]);
        }
        assert_eq!(status, 0, "{afterwards}: {found:?}");
        assert!(
            found["listing"]["found"].as_str().unwrap().contains("2 names, 2 of them files"),
            "{found:?}"
        );
        assert!(!found.contains_key("create") && !found.contains_key("fsync"), "{found:?}");
        assert_eq!(names(&collection), before, "{afterwards}");
    }
    let changes = collection.source.changes();
    assert!(changes.iter().all(|change| !change.contains("collected/")), "{changes:?}");
    assert_eq!(std::fs::read(collection.local("a.csv")).unwrap(), b"contents");
}

#[tokio::test]
async fn doctor_reads_no_file_without_consent_and_says_what_is_wrong() {
    let mut collection = Collection::new().await;
    let (found, status) = examine(&collection, &[]).await;
    assert_eq!((&found["read"]["status"], status), (&"absent".into(), 0), "{found:?}");
    assert_eq!(found["attributes"]["status"], "absent", "no file is there: {found:?}");
    let (found, status) = examine(&collection, &["--collect-probe", "missing.csv"]).await;
    assert_eq!((&found["read"]["status"], status), (&"fail".into(), 1), "{found:?}");

    collection.set("COLLECT_DIRECTORY", "nowhere");
    let (found, status) = examine(&collection, &[]).await;
    assert_eq!((&found["listing"]["status"], status), (&"fail".into(), 1), "{found:?}");
    assert!(found["listing"]["hint"].as_str().unwrap().contains("COLLECT_DIRECTORY"), "{found:?}");
    assert_eq!(found["afterwards"]["status"], "skipped", "{found:?}");

    collection.set("COLLECT_DIRECTORY", "out");
    collection.variables.remove("COLLECT_BUCKET");
    let (found, status) = examine(&collection, &[]).await;
    assert_eq!((&found["bucket"]["status"], status), (&"fail".into(), 1), "{found:?}");
}
