//! What the commands print as JSON: at least what each release printed. The records are those that each release wrote.

use bridge::{FailureKey, Outcome};
use integration_tests::contract::{hold, of_each_release};
use serde_json::{Value, json};

use crate::shelf::{Put, Shelf};

#[tokio::test]
async fn story_252_what_programs_read_of_the_commands_stays() {
    let shelf = Shelf::new("contracts", &[]).await;
    let bucket = format!("s3://{}/", shelf.bucket());
    let running = shelf.put("in/running.csv", "1").await;
    shelf.desk.stack.start("e-running", &shelf.input(&running, "run")).await.unwrap();
    let delivered = shelf.put("in/delivered.csv", "2").await;
    shelf.receipt(&delivered, Outcome::Delivered, of_this_bucket(&shelf, "records/receipt.json")).await;
    let failed = shelf.put("in/failed.csv", "3").await;
    shelf.failure(&failed, "e-failed", "RemoteFull").await;
    with_the_whole_record(&shelf, &failed).await;
    let missed = shelf.put("in/missed.csv", "4").await;

    let manifest = tempfile::NamedTempFile::new().unwrap();
    let version = json!({"object_key": missed.object_key, "version_id": missed.version_id});
    std::fs::write(manifest.path(), format!("{}\n{version}\n", delivered.object_key)).unwrap();
    let manifest = manifest.path().to_str().unwrap();

    let whereabouts = |put: &Put| format!("{bucket}{}", put.object_key);
    for (name, arguments, status) in [
        ("failures", vec!["failures"], 1),
        ("failures-show", vec!["failures", "show", "e-failed"], 0),
        ("status", vec!["status"], 1),
        ("check", vec!["check", &bucket], 1),
        ("where-delivered", vec!["where", &whereabouts(&delivered)], 0),
        ("where-failed", vec!["where", &whereabouts(&failed)], 1),
        ("redrive-dry-run", vec!["redrive", "--dry-run"], 0),
        ("backfill-dry-run", vec!["backfill", &bucket, "--not-delivered", "--dry-run"], 1),
        ("backfill-manifest", vec!["backfill", "--manifest", manifest, "--dry-run"], 0),
        ("redrive", vec!["redrive", "--yes"], 0),
        ("backfill", vec!["backfill", &whereabouts(&missed), "--yes"], 0),
    ] {
        let ran = shelf.desk.run(&[&arguments[..], &["--json"]].concat()).await;
        assert_eq!(ran.status, status, "{name}: {ran:?}");
        hold(&format!("outputs/{name}.json"), &lines(&ran.stdout));
    }
}

/// All that is printed: one document, or one on each line.
fn lines(stdout: &str) -> Value {
    let documents = serde_json::Deserializer::from_str(stdout).into_iter();
    let mut documents: Vec<Value> =
        documents.collect::<Result<_, _>>().unwrap_or_else(|why| panic!("{why}: {stdout}"));
    if documents.len() == 1 { documents.remove(0) } else { documents.into() }
}

/// A record as the oldest release wrote it, without what says to which execution and object it belongs.
fn of_this_bucket(shelf: &Shelf, name: &str) -> Value {
    let Some((_, mut record)) = of_each_release(name).into_iter().next() else { return json!({}) };
    let fields = record.as_object_mut().unwrap();
    for ours in ["object", "execution", "execution_id", "execution_name", "error", "outcome", "finished_at"] {
        fields.remove(ours);
    }
    record["execution_id"] = shelf.desk.stack.arn("gone").into();
    record
}

/// Completes the record of a failure with what the oldest release wrote into such records.
async fn with_the_whole_record(shelf: &Shelf, put: &Put) {
    let keys = shelf.desk.stack.record_keys().await.unwrap();
    let key =
        keys.iter().find(|key| FailureKey::parse(key).is_some_and(|key| key.is_of(&put.object_key))).unwrap();
    let mut record = of_this_bucket(shelf, "records/failure.json");
    record["error"] = "RemoteFull".into();
    record["execution"] = shelf.desk.stack.arn("e-failed").into();
    record["object"] = format!("s3://{}/{}", shelf.bucket(), put.object_key).into();
    shelf.desk.stack.record(key, &record).await.unwrap();
}
