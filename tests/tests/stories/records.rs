//! Stories 180 to 186: what the record bucket tells afterwards.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use aws::metrics::Meter;
use aws::records::{self, RecordBucket};
use bridge::{
    DayReceiptKey, Deadline, Execution, Failure, FailureKey, FailureState, Outcome, Progress, Receipt,
    ReceiptKey, RecordFailureCall, RecordFailureInput, RecordSettings, StatusChange, VerifyRemoteInput,
};
use integration_tests::{ministack, schema};
use record_failure::{Output, Recorded};
use serde_json::{Value, json};

use crate::support::{Bridge, unique};

fn execution(name: &str) -> Execution {
    Execution {
        id: format!("arn:aws:states:us-east-1:0:execution:bridge:{name}"),
        name: name.to_owned(),
        start_time: aws::now(),
        ..Execution::default()
    }
}

/// A bridge with a record bucket of its own.
async fn recording() -> Bridge {
    let mut bridge = Bridge::new().await.versioned().await;
    let records = unique("records");
    bridge.aws.s3().create_bucket().bucket(&records).send().await.unwrap();
    bridge.set("RECORD_BUCKET", records);
    bridge
}

fn bucket(bridge: &Bridge) -> RecordBucket {
    RecordBucket::new(bridge.aws.s3(), &bridge.variables["RECORD_BUCKET"])
}

async fn keys(bridge: &Bridge, prefix: &str) -> Vec<String> {
    let list = bridge.aws.s3().list_objects_v2().bucket(&bridge.variables["RECORD_BUCKET"]).prefix(prefix);
    let listed = list.send().await.unwrap();
    listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

async fn read<T: serde::de::DeserializeOwned>(bridge: &Bridge, key: &str) -> T {
    let record = bucket(bridge).get(&key).await.unwrap().unwrap();
    serde_json::from_value(Value::Object(record)).unwrap()
}

fn deps(bridge: &Bridge) -> record_failure::Deps {
    let settings = RecordSettings {
        bucket: bridge.variables["RECORD_BUCKET"].clone(),
        remote_host: Some("sftp.example.com".into()),
        ..RecordSettings::default()
    };
    let step_functions = Some(bridge.aws.sfn());
    record_failure::Deps {
        settings: Ok(settings),
        s3: bridge.aws.s3(),
        step_functions,
        sns: None,
        meter: Meter::off(),
    }
}

fn failed(execution: &Execution, event: &Value, error: &str) -> RecordFailureInput {
    RecordFailureInput {
        execution: execution.clone(),
        event: event.clone(),
        document: json!({}),
        failure: Failure {
            state: "Transfer".into(),
            error: error.into(),
            cause: "disk full".into(),
            redrive_count: execution.redrive_count,
        },
        raise: false,
    }
}

/// Records a failure, as the state machine does.
async fn fail(bridge: &Bridge, execution: &Execution, event: &Value, error: &str) {
    let output = record_failure::handle(&deps(bridge), failed(execution, event, error)).await.unwrap();
    assert!(matches!(output, Output::Record(Recorded::Location(_))), "{output:?}");
}

#[tokio::test]
async fn story_180_every_outcome_is_found_by_object_and_by_day() {
    let mut bridge = recording().await;
    let event = bridge.put("in/a b.txt", b"hello".to_vec()).await;
    let delivered = bridge.deliver_as(&execution("first"), &event).await.unwrap();
    assert!(delivered.warnings.is_empty(), "{delivered:?}");
    bridge.deliver_as(&execution("rerun"), &event).await.unwrap();
    let newer = bridge.put("in/a b.txt", b"hello again".to_vec()).await;
    bridge.deliver_as(&execution("late"), &event).await.unwrap();
    bridge.set("S3_EXCLUDE", "in/**");
    bridge.deliver_as(&execution("excluded"), &newer).await.unwrap();

    let version = |event: &Value| event["detail"]["object"]["version-id"].as_str().unwrap().to_owned();
    let of = |event: &Value, outcome: &str| {
        format!("receipts/objects/in/a b.txt/{}/{outcome}.json", version(event))
    };
    let mut expected = [
        of(&event, "already_delivered"),
        of(&event, "delivered"),
        of(&event, "superseded"),
        of(&newer, "skipped"),
    ];
    expected.sort();
    assert_eq!(keys(&bridge, &ReceiptKey::prefix("in/")).await, expected);
    let written: Receipt = read(&bridge, &of(&event, "delivered")).await;
    assert_eq!(written, delivered);

    let day = keys(&bridge, &DayReceiptKey::prefix(&delivered.finished_at[..10])).await;
    let mut day: Vec<DayReceiptKey> = day.iter().map(|key| DayReceiptKey::parse(key).unwrap()).collect();
    day.sort_by(|one, other| one.execution.cmp(&other.execution));
    let ended: Vec<_> = day.iter().map(|key| (key.execution.as_str(), key.outcome, key.bytes)).collect();
    let expected = [
        ("excluded", Outcome::Skipped, 0),
        ("first", Outcome::Delivered, 5),
        ("late", Outcome::Superseded, 5),
        ("rerun", Outcome::AlreadyDelivered, 5),
    ];
    assert_eq!(ended, expected, "the size of what was not looked at is not known");
}

#[tokio::test]
async fn story_180_a_step_that_is_retried_writes_one_receipt() {
    let bridge = recording().await;
    let event = bridge.put("twice.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let sent = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint().unwrap();
    let mut call = VerifyRemoteInput { execution: execution("twice"), credential, checkpoint: sent };
    let first = bridge.verify(call.clone()).await.unwrap().receipt().unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // The answer was lost.
    call.execution.retry_count = 1;
    let second = bridge.verify(call.clone()).await.unwrap().receipt().unwrap();
    assert_eq!(first.finished_at, second.finished_at);
    let day = DayReceiptKey::prefix(&first.finished_at[..10]);
    assert_eq!(keys(&bridge, &day).await.len(), 1);

    // Another execution has a receipt of its own.
    call.execution = Execution { retry_count: 1, ..execution("other") };
    let other = bridge.verify(call).await.unwrap().receipt().unwrap();
    assert_ne!(first.finished_at, other.finished_at);
    assert_eq!(keys(&bridge, &day).await.len(), 2);
}

#[tokio::test]
async fn story_181_what_is_owed_is_one_list() {
    let bridge = recording().await;
    let open = FailureState::Open;
    let event = bridge.put("a", b"x".to_vec()).await;
    let below = bridge.put("a/b", b"x".to_vec()).await;
    fail(&bridge, &execution("failed"), &event, "RemoteFull").await;
    fail(&bridge, &execution("other"), &below, "RemoteFull").await;
    assert_eq!(keys(&bridge, "failures/open/").await.len(), 2);

    // A rerun. What is owed of objects whose keys continue is still owed.
    let receipt = bridge.deliver_as(&execution("rerun"), &event).await.unwrap();
    assert!(receipt.warnings.is_empty(), "{receipt:?}");
    assert!(bucket(&bridge).failures(open, "a").await.unwrap().is_empty());
    assert_eq!(bucket(&bridge).failures(open, "a/b").await.unwrap().len(), 1);
    let settled = keys(&bridge, "failures/settled/a/").await;
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!(FailureKey::parse(&settled[0]).unwrap().error, "RemoteFull");
    let record: Value = read(&bridge, &settled[0]).await;
    assert_eq!(
        (&record["settled_by"], &record["settled_outcome"], &record["error"]),
        (&json!(execution("rerun").id), &json!("delivered"), &json!("RemoteFull"))
    );
    assert!(record["settled_at"].as_str().unwrap() >= record["recorded_at"].as_str().unwrap(), "{record}");

    // Somebody ended the function between its two requests: it is settled and still open, until the next time.
    let key = FailureKey::parse(&settled[0]).unwrap().in_state(open);
    bucket(&bridge).put(&key, &record).await.unwrap();
    bridge.deliver_as(&execution("again"), &event).await.unwrap();
    assert!(bucket(&bridge).failures(open, "a").await.unwrap().is_empty());
    assert_eq!(keys(&bridge, "failures/settled/a/").await, settled);
}

#[tokio::test]
async fn story_181_a_newer_upload_makes_good_for_an_older_one_and_not_the_other_way_round() {
    let bridge = recording().await;
    let open = FailureState::Open;
    let older = bridge.put("k", b"older".to_vec()).await;
    fail(&bridge, &execution("older"), &older, "RemoteFull").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let newer = bridge.put("k", b"newer".to_vec()).await;
    let late = execution("newer");
    fail(&bridge, &late, &newer, "RemoteFull").await;
    assert_eq!(bucket(&bridge).failures(open, "k").await.unwrap().len(), 2);

    // The older one ends as superseded, and the newer one is still owed.
    let receipt = bridge.deliver_as(&execution("redriven"), &older).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Superseded);
    let owed = bucket(&bridge).failures(open, "k").await.unwrap();
    assert_eq!(owed.iter().map(|owed| owed.execution.as_str()).collect::<Vec<_>>(), ["newer"]);

    // The older one fails once more, before the newer one is delivered.
    let started = Execution { start_time: "2026-01-01T00:00:00Z".into(), ..execution("older") };
    fail(&bridge, &started, &older, "RemoteFull").await;
    bridge.deliver_as(&Execution { redrive_count: 1, ..late }, &newer).await.unwrap();
    assert_eq!(bucket(&bridge).failures(open, "k").await.unwrap(), []);
}

#[tokio::test]
async fn story_182_a_record_bucket_that_cannot_be_written_is_a_warning() {
    let mut bridge = Bridge::new().await;
    bridge.set("RECORD_BUCKET", unique("no-such-bucket"));
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.warnings.len()), (Outcome::Delivered, 2), "{receipt:?}");
    let warning = &receipt.warnings[0];
    assert!(warning.starts_with("RECORD_BUCKET: the receipt was not written: "), "{warning}");
    assert!(warning.contains("s3://no-such-bucket") && warning.contains("NoSuchBucket"), "{warning}");
}

#[tokio::test]
async fn story_182_a_record_bucket_that_does_not_answer_takes_half_of_the_time_left_at_most() {
    let bridge = Bridge::new().await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    // Connections are accepted by the system, and nobody answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let config = bridge.aws.s3().config().to_builder().endpoint_url(endpoint).build();
    let bucket = RecordBucket::new(aws_sdk_s3::Client::from_conf(config), "records");
    let start = Instant::now();
    let retried = Execution { retry_count: 1, ..execution("slow") };
    let progress = Progress::Receipt(Box::new(receipt));
    let deadline = Deadline::after(Duration::from_secs(2));
    let progress = records::conclude(Some(bucket), progress, &retried, deadline).await;
    assert!(start.elapsed() < Duration::from_millis(1_900), "{:?}", start.elapsed());
    let receipt = progress.receipt().unwrap();
    assert_eq!(receipt.warnings.len(), 2, "{receipt:?}");
    assert!(receipt.warnings[0].contains("no answer within"), "{receipt:?}");
}

#[tokio::test]
async fn story_183_an_execution_has_one_open_record_however_often_it_fails() {
    let bridge = recording().await;
    let event = bridge.put("k", b"x".to_vec()).await;
    let first = execution("e");
    fail(&bridge, &first, &event, "RemoteFull").await;
    fail(&bridge, &first, &event, "RemoteFull").await;
    assert_eq!(keys(&bridge, "failures/").await.len(), 1, "a retry records nothing more");
    fail(&bridge, &Execution { redrive_count: 1, ..first.clone() }, &event, "ConnectFailed").await;
    let owed = bucket(&bridge).failures(FailureState::Open, "k").await.unwrap();
    assert_eq!((owed.len(), owed[0].error.as_str(), owed[0].redrive_count), (1, "ConnectFailed", 1));
    let settled = keys(&bridge, "failures/settled/").await;
    assert_eq!(settled.len(), 1, "{settled:?}");
    let record: Value = read(&bridge, &settled[0]).await;
    assert_eq!(
        (&record["settled_outcome"], &record["error"]),
        (&json!("failed_again"), &json!("RemoteFull"))
    );
}

#[tokio::test]
async fn story_187_records_follow_their_schemas_and_a_wrong_one_is_seen() {
    let mut bridge = recording().await;
    let problems = async |name: &str, record: &Value| schema::problems(name, record).await.unwrap();
    let event = bridge.put("k", b"x".to_vec()).await;
    fail(&bridge, &execution("failed"), &event, "RemoteFull").await;
    fail(&bridge, &execution("garbage"), &json!("garbage"), "InvalidInput").await;
    let open = keys(&bridge, "failures/open/").await;
    assert_eq!(open.len(), 2, "{open:?}");
    for key in &open {
        let record = read(&bridge, key).await;
        assert_eq!(problems("failure", &record).await, [""; 0], "{record}");
    }
    bridge.set("SFTP_MARKER", "sha256");
    bridge.set("S3_AFTER_DELIVERY", "tag");
    bridge.deliver_as(&execution("rerun"), &event).await.unwrap();
    let settled: Value = read(&bridge, &keys(&bridge, "failures/settled/").await[0]).await;
    assert_eq!(problems("failure", &settled).await, [""; 0], "{settled}");
    let key = &keys(&bridge, "receipts/objects/").await[0];
    let receipt: Value = read(&bridge, key).await;
    assert!(receipt["marker"].is_string() && receipt["after_delivery"] == "tagged", "{receipt}");
    assert_eq!(problems("receipt", &receipt).await, [""; 0], "{receipt}");

    for (field, wrong) in [
        ("outcome", json!("lost")),
        ("schema_version", json!("2")),
        ("finished_at", json!("yesterday")),
        ("object", json!({"bucket": "b"})),
        ("undescribed", json!(1)),
    ] {
        let mut receipt = receipt.clone();
        receipt[field] = wrong;
        assert_eq!(problems("receipt", &receipt).await.len(), 1, "{field}");
    }
}

#[tokio::test]
async fn story_188_a_notice_that_cannot_be_sent_changes_nothing() {
    let bridge = recording().await;
    let event = bridge.put("k", b"x".to_vec()).await;
    let mut deps = deps(&bridge);
    // The system accepts connections there, and nobody answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    for endpoint in [bridge.aws.endpoint.clone(), format!("http://{}", silent.local_addr().unwrap())] {
        let config = aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
            .credentials_provider(aws_sdk_sns::config::Credentials::new("test", "test", None, None, "local"))
            .region(aws_sdk_sns::config::Region::new(ministack::REGION))
            .endpoint_url(endpoint);
        deps.sns = Some(aws_sdk_sns::Client::from_conf(config.build()));
        let topic = Some("arn:aws:sns:us-east-1:000000000000:nobody".to_owned());
        deps.settings = deps.settings.map(|settings| RecordSettings { notice_topic: topic, ..settings });
        let input = failed(&execution(&unique("failed")), &event, "RemoteFull");
        let start = Instant::now();
        let output = record_failure::handle(&deps, input).await.unwrap();
        assert!(matches!(output, Output::Record(Recorded::Location(_))), "{output:?}");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    }
    assert_eq!(bucket(&bridge).failures(FailureState::Open, "k").await.unwrap().len(), 2);
}

/// An execution that somebody stops, and the event about it.
async fn stopped(bridge: &Bridge, machine: &str, name: &str, event: &Value) -> (Execution, StatusChange) {
    let sfn = bridge.aws.sfn();
    let start = sfn.start_execution().state_machine_arn(machine).name(name).input(event.to_string());
    let arn = start.send().await.unwrap().execution_arn;
    sfn.stop_execution().execution_arn(&arn).error("Tired").cause("enough").send().await.unwrap();
    let execution = Execution { id: arn.clone(), ..execution(name) };
    let change = StatusChange {
        execution_arn: arn,
        state_machine_arn: machine.to_owned(),
        name: name.to_owned(),
        status: "ABORTED".into(),
        start_date: None,
        input: None,
        error: None,
        cause: None,
        redrive_count: 0,
    };
    (execution, change)
}

/// A state machine that waits.
async fn waiting_machine(bridge: &Bridge) -> String {
    let definition =
        json!({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": true}}});
    let create = bridge.aws.sfn().create_state_machine().name(unique("waiting"));
    let create = create.role_arn("arn:aws:iam::000000000000:role/r").definition(definition.to_string());
    create.send().await.unwrap().state_machine_arn
}

#[tokio::test]
async fn story_186_a_stopped_execution_has_one_record_in_any_order_of_the_callers() {
    let bridge = recording().await;
    let machine = waiting_machine(&bridge).await;
    let told = async |change: &StatusChange| {
        let call = RecordFailureCall::StatusChange(Box::new(change.clone()));
        record_failure::answer(&deps(&bridge), call).await.unwrap()
    };
    let errors = async |object_key: &str| -> Vec<String> {
        let open = bucket(&bridge).failures(FailureState::Open, object_key).await.unwrap();
        open.into_iter().map(|failure| failure.error).collect()
    };

    // The event alone. It comes twice.
    let event = bridge.put("event", b"x".to_vec()).await;
    let (_, change) = stopped(&bridge, &machine, "event-alone", &event).await;
    assert!(matches!(told(&change).await, Output::Record(Recorded::Location(_))));
    assert!(matches!(told(&change).await, Output::Nothing(_)));
    assert_eq!(errors("event").await, ["ExecutionAborted"]);

    // First the event, then the state that was running: it knows more.
    let event = bridge.put("state-last", b"x".to_vec()).await;
    let (execution, change) = stopped(&bridge, &machine, "state-last", &event).await;
    told(&change).await;
    fail(&bridge, &execution, &event, "RemoteFull").await;
    assert_eq!(errors("state-last").await, ["RemoteFull"]);

    // The other way round.
    let event = bridge.put("event-last", b"x".to_vec()).await;
    let (execution, change) = stopped(&bridge, &machine, "event-last", &event).await;
    fail(&bridge, &execution, &event, "RemoteFull").await;
    assert!(matches!(told(&change).await, Output::Nothing(_)));
    assert_eq!(errors("event-last").await, ["RemoteFull"]);

    // It was delivered after all, before the event came.
    bridge.deliver_as(&execution, &event).await.unwrap();
    assert!(matches!(told(&change).await, Output::Nothing(_)));
    assert_eq!(errors("event-last").await, [""; 0]);

    // Both at the same moment.
    for number in 0..10 {
        let key = format!("both/{number}");
        let event = bridge.put(&key, b"x".to_vec()).await;
        let (execution, change) = stopped(&bridge, &machine, &format!("both-{number}"), &event).await;
        tokio::join!(told(&change), fail(&bridge, &execution, &event, "RemoteFull"));
        assert_eq!(errors(&key).await, ["RemoteFull"], "{number}");
    }
}
