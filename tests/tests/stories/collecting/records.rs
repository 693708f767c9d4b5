//! What the record bucket tells of collections and of looks at the partner's directory.

use aws::metrics::Meter;
use aws::records::{self, RecordBucket};
use aws_sdk_s3::Client;
use bridge::collect::{CollectOutcome, CollectProgress, CollectReceipt, CollectReport, RemoteFile};
use bridge::{
    CollectReceiptKey, CredentialReference, DayCollectReceiptKey, Deadline, Execution, Failure, FailureKey,
    FailureState, Parties, RecordFailureCall, RecordFailureInput, RecordSettings, SecretLocation,
    StatusChange,
};
use integration_tests::{ministack, schema};
use record_failure::{Output, Recorded};
use serde_json::{Value, json};

use crate::support::unique;

const DIRECTORY: &str = "sftp://sftp.example.com/out";

/// A record bucket of a test's own.
struct Records {
    s3: Client,
    name: String,
}

impl Records {
    async fn new() -> Self {
        let (s3, name) = (ministack::shared().await.s3(), unique("collected-records"));
        s3.create_bucket().bucket(&name).send().await.unwrap();
        Self { s3, name }
    }

    fn bucket(&self) -> RecordBucket {
        RecordBucket::new(self.s3.clone(), &self.name)
    }

    async fn deps(&self) -> record_failure::Deps {
        let settings = RecordSettings {
            bucket: self.name.clone(),
            remote_host: Some("sftp.example.com".into()),
            collect_bucket: Some("inbox".into()),
            collect_directory: Some("out".into()),
            ..RecordSettings::default()
        };
        record_failure::Deps {
            settings: Ok(settings),
            s3: self.s3.clone(),
            step_functions: Some(ministack::shared().await.sfn()),
            sns: None,
            meter: Meter::off(),
        }
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(&self.name).prefix(prefix).send().await.unwrap();
        listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
    }

    async fn failures(&self, state: &str) -> Vec<FailureKey> {
        let keys = self.keys(&format!("failures/{state}/")).await;
        keys.iter().map(|key| FailureKey::parse(key).unwrap()).collect()
    }

    async fn described(&self, name: &str, key: &str) -> Value {
        let record = Value::Object(self.bucket().get(&key).await.unwrap().unwrap());
        assert_eq!(schema::problems(name, &record).await.unwrap(), [""; 0], "{record:#}");
        record
    }
}

fn execution(machine: &str, name: &str) -> Execution {
    Execution {
        id: format!("arn:aws:states:us-east-1:000000000000:execution:acme-{machine}:{name}"),
        name: name.to_owned(),
        start_time: aws::now(),
        state_machine_id: format!("arn:aws:states:us-east-1:000000000000:stateMachine:acme-{machine}"),
        ..Execution::default()
    }
}

fn failed(execution: &Execution, event: Value, error: &str) -> RecordFailureInput {
    let cause = json!({"errorType": error, "errorMessage": "it did not work"}).to_string();
    RecordFailureInput {
        execution: execution.clone(),
        event,
        document: json!({}),
        failure: Failure { state: "ListRemote".into(), error: error.into(), cause, redrive_count: 0 },
        raise: false,
    }
}

async fn record(deps: &record_failure::Deps, input: RecordFailureInput) -> String {
    match record_failure::handle(deps, input).await.unwrap() {
        Output::Record(Recorded::Location(location)) => location,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn looks_that_fail_in_the_same_way_are_one_failure_until_a_look_succeeds() {
    let records = Records::new().await;
    let deps = records.deps().await;
    let look = |name: &str| execution("watch", name);
    let event = json!({"look": true});
    let first = record(&deps, failed(&look("look-1"), event.clone(), "ConnectFailed")).await;
    for number in 2..5 {
        let input = failed(&look(&format!("look-{number}")), event.clone(), "ConnectFailed");
        assert_eq!(record(&deps, input).await, first);
    }
    let other = record(&deps, failed(&look("look-5"), event.clone(), "AuthenticationRejected")).await;
    assert_ne!(other, first);
    let open = records.failures("open").await;
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(open.iter().all(|key| key.object == DIRECTORY && key.version.is_look()), "{open:?}");
    let described = records.described("failure", &open[0].to_string()).await;
    assert_eq!((&described["object"], &described["destination"]), (&json!(DIRECTORY), &json!("s3://inbox/")));
    assert!(described["what_to_do"].as_str().unwrap().contains("next look"), "{described}");
    assert!(described["redrive_command"].as_str().unwrap().contains("stateMachine:acme-watch"));

    // Step Functions' event about one of them, and about one that was stopped.
    let change = |name: &str, status: &str, error: Option<&str>| StatusChange {
        execution_arn: look(name).id,
        state_machine_arn: look(name).state_machine_id,
        name: name.to_owned(),
        status: status.to_owned(),
        start_date: Some(1_795_770_000_000),
        input: Some("{}".into()),
        error: error.map(str::to_owned),
        cause: None,
        redrive_count: 0,
    };
    let call = |change| RecordFailureCall::StatusChange(Box::new(change));
    let seen =
        record_failure::answer(&deps, call(change("look-4", "FAILED", Some("ConnectFailed")))).await.unwrap();
    assert!(matches!(seen, Output::Nothing(_)), "{seen:?}");
    let stopped = record_failure::answer(&deps, call(change("look-6", "ABORTED", None))).await.unwrap();
    assert!(matches!(stopped, Output::Record(Recorded::Location(_))), "{stopped:?}");
    assert_eq!(records.failures("open").await.len(), 3);

    // A file below the directory has failed, too: no look settles it.
    let file = json!({"host": "sftp.example.com", "directory": "out", "path": "look/a.csv", "size": 5});
    record(&deps, failed(&execution("collect", "a"), json!({ "file": file }), "RemoteUnreadable")).await;
    records::conclude_look(Some(records.bucket()), DIRECTORY, &look("look-7"), Deadline::NEVER).await;
    let open = records.failures("open").await;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].object, format!("{DIRECTORY}/look/a.csv"));
    for key in records.failures("settled").await {
        let settled = records.described("failure", &key.to_string()).await;
        assert_eq!(
            (&settled["settled_outcome"], &settled["settled_by"]),
            (&json!("look_complete"), &json!(look("look-7").id))
        );
    }
    // The event of the first comes late, and the next look fails.
    let late =
        record_failure::answer(&deps, call(change("look-1", "FAILED", Some("ConnectFailed")))).await.unwrap();
    assert!(matches!(late, Output::Nothing(_)), "{late:?}");
    assert_ne!(record(&deps, failed(&look("look-8"), event, "ConnectFailed")).await, first);
}

fn receipt(execution: &Execution, file: &RemoteFile, outcome: CollectOutcome) -> CollectReceipt {
    let location = SecretLocation::SecretsManager { arn: "a".into(), version_id: "1".into() };
    let credential = CredentialReference {
        location,
        user_name: "u".into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    };
    let parties = Parties { remote_host: &file.host, credential: &credential, execution };
    let report = CollectReport { started_at: aws::now(), ..CollectReport::default() };
    CollectReceipt::new(outcome, file.clone(), &report, parties, aws::now())
}

#[tokio::test]
async fn a_collection_that_failed_has_a_record_until_the_file_is_collected() {
    let records = Records::new().await;
    let deps = records.deps().await;
    let file = RemoteFile {
        host: "sftp.example.com".into(),
        directory: "out".into(),
        path: "a b/c,d.csv".into(),
        size: 5,
        modified: Some(7),
    };
    let this = execution("collect", &file.execution_name());
    record(&deps, failed(&this, json!({ "file": file }), "RemoteUnreadable")).await;
    let open = records.failures("open").await;
    assert_eq!(
        (open[0].object.as_str(), open[0].version.as_str()),
        ("sftp://sftp.example.com/out/a b/c,d.csv", "5-7")
    );
    assert!(open[0].is_by(&this.name), "{open:?}");
    let described = records.described("failure", &open[0].to_string()).await;
    assert_eq!((&described["size"], &described["acknowledged"]), (&json!(5), &json!(0)));
    assert!(described["redrive_command"].as_str().unwrap().contains(&this.id), "{described}");

    // The receipt of another file under this name settles nothing that came later.
    let other = RemoteFile { size: 6, ..file.clone() };
    let mut earlier = receipt(&execution("collect", "other"), &other, CollectOutcome::Collected);
    earlier.started_at = "2026-01-01T00:00:00Z".into();
    let conclude = async |receipt: CollectReceipt, execution: &Execution| {
        let progress = CollectProgress::Receipt(Box::new(receipt));
        let bucket = Some(records.bucket());
        match records::conclude_collection(bucket, progress, execution, Deadline::NEVER).await {
            CollectProgress::Receipt(receipt) => *receipt,
            CollectProgress::Checkpoint(_) => panic!("it has ended"),
        }
    };
    conclude(earlier, &execution("collect", "other")).await;
    assert_eq!(records.failures("open").await.len(), 1);

    let redriven = Execution { redrive_count: 1, ..this.clone() };
    let first = conclude(receipt(&this, &file, CollectOutcome::Collected), &redriven).await;
    assert_eq!((first.warnings.len(), records.failures("open").await.len()), (0, 0));
    let settled = records.failures("settled").await;
    let settled = records.described("failure", &settled[0].to_string()).await;
    assert_eq!((&settled["settled_outcome"], &settled["settled_by"]), (&json!("collected"), &json!(this.id)));

    // The function was killed after writing, and the call is repeated: the same keys.
    let mut again = receipt(&this, &file, CollectOutcome::Collected);
    again.finished_at = "2036-11-27T09:15:00Z".into();
    let again = conclude(again, &redriven).await;
    assert_eq!(again.finished_at, first.finished_at);
    let keys = records.keys(&CollectReceiptKey::prefix_of(&file)).await;
    assert_eq!(keys, [format!("receipts/objects/{}/5-7/collected.json", file.url())]);
    let written = records.described("collected", &keys[0]).await;
    assert_eq!(written, serde_json::to_value(&again).unwrap());
    let day = records.keys(&DayCollectReceiptKey::prefix(&first.finished_at[..10])).await;
    let day: Vec<DayCollectReceiptKey> =
        day.iter().map(|key| DayCollectReceiptKey::parse(key).unwrap()).collect();
    assert_eq!(day.iter().filter(|key| key.execution == this.name).count(), 1, "{day:?}");
    assert_eq!(records.bucket().failures(FailureState::Open, &file.url()).await.unwrap(), []);
}
