//! `s3-sftp-bridge doctor --collect`, the real binary.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use integration_tests::cli::{self, Ran};
use integration_tests::embedded::Quirks;
use integration_tests::object_source::Body;
use integration_tests::partner::Partner;
use serde_json::{Value, json};

use crate::collection::Collection;

/// The findings by the names of the checks, and the exit status.
async fn examine(collection: &Collection, more: &[&str]) -> (BTreeMap<String, Value>, i32) {
    let ran = run(collection, &[&["--collect"], more].concat()).await;
    let report = report(&ran);
    assert_eq!(report["recommended"], Value::Null, "{report}");
    (checks(&report), ran.status)
}

async fn run(collection: &Collection, more: &[&str]) -> Ran {
    let mut variables = collection.variables.clone();
    let environment = collection.source.environment().into_iter();
    variables.extend(environment.map(|(name, value)| (name.to_owned(), value)));
    let arguments = [&["--json", "--timeout", "2"], more].concat();
    cli::run(cli::doctor(&variables, &arguments).await).await
}

fn report(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// The findings by the names of the checks.
fn checks(report: &Value) -> BTreeMap<String, Value> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.map(|it| (it["check"].as_str().unwrap().to_owned(), it.clone())).collect()
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
    collection.source.put("collected/other", Body::Bytes(Vec::new())).unwrap();
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

/// A partner whose server is like this, with a file, and an inbox.
async fn with(quirks: Quirks) -> Collection {
    let collection = Collection::from(Partner::embedded(quirks).await.unwrap());
    collection.leave("a.csv", b"contents");
    collection.source.put("collected/other", Body::Bytes(Vec::new())).unwrap();
    collection
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Our user may only read, or only may not move files.
#[tokio::test]
async fn doctor_writes_the_file_of_a_partner_to_whom_nothing_is_delivered() {
    let only_reads = Quirks { read_only: true, no_delete: true, no_rename: true, ..Quirks::default() };
    let refused = Arc::new(AtomicBool::new(true));
    let moves_nothing = Quirks { rename_refused: Arc::clone(&refused), ..Quirks::default() };
    for quirks in [only_reads, moves_nothing] {
        let (collection, folder) = (with(quirks).await, tempfile::tempdir().unwrap());
        let path = folder.path().join("acme.toml");
        let ran = run(&collection, &["--parameter", "CollectOnly=true", "--write", text(&path)]).await;
        let written = report(&ran);
        let found = checks(&written);
        assert_eq!((ran.status, &written["file"]["is_written"]), (0, &true.into()), "{written:#}");
        assert!(found.contains_key("listing") && !found.contains_key("create"), "{found:?}");
        assert_eq!(found["afterwards"]["status"], "warn", "{found:?}");
        let change = written["recommended"]["changes"]["COLLECT_AFTERWARDS"].as_str().unwrap();
        assert!(change.starts_with("leave, because our user may "), "{change}");
        let file = std::fs::read_to_string(&path).unwrap();
        for line in
            ["CollectOnly = \"true\"", "CollectBucket = \"collected\"", "CollectAfterwards = \"leave\""]
        {
            assert_eq!(file.lines().filter(|found| *found == line).count(), 1, "{line}\n{file}");
        }
        assert!(!file.contains("ConnectionsPerFile") && !file.contains("SftpProof"), "{file}");
        assert_eq!(names(&collection), ["a.csv"]);

        // What the file says is examined, without further options.
        let ran = run(&collection, &["--config-file", text(&path)]).await;
        let again = report(&ran);
        assert_eq!((ran.status, &again["recommended"]["changes"]), (0, &json!({})), "{again:#}");
        assert_eq!(checks(&again)["afterwards"]["status"], "ok", "{again:#}");
    }
}

#[tokio::test]
async fn doctor_writes_no_file_against_what_was_asked_for_or_was_not_examined() {
    let refused = Arc::new(AtomicBool::new(true));
    let collection = with(Quirks { rename_refused: refused, ..Quirks::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("acme.toml");
    let asked = ["--parameter", "CollectOnly=true", "--parameter", "CollectAfterwards=archive"];
    let ran = run(&collection, &[&asked[..], &["--write", text(&path)]].concat()).await;
    let found = checks(&report(&ran));
    assert_eq!((ran.status, &found["afterwards"]["status"]), (1, &"fail".into()), "{found:?}");
    for (arguments, words) in [
        (["--collect", "--write", text(&path)].as_slice(), "CollectOnly=true"),
        (&["--collect-probe", "a.csv"], "--collect"),
    ] {
        let ran = run(&collection, arguments).await;
        let settings = checks(&report(&ran))["settings"]["found"].to_string();
        assert!(ran.status == 2 && settings.contains(words), "{ran:?}");
    }
    assert!(!path.exists());
    assert_eq!(names(&collection), ["a.csv"]);
}
