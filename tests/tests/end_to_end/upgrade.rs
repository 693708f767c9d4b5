//! An update of the stack in place, from the package of the previous release to that of this code, while executions are
//! under way.
//!
//! There is no release yet. Until there is one, "previous" is the code of this workspace in a package with another version
//! and other files: that tries the update itself (new code, new processes, running executions with the definition that they
//! began with), and not that old payloads are read. `BRIDGE_PREVIOUS_PACKAGE=FOLDER` names the unpacked package of a real
//! release instead. What a release has written is read in `tests/consistency/contracts.rs`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_sdk_sfn::types::HistoryEventType;
use integration_tests::contract::{hold, is_recording, record};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::package::{Architecture, Binaries, Package};
use integration_tests::partner::Partner;
use integration_tests::stack::{self, Execution, Priority, Stack};
use integration_tests::{cli, ministack, pattern, tools};
use serde_json::{Value, json};

use crate::PATIENCE;

const NAME: &str = "upgrade";
const PREVIOUS: &str = "0.0.1";
const LARGE: u64 = 96 * 1024 * 1024;
/// Bytes a second. With it, the large file is under way for longer than the update takes to begin.
const RATE: u64 = 5_000_000;
/// Of the functions that connect, in seconds: an invocation stops after three quarters of it.
const TIMEOUT: u64 = 4;
/// Failed attempts of the delivery that waits for the partner.
const ATTEMPTS: usize = 3;

/// A line to the partner that is slow, and has room for as many connections as are admitted.
struct Line {
    door: FaultProxy,
    slow: FaultProxy,
}

impl Line {
    async fn to(partner: &Partner) -> Self {
        let slow = FaultProxy::start(partner.port).await.unwrap();
        slow.set(Fault::Rate(RATE)).await;
        let door = FaultProxy::start(slow.port).await.unwrap();
        Self { door, slow }
    }

    async fn clear(&self) {
        self.slow.set(Fault::None).await;
        self.door.set(Fault::None).await;
    }
}

#[tokio::test]
async fn story_251_executions_under_way_end_well_when_the_stack_is_updated() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let line = Line::to(&partner).await;
    let folder = tempfile::tempdir().unwrap();
    let (before, after) =
        (previous(folder.path()).await, Package::from_this_build(folder.path()).await.unwrap());

    let mut parameters = stack::parameters_for(aws, NAME, &partner).await.unwrap();
    parameters.retain(|(name, _)| *name != "SftpPort");
    parameters.push(("SftpPort", line.door.port.to_string()));
    parameters.push(("SftpConnectTimeout", "1".to_owned()));
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stack = Stack::deploy_template(aws, NAME, &before, &parameters).await.unwrap();
    for function in ["TransferFunctionName", "VerifyRemoteFunctionName"] {
        aws.reconfigure(&stack.outputs[function], TIMEOUT, &[]).await.unwrap();
    }
    let version_before = stack.outputs.get("Version").cloned();

    let large = in_the_middle_of_a_large_file(&stack).await;
    line.door.set(Fault::Admit(1)).await;
    let waiting = waiting_for_the_partner(&stack).await;
    let still = stack.execution(&large).await.unwrap();
    assert!(!still.ended, "the large file was too quick: {still:?}");

    let started = Instant::now();
    let template = after.template();
    let (updated, new) = tokio::join!(Stack::deploy_template(aws, NAME, &template, &parameters), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        uploaded(&stack, "new.txt").await
    });
    let updated = updated.unwrap();
    println!("the update took {:?}", started.elapsed());
    assert_eq!(updated.outputs["Version"], bridge::VERSION);
    assert_ne!(version_before.as_deref(), Some(bridge::VERSION), "nothing was updated");
    line.clear().await;

    for (arn, object_key, length) in
        [(&large, "large.bin", LARGE), (&waiting, "waiting.txt", SMALL), (&new, "new.txt", SMALL)]
    {
        assert_ended_well(&updated, &partner, arn, object_key, length).await;
    }
    assert_eq!(updated.executions().await.unwrap().len(), 3, "none was started again");
    let left = std::fs::read_dir(&partner.root).unwrap().count();
    assert_eq!(left, 3, "no partial file is left, and no file is there twice");
    assert!(updated.failure_records().await.unwrap().is_empty());
    keep_contracts(&updated, &large, &waiting).await;
}

const SMALL: u64 = 1_000;

/// The template of the previous release.
async fn previous(folder: &Path) -> PathBuf {
    if let Some(package) = std::env::var_os("BRIDGE_PREVIOUS_PACKAGE") {
        return Package::open(Path::new(&package)).unwrap().template();
    }
    stack::build(Priority::Normal).await.unwrap();
    let mut binaries = Binaries::of_sam(&stack::build_folder(), cli::build().await.unwrap());
    for (name, program) in &mut binaries.functions {
        // More bytes at its end change nothing for a program. The update has to replace it nevertheless.
        let changed = [std::fs::read(&*program).unwrap(), b"previous".to_vec()].concat();
        *program = folder.join(name);
        std::fs::write(&*program, changed).unwrap();
    }
    let package = Package::assemble(&binaries, PREVIOUS, Architecture::of_this_machine(), folder).unwrap();
    let template = package.template();
    let text = std::fs::read_to_string(&template).unwrap();
    let of_now = format!("Value: \"{}\"", bridge::VERSION);
    std::fs::write(&template, text.replace(&of_now, &format!("Value: \"{PREVIOUS}\""))).unwrap();
    template
}

/// An execution whose object is partly sent, and which goes on. Returns its ARN.
async fn in_the_middle_of_a_large_file(stack: &Stack<'_>) -> String {
    stack.upload("large.bin", pattern::bytes(0, LARGE as usize)).await.unwrap();
    let arn = arn_of(stack, "large.bin").await;
    until(stack, &arn, "it goes on in a second invocation", |steps, _| steps > 1).await;
    arn
}

/// An execution that fails to connect, and tries again.
async fn waiting_for_the_partner(stack: &Stack<'_>) -> String {
    let arn = uploaded(stack, "waiting.txt").await;
    until(stack, &arn, "it was tried again", |_, failures| failures >= ATTEMPTS).await;
    arn
}

async fn uploaded(stack: &Stack<'_>, object_key: &str) -> String {
    stack.upload(object_key, pattern::bytes(0, SMALL as usize)).await.unwrap();
    arn_of(stack, object_key).await
}

async fn arn_of(stack: &Stack<'_>, object_key: &str) -> String {
    let start = Instant::now();
    loop {
        let executions = stack.executions().await.unwrap();
        if let Some(execution) = executions.iter().find(|execution| execution.object_key() == object_key) {
            return execution.arn.clone();
        }
        assert!(start.elapsed() < PATIENCE, "no execution for {object_key}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until the number of times that `Transfer` was entered, and the number of failed attempts, are so.
async fn until(stack: &Stack<'_>, arn: &str, what: &str, so: impl Fn(usize, usize) -> bool) {
    let start = Instant::now();
    loop {
        let history = stack.history(arn).await.unwrap();
        let entered = history.iter().filter_map(|event| event.state_entered_event_details());
        let steps = entered.filter(|details| details.name() == "Transfer").count();
        let failures = history.iter().filter(|event| event.r#type == HistoryEventType::TaskFailed).count();
        if so(steps, failures) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {:?}", stack.steps(arn).await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn assert_ended_well(stack: &Stack<'_>, partner: &Partner, arn: &str, object_key: &str, length: u64) {
    let ended: Execution = stack.wait(arn, PATIENCE).await.unwrap();
    let receipt = ended.receipt().unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(receipt["outcome"], "delivered", "{receipt}");
    assert_eq!(receipt["bridge_version"], bridge::VERSION, "the new code ended it: {receipt}");
    println!("{object_key}: {} bytes sent, {} resumes", receipt["bytes_sent"], receipt["resumes"]);
    let file = std::fs::File::open(partner.root.join(object_key)).unwrap();
    assert_eq!(pattern::difference(file, length).unwrap(), None, "{object_key}");
}

/// What the states passed on and the functions wrote, for later releases; and what they have to write still.
async fn keep_contracts(stack: &Stack<'_>, large: &str, waiting: &str) {
    stack.upload("in//unsafe.txt", b"x".to_vec()).await.unwrap();
    let failed = stack.wait_for_object("in//unsafe.txt", PATIENCE).await.unwrap();
    let text = stack.failure_record(&failed).await.unwrap().unwrap();
    hold("records/failure.json", &serde_json::from_str(&text).unwrap());
    let receipts = stack.records("receipts/objects/large.bin/").await.unwrap();
    hold("records/receipt.json", &serde_json::from_str(receipts.values().next().unwrap()).unwrap());
    if !is_recording() {
        return;
    }
    let records = stack.records("").await.unwrap();
    record("records/keys.json", &records.keys().cloned().collect());
    let definition =
        std::fs::read_to_string(tools::workspace().join("statemachine/bridge.asl.json")).unwrap();
    record("bridge.asl.json", &serde_json::from_str(&definition).unwrap());
    record("documents/event.json", &stack.execution(waiting).await.unwrap().input);
    for (arn, state, index, name) in [
        (waiting, "Transfer", 0, "Transfer"),
        (large, "Transfer", 1, "Transfer-in-the-middle"),
        (large, "VerifyRemote", 0, "VerifyRemote"),
        (&failed.arn, "RecordFailure", 0, "RecordFailure"),
        (&failed.arn, "RaiseOriginal", 0, "RaiseOriginal"),
    ] {
        record(&format!("documents/{name}.json"), &document(stack, arn, state, index).await);
    }
}

/// What a state was entered with.
async fn document(stack: &Stack<'_>, arn: &str, state: &str, index: usize) -> Value {
    let history = stack.history(arn).await.unwrap();
    let entered = history.iter().filter_map(|event| event.state_entered_event_details());
    let entered = entered.filter(|details| details.name() == state).nth(index);
    let details = entered.unwrap_or_else(|| panic!("{state} was not entered {} times", index + 1));
    details.input().map_or(json!(null), |input| serde_json::from_str(input).unwrap())
}
