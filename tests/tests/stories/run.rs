//! Stories 28 to 34: the run. The parts that need the state machine itself are in the end-to-end test.

use std::time::Duration;

use aws::metrics::Meter;
use bridge::{ErrorName, Failure, Outcome, Phase, Proof, RecordFailureInput, RecordSettings};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use record_failure::{Output, Recorded};
use serde_json::json;

use crate::support::{Bridge, bytes, execution, unique};

#[tokio::test]
async fn story_29_longer_than_one_invocation() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    // On any machine as slow as this: 3 s there, 3 s back.
    proxy.set(Fault::Rate(20_000_000)).await;
    bridge.slice = Some(Duration::from_secs(2));
    let body = bytes(60_000_000);
    let event = bridge.put("long.bin", body.clone()).await;

    let (progress, transfers) = bridge.transfer_all(&event, 0).await.unwrap();
    assert!(transfers > 1, "{transfers}");
    let checkpoint = progress.checkpoint().unwrap();
    // What is in flight when a call ends without having been able to wait for it is sent again: less than 2 MiB.
    let sent_again = checkpoint.report.bytes_sent - 60_000_000;
    assert!(sent_again < u64::from(transfers) * 2 * 1024 * 1024, "{sent_again}");
    assert!(bridge.remote("long.bin").is_none());

    let credential = bridge.fetch_key(&event).await.unwrap();
    let (receipt, verifications) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
    assert!(verifications > 1, "{verifications}");
    assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::ReadBack)));
    assert!(bridge.remote("long.bin").unwrap() == body);
    bridge.assert_no_partial_files();
}

#[tokio::test]
async fn story_30_a_redrive_goes_on_where_it_stopped() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let event = bridge.put("redriven.bin", bytes(6_000_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    proxy.set(Fault::RefuseAfter(3_000_000)).await;
    let checkpoint = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint();
    assert_eq!(checkpoint.as_ref().unwrap().phase, Phase::Sending, "progress was made");
    let error = bridge.transfer(&event, &credential, checkpoint.clone(), 0).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectFailed, "no progress was made, so it is an error");

    // Redriven: FetchKey anew, and the checkpoint of the document.
    proxy.set(Fault::None).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let before = proxy.bytes_up();
    let progress = bridge.transfer(&event, &credential, checkpoint.clone(), 0).await.unwrap();
    assert!(proxy.bytes_up() - before < 6_200_000 - checkpoint.unwrap().sent.offset);
    let complete = progress.checkpoint().unwrap();

    // Failed at VerifyRemote and redriven: Transfer has nothing to do.
    let progress = bridge.transfer(&event, &credential, Some(complete.clone()), 0).await.unwrap();
    assert_eq!(progress.checkpoint().as_ref(), Some(&complete));
    let (receipt, _) = bridge.verify_all(&event, &credential, complete.clone()).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);

    // The answer to the rename was lost, and VerifyRemote is tried again.
    let (receipt, _) = bridge.verify_all(&event, &credential, complete).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Delivered);
    assert_eq!(bridge.remote_files(), ["redriven.bin"]);
}

#[tokio::test]
async fn story_30_a_rerun_of_a_finished_delivery_sends_nothing() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let event = bridge.put("rerun.bin", bytes(2_000_000)).await;
    for proof in ["auto", "size", "none"] {
        bridge.set("SFTP_PROOF", proof);
        let receipt = bridge.deliver(&event).await.unwrap();
        let before = proxy.bytes_up();
        let again = bridge.deliver(&event).await.unwrap();
        assert_eq!(
            (again.outcome, again.bytes_sent),
            (Outcome::AlreadyDelivered, 0),
            "{proof} after {receipt:?}"
        );
        assert_eq!((&again.checksum, again.source_checksum_matched), (&again.object.checksum, Some(true)));
        assert_eq!(again.proof, Some(Proof::ReadBack), "contents are what makes it the same file");
        assert!(proxy.bytes_up() - before < 100_000);
    }

    // A file of the same size and another content is not taken for it.
    let mut other = bytes(2_000_000);
    other[1_000_000] ^= 1;
    std::fs::write(bridge.partner.root.join("rerun.bin"), &other).unwrap();
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.bytes_sent), (Outcome::Delivered, 2_000_000));
    assert!(bridge.remote("rerun.bin").unwrap() == bytes(2_000_000));
}

fn failure_of(error: &str, cause: &str, redrive_count: u32) -> RecordFailureInput {
    RecordFailureInput {
        execution: execution(),
        event: json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}}),
        document: json!({}),
        failure: Failure {
            state: "Transfer".into(),
            error: error.into(),
            cause: cause.into(),
            redrive_count,
        },
        raise: false,
    }
}

#[tokio::test]
async fn story_30_record_failure_records_raises_and_on_a_redrive_resumes() {
    let bridge = Bridge::new().await;
    let settings = RecordSettings {
        bucket: bridge.bucket.clone(),
        remote_host: Some("sftp.example.com".into()),
        ..RecordSettings::default()
    };
    let step_functions = Some(bridge.aws.sfn());
    let deps = record_failure::Deps {
        settings: Ok(settings),
        s3: bridge.aws.s3(),
        step_functions,
        sns: None,
        meter: Meter::off(),
    };
    let cause = json!({"errorType": "RemoteFull", "errorMessage": "disk full"}).to_string();

    // State RecordFailure, tried twice: one record.
    for _ in 0..2 {
        let output = record_failure::handle(&deps, failure_of("RemoteFull", &cause, 0)).await.unwrap();
        assert!(matches!(output, Output::Record(Recorded::Location(_))), "{output:?}");
    }
    // State RaiseOriginal.
    let raise = |input| RecordFailureInput { raise: true, ..input };
    let raised = record_failure::handle(&deps, raise(failure_of("RemoteFull", &cause, 0))).await.unwrap_err();
    assert_eq!((raised.error.as_str(), raised.message.as_str()), ("RemoteFull", "disk full"));

    // Redriven: the count is higher than when it was caught.
    let mut redriven = raise(failure_of("RemoteFull", &cause, 0));
    redriven.execution.redrive_count = 1;
    assert_eq!(record_failure::handle(&deps, redriven).await.unwrap(), Output::Resumed(true));

    // It fails again after the redrive: a second record, and it can be redriven again.
    let mut again = failure_of("ConnectFailed", &cause, 1);
    again.execution.redrive_count = 1;
    record_failure::handle(&deps, again.clone()).await.unwrap();
    assert_eq!(record_failure::handle(&deps, raise(again.clone())).await.unwrap_err().error, "ConnectFailed");
    again.execution.redrive_count = 2;
    assert_eq!(record_failure::handle(&deps, raise(again)).await.unwrap(), Output::Resumed(true));

    let listed =
        bridge.aws.s3().list_objects_v2().bucket(&bridge.bucket).prefix("failures/").send().await.unwrap();
    let keys: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    // The first one is settled by the second one.
    assert!(keys[0].starts_with("failures/open/") && keys[0].ends_with(",1.json"), "{keys:?}");
    assert!(keys[1].starts_with("failures/settled/") && keys[1].ends_with(",0.json"), "{keys:?}");
}

#[tokio::test]
async fn story_31_record_failure_itself_fails() {
    let bridge = Bridge::new().await;
    let missing = RecordSettings { bucket: unique("no-such-bucket"), ..RecordSettings::default() };
    let unset = RecordSettings::parse(&bridge::Variables::default());
    for settings in [Ok(missing), unset] {
        let deps = record_failure::Deps {
            settings,
            s3: bridge.aws.s3(),
            step_functions: None,
            sns: None,
            meter: Meter::off(),
        };
        let failure = failure_of("HostKeyMismatch", "plain words", 0);
        let output = record_failure::handle(&deps, failure.clone()).await.unwrap();
        assert!(matches!(output, Output::Record(Recorded::Error(_))), "{output:?}");
        let failure = RecordFailureInput { raise: true, ..failure };
        let raised = record_failure::handle(&deps, failure).await.unwrap_err();
        assert_eq!((raised.error.as_str(), raised.message.as_str()), ("HostKeyMismatch", "plain words"));
    }
}

/// The secret itself, and what a careless log line would make of it.
const CANARIES: [&str; 3] = ["canary-passphrase", "canary-password", "PRIVATE KEY"];

#[tokio::test]
async fn story_32_no_secret_in_any_result() {
    let mut bridge = Bridge::new().await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let key = bridge.partner.client_key.private.clone();
    let body = key.lines().nth(1).unwrap().to_owned();
    let mut seen = Vec::new();
    for secret in [
        json!({"Username": bridge.partner.user, "PrivateKey": key, "Passphrase": "canary-passphrase", "Password": "canary-password"}),
        json!({"Username": bridge.partner.user, "PrivateKey": "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-password\n"}),
        json!({"Username": bridge.partner.user, "Password": "canary-password"}),
        json!({"Username": "canary", "PrivateKey": {"canary-password": key}}),
        json!("canary-password"),
    ] {
        let name = unique("secret");
        bridge.aws.create_secret(&name, &secret.to_string()).await.unwrap();
        bridge.set("SFTP_SECRET_ID", name);
        match bridge.fetch_key(&event).await {
            Ok(credential) => {
                seen.push(format!("{credential:?} {}", serde_json::to_string(&credential).unwrap()))
            }
            Err(error) => seen.push(format!("{error} {error:?}")),
        }
        match bridge.deliver(&event).await {
            Ok(receipt) => seen.push(format!("{receipt:?} {}", serde_json::to_string(&receipt).unwrap())),
            Err((_, error)) => seen.push(format!("{error} {error:?}")),
        }
    }
    assert!(seen.iter().any(|text| text.contains("Delivered")), "the first secret works: {seen:?}");
    for text in &seen {
        for canary in CANARIES.iter().copied().chain([body.as_str()]) {
            assert!(
                !text.replace("-----BEGIN … PRIVATE KEY-----", "").contains(canary),
                "{canary} in {text}"
            );
        }
    }
}

#[tokio::test]
async fn story_33_a_failing_object_does_not_hold_up_the_others() {
    let bridge = Bridge::new().await;
    let missing = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "missing"}}});
    let good = bridge.put("good.txt", b"x".to_vec()).await;
    let (failed, delivered) = tokio::join!(bridge.deliver(&missing), bridge.deliver(&good));
    assert_eq!(failed.unwrap_err().1.name, ErrorName::ObjectUnreadable);
    assert_eq!(delivered.unwrap().outcome, Outcome::Delivered);
}

#[tokio::test]
async fn a_complete_checkpoint_is_asked_for_nothing() {
    let bridge = Bridge::new().await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let mut checkpoint = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint().unwrap();
    checkpoint.phase = Phase::Sending;
    let error = bridge.verify_remote(&event, &credential, checkpoint).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InvalidInput);
}
