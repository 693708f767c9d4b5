//! The whole chain: the unchanged template, deployed with SAM; the real binaries; a real partner.

mod any_size;
mod backfill;
mod care;
mod collected_sizes;
mod collecting;
mod first_partner;
mod moving;
mod packages;
mod permissions;
mod questions;
mod records;
mod upgrade;
mod watching;
mod weekend;

use std::process::Command;
use std::time::Duration;

use integration_tests::embedded::{Quirks, Setstat};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::{Options, Partner};
use integration_tests::stack::{Execution, Stack};
use integration_tests::{skip, tools};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
/// Of executions that are to fail because the partner is away. The definition's three days take minutes here.
const RETRIES: u32 = 10;

async fn deployed(name: &str, more: &[(&str, &str)]) -> (Stack<'static>, Partner, &'static MiniStack) {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let stack = Stack::deploy_for(aws, name, &partner, more).await.unwrap();
    (stack, partner, aws)
}

fn receipt(execution: &Execution) -> &Value {
    execution.receipt().unwrap_or_else(|| panic!("{:?}: {:?}", execution.error, execution.cause))
}

async fn record(stack: &Stack<'_>, execution: &Execution) -> Value {
    let record = stack.failure_record(execution).await.unwrap();
    serde_json::from_str(&record.expect("a failed execution has a record")).unwrap()
}

/// An execution that failed so, with its record, and nothing under the final name.
async fn assert_failed(stack: &Stack<'_>, partner: &Partner, failed: &Execution, error: &str, words: &str) {
    assert_eq!(failed.error.as_deref(), Some(error), "{failed:?}");
    let record = record(stack, failed).await;
    assert_eq!(record["error"], error);
    assert!(record["cause"].as_str().unwrap().contains(words), "{words:?} is not in {record}");
    // The cause is that of a Lambda error: JSON around the message.
    let cause: Value = serde_json::from_str(failed.cause.as_ref().unwrap()).unwrap();
    assert_eq!((&cause["errorType"], &cause["errorMessage"]), (&json!(error), &record["cause"]));
    assert!(!record["what_to_do"].as_str().unwrap().is_empty());
    assert!(record["redrive_command"].as_str().unwrap().contains(&failed.arn));
    if !failed.object_key().is_empty() {
        assert!(!partner.root.join(failed.object_key()).exists());
    }
}

fn input(stack: &Stack<'_>, object_key: &str) -> Value {
    json!({"detail": {"bucket": {"name": stack.bucket()}, "object": {"key": object_key}}})
}

async fn run(stack: &Stack<'_>, input: &Value) -> Execution {
    let arn = stack.start(input).await.unwrap();
    stack.wait(&arn, PATIENCE).await.unwrap()
}

/// All that an outsider with access to the account could read.
async fn everything(aws: &MiniStack, stacks: &[&Stack<'_>]) -> String {
    let mut text = aws.logs().await.unwrap();
    for stack in stacks {
        text += &format!("{:?}", stack.failure_records().await.unwrap());
        for execution in stack.executions().await.unwrap() {
            text += &format!("{execution:?} {:?}", stack.history(&execution.arn).await.unwrap());
        }
    }
    text
}

#[tokio::test]
async fn an_upload_arrives_and_a_failure_is_recorded_and_run_again() {
    let (stack, mut partner, aws) =
        deployed("end-to-end", &[("SftpLocation", "in"), ("KeyPrefix", "out/")]).await;
    std::fs::create_dir(partner.root.join("in")).unwrap();

    // Not below the prefix: the rule must not start anything.
    stack.upload("elsewhere.txt", b"not for the partner".to_vec()).await.unwrap();
    let execution = stack.deliver("out/a b+c%2B.txt", b"hello".to_vec()).await.unwrap();
    assert_eq!(receipt(&execution)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("in/out/a b+c%2B.txt")).unwrap(), b"hello");
    assert_eq!(stack.executions().await.unwrap().len(), 1);

    partner.stop();
    stack.give_up_after(RETRIES).await.unwrap();
    let failed = stack.deliver("out/later.txt", b"later".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "ConnectFailed", "TCP to 127.0.0.1").await;
    let record = record(&stack, &failed).await;
    assert!(record["attempts"].as_array().unwrap().len() > 1, "it was tried again: {record}");

    partner.start_again().await.unwrap();
    stack.start_anew().await.unwrap();
    let again = run(&stack, &failed.input).await;
    assert_eq!(receipt(&again)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("in/out/later.txt")).unwrap(), b"later");

    // Typed into the console by hand, for what is there already.
    let by_hand = run(&stack, &input(&stack, "out/later.txt")).await;
    assert_eq!(receipt(&by_hand)["outcome"], "already_delivered");
    assert_eq!(receipt(&by_hand)["bytes_sent"], 0);
    assert!(aws.logs().await.unwrap().contains(by_hand.name()), "the functions' logs name the execution");
}

/// Bad input of every kind, from the names of the errors to their records; and the secrets in none of it.
#[tokio::test]
async fn story_32_every_failure_is_named_and_recorded_and_no_secret_is_in_any_of_it() {
    let aws = ministack::shared().await;
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("the canary test: OpenSSH is not available here");
    };
    let key = KeyPair::generate(Kind::Ed25519, Encoding::OpenSsh, "canary-passphrase").unwrap();
    let options = Options { client_key: Some(key.clone()), ..Options::default() };
    let mut partner = Partner::open_ssh(sshd, options).await.unwrap();
    let secret = |key: &KeyPair| {
        let fields = json!({
            "Username": partner.user, "PrivateKey": key.private,
            "Passphrase": "canary-passphrase", "Password": "canary-password",
        });
        fields.to_string()
    };
    let (good_secret, wrong_key) = (secret(&key), KeyPair::ed25519().unwrap());
    // Two of them, or the previous version of the secret would be the good one, and be taken.
    let wrong_secrets = [secret(&KeyPair::ed25519().unwrap()), secret(&wrong_key)];
    let no_key = json!({"Username": partner.user, "PrivateKey": "canary-password"}).to_string();
    let arn = aws.create_secret("canary", &good_secret).await.unwrap();
    let port = partner.port.to_string();
    let parameters = |host_keys: &'static str, trusted: &str| {
        let trusted = if host_keys.is_empty() { trusted.to_owned() } else { host_keys.to_owned() };
        [
            ("SftpHost", "127.0.0.1".to_owned()),
            ("SftpPort", port.clone()),
            ("SftpSecretId", arn.clone()),
            ("SftpTrustedHostKeys", trusted),
        ]
    };
    let deploy = async |name: &str, parameters: [(&str, String); 4]| {
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        Stack::deploy(aws, name, &parameters).await.unwrap()
    };
    let stack = deploy("canary", parameters("", &partner.host_key.public)).await;
    let misconfigured = deploy("misconfigured", parameters("nonsense", "")).await;

    let delivered = stack.deliver("good.txt", b"good".to_vec()).await.unwrap();
    assert_eq!(receipt(&delivered)["outcome"], "delivered");

    let failed = misconfigured.deliver("settings.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&misconfigured, &partner, &failed, "InvalidConfig", "SFTP_TRUSTED_HOST_KEYS").await;

    let failed = run(&stack, &json!({"detail": {"bucket": {"name": stack.bucket()}}})).await;
    assert_failed(&stack, &partner, &failed, "InvalidInput", "missing field `object`").await;

    let failed = run(&stack, &input(&stack, "missing.txt")).await;
    assert_failed(&stack, &partner, &failed, "ObjectUnreadable", "missing.txt").await;

    let failed = run(&stack, &input(&stack, "../../story-32.txt")).await;
    assert_failed(&stack, &partner, &failed, "RemotePathRejected", "\"..\"").await;

    std::fs::write(partner.root.join("file"), "in the way").unwrap();
    let failed = stack.deliver("file/below.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "RemotePathRejected", "file").await;

    for secret in wrong_secrets {
        aws.secrets().put_secret_value().secret_id(&arn).secret_string(secret).send().await.unwrap();
    }
    let failed = stack.deliver("wrong-key.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "AuthenticationRejected", "it still offers").await;

    aws.secrets().put_secret_value().secret_id(&arn).secret_string(no_key).send().await.unwrap();
    let failed = stack.deliver("no-key.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "InvalidPrivateKey", "BEGIN").await;
    aws.secrets().put_secret_value().secret_id(&arn).secret_string(good_secret).send().await.unwrap();

    if mount_small_disk(&partner) {
        let failed = stack.deliver("small/full.bin", vec![7; 3_000_000]).await;
        unmount_small_disk(&partner);
        assert_failed(&stack, &partner, &failed.unwrap(), "RemoteFull", "bytes are free").await;
    } else {
        skip("the failure record of a full disk: it needs root to mount a small one");
    }

    partner.change_host_key().await.unwrap();
    let failed = stack.deliver("host-key.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "HostKeyMismatch", "presented the host key").await;

    partner.stop();
    stack.give_up_after(RETRIES).await.unwrap();
    // The refusal of the other host key is remembered.
    stack.start_anew().await.unwrap();
    let failed = stack.deliver("unreachable.txt", b"x".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "ConnectFailed", "refused").await;

    let text = everything(aws, &[&stack, &misconfigured]).await;
    assert!(text.contains("the credential is pinned"), "the logs are in there");
    let body = |key: &KeyPair| key.private.lines().nth(2).unwrap().to_owned();
    for canary in ["canary-passphrase", "canary-password", &body(&key), &body(&wrong_key)] {
        assert!(!text.contains(canary), "{canary} is in there");
    }
}

fn mount_small_disk(partner: &Partner) -> bool {
    let folder = partner.root.join("small");
    std::fs::create_dir(&folder).unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder).output();
    mount.is_ok_and(|output| output.status.success())
}

fn unmount_small_disk(partner: &Partner) {
    assert!(Command::new("umount").arg("-l").arg(partner.root.join("small")).status().unwrap().success());
}

/// The document with which a failed execution entered RaiseOriginal: what a redrive starts from.
async fn document(stack: &Stack<'_>, failed: &Execution) -> Value {
    let history = stack.history(&failed.arn).await.unwrap();
    let entered = history.iter().filter_map(|event| event.state_entered_event_details());
    let raising =
        entered.rev().find(|details| details.name() == "RaiseOriginal").expect("it fails at a Task");
    serde_json::from_str(raising.input().unwrap()).unwrap()
}

/// Redrives, as far as a local engine can be made to. It has no RedriveExecution and no RedriveCount: here the
/// deployed definition starts at the Task that failed, with the input that it failed with, and a count that is higher
/// by one. The input of a redriven execution is the event; here it has to carry both.
async fn redriven(stack: &Stack<'_>, name: &str, failed: &Execution, document: Value) -> Execution {
    let sfn = stack.aws.sfn();
    let machine = sfn.describe_state_machine().state_machine_arn(stack.state_machine()).send().await.unwrap();
    let mut definition: Value = serde_json::from_str(&machine.definition).unwrap();
    definition["StartAt"] = json!("RaiseOriginal");
    let count = document["failure"]["redrive_count"].as_u64().unwrap() + 1;
    definition["States"]["RaiseOriginal"]["Arguments"]["Payload"]["execution"]["redrive_count"] =
        json!(count);
    let create =
        sfn.create_state_machine().name(name).role_arn(machine.role_arn).definition(definition.to_string());
    let created = create.send().await.unwrap();
    let mut input = document;
    input["detail"] = failed.input["detail"].clone();
    input["redriven"] = json!(true);
    let start = sfn.start_execution().state_machine_arn(created.state_machine_arn).input(input.to_string());
    stack.wait(&start.send().await.unwrap().execution_arn, PATIENCE).await.unwrap()
}

#[tokio::test]
async fn story_30_a_redrive_after_a_failure_in_the_middle_of_a_transfer() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let port = proxy.port.to_string();
    let stack = Stack::deploy_for(aws, "redrive-transfer", &partner, &[("SftpPort", &port)]).await.unwrap();

    let body: Vec<u8> = (0..6_000_000_u32).map(|index| (index * 7 / 3) as u8).collect();
    proxy.set(Fault::RefuseAfter(3_000_000)).await;
    stack.give_up_after(RETRIES).await.unwrap();
    let failed = stack.deliver("redriven.bin", body.clone()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "ConnectFailed", "127.0.0.1").await;
    let document = document(&stack, &failed).await;
    let acknowledged = document["checkpoint"]["sent"]["offset"].as_u64().unwrap();
    assert!(acknowledged > 500_000, "{document}");
    assert_eq!(record(&stack, &failed).await["acknowledged"], acknowledged);

    proxy.set(Fault::None).await;
    // Pauses of the process are not as much shorter here as those of the state machine.
    stack.start_anew().await.unwrap();
    let before = proxy.bytes_up();
    let redriven = redriven(&stack, "redriven-transfer", &failed, document).await;
    assert_eq!(receipt(&redriven)["outcome"], "delivered", "{redriven:?}");
    assert!(std::fs::read(partner.root.join("redriven.bin")).unwrap() == body);
    let sent = proxy.bytes_up() - before;
    assert!(sent < 6_000_000 - acknowledged + 300_000, "what was acknowledged is not sent again: {sent}");
}

#[tokio::test]
async fn story_30_a_redrive_after_a_failure_in_fetch_key_and_in_verify_remote() {
    let aws = ministack::shared().await;
    // A server that sets no modes: what is demanded fails after sending, and before publishing.
    let partner = Partner::embedded(Quirks { setstat: Setstat::Refused, ..Quirks::default() }).await.unwrap();
    let stack =
        Stack::deploy_for(aws, "redrive-verify", &partner, &[("SftpFileMode", "0640")]).await.unwrap();
    let failed = stack.deliver("proof.txt", b"to be proved".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "InvalidConfig", "SFTP_FILE_MODE").await;
    assert_eq!(document(&stack, &failed).await["failure"]["state"], "VerifyRemote");
    let verify_failed = (failed.clone(), document(&stack, &failed).await);

    let arn = "redrive-verify/sftp";
    let good = aws.secrets().get_secret_value().secret_id(arn).send().await.unwrap().secret_string.unwrap();
    aws.secrets().put_secret_value().secret_id(arn).secret_string("{}").send().await.unwrap();
    let failed = stack.deliver("key.txt", b"to be fetched".to_vec()).await.unwrap();
    assert_failed(&stack, &partner, &failed, "SecretUnreadable", "neither").await;
    assert_eq!(document(&stack, &failed).await["failure"]["state"], "FetchKey");
    let fetch_failed = (failed.clone(), document(&stack, &failed).await);

    // The repair: the credential, and a deployment with another setting.
    aws.secrets().put_secret_value().secret_id(arn).secret_string(good).send().await.unwrap();
    let repaired = Stack::deploy_for(aws, "redrive-repaired", &partner, &[]).await.unwrap();
    for (name, (failed, document)) in [("redriven-verify", verify_failed), ("redriven-fetch", fetch_failed)] {
        let redriven = redriven(&repaired, name, &failed, document).await;
        assert_eq!(receipt(&redriven)["outcome"], "delivered", "{redriven:?}");
        assert_eq!(receipt(&redriven)["object"]["bucket"], stack.bucket());
        assert!(partner.root.join(failed.object_key()).exists());
    }
}

#[tokio::test]
async fn story_30_what_test_state_says_of_a_redrive() {
    let aws = ministack::shared().await;
    let path = tools::workspace().join("statemachine/bridge.asl.json");
    let definition: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let failure =
        json!({"state": "Transfer", "error": "ConnectFailed", "cause": "refused", "redrive_count": 0});
    let document =
        json!({"checkpoint": {"phase": {"name": "sending"}, "sent": {"offset": 5}}, "failure": failure});
    let test = async |state: &str, input: &Value, mock: Value| {
        aws.test_state(&definition, state, input, &mock).await.unwrap()
    };

    // The function raises: nothing catches it, so the execution fails at this Task.
    let mock = json!({"errorOutput": {"error": "ConnectFailed", "cause": "refused"}});
    let raised = test("RaiseOriginal", &document, mock).await;
    assert_eq!(
        (&raised["status"], &raised["error"]),
        (&json!("FAILED"), &json!("ConnectFailed")),
        "{raised}"
    );

    // On a redrive it returns, and the run starts again at FetchKey.
    let mock = json!({"result": json!({"Payload": {"resumed": true}}).to_string()});
    let resumed = test("RaiseOriginal", &document, mock).await;
    assert_eq!(
        (&resumed["status"], &resumed["nextState"]),
        (&json!("SUCCEEDED"), &json!("FetchKey")),
        "{resumed}"
    );

    // A record-failure that cannot run at all: the original error is still the execution's.
    let mock = json!({"errorOutput": {"error": "Lambda.AccessDeniedException", "cause": "denied"}});
    let broken = test("RecordFailure", &document, mock).await;
    assert_eq!(broken["nextState"], "NotRecorded", "{broken}");
    let failed = test("NotRecorded", &document, Value::Null).await;
    assert_eq!(
        (&failed["error"], &failed["cause"]),
        (&json!("ConnectFailed"), &json!("refused")),
        "{failed}"
    );

    for (state, input, next) in [
        ("IsTransferComplete", json!({"checkpoint": {"phase": {"name": "sending"}}}), "Transfer"),
        ("IsTransferComplete", json!({"checkpoint": {"phase": {"name": "sent"}}}), "VerifyRemote"),
        ("IsTransferComplete", json!({"receipt": {"outcome": "superseded"}}), "Delivered"),
        ("IsVerified", json!({"checkpoint": {"phase": {"name": "sent"}}}), "VerifyRemote"),
        ("IsVerified", json!({"checkpoint": {"phase": {"name": "sending"}}}), "Transfer"),
        ("CanRecover", json!({"failure": {"error": "RemoteMismatch"}, "resends": 1}), "Transfer"),
        ("CanRecover", json!({"failure": {"error": "RemoteMismatch"}, "resends": 2}), "RecordFailure"),
        (
            "CanRecover",
            json!({"failure": {"error": "CredentialExpired"}, "credential_refreshes": 1}),
            "FetchKey",
        ),
        (
            "CanRecover",
            json!({"failure": {"error": "CredentialExpired"}, "credential_refreshes": 4}),
            "RecordFailure",
        ),
    ] {
        let tested = test(state, &input, Value::Null).await;
        assert_eq!(tested["nextState"], next, "{state} {input}: {tested}");
    }
}

/// This number of objects at once: none is lost and none is doubled.
async fn burst(stack: &Stack<'_>, partner: &Partner, objects: usize) {
    let keys: Vec<String> = (0..objects).map(|index| format!("burst/{index:03}.txt")).collect();
    for key in &keys {
        stack.upload(key, key.clone().into_bytes()).await.unwrap();
    }
    for key in &keys {
        let execution = stack.wait_for_object(key, PATIENCE).await.unwrap();
        assert_eq!(receipt(&execution)["outcome"], "delivered");
        assert_eq!(std::fs::read(partner.root.join(key)).unwrap(), key.as_bytes());
    }
    assert_eq!(std::fs::read_dir(partner.root.join("burst")).unwrap().count(), objects);
}

#[tokio::test]
async fn story_33_a_burst_is_delivered_and_one_bad_object_holds_up_nothing() {
    let (stack, partner, _) = deployed("burst", &[]).await;
    stack.upload("back\\slash", b"x".to_vec()).await.unwrap();
    burst(&stack, &partner, 40).await;
    let failed = stack.wait_for_object("back\\slash", PATIENCE).await.unwrap();
    assert_eq!(failed.error.as_deref(), Some("RemotePathRejected"));
}
