//! The other direction on the local stack: the unchanged template, real binaries, a real partner.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bridge::{CollectReceiptKey, DayCollectReceiptKey, FailureKey};
use integration_tests::embedded::Quirks;
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::ministack::{self, MiniStack, Options};
use integration_tests::partner::Partner;
use integration_tests::stack::{Execution, Stack};
use integration_tests::{pattern, schema};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::watching::assert_collections_are_measured;
use crate::{PATIENCE, RETRIES, document, receipt};

const MIB: u64 = 1024 * 1024;

/// A file that is read in slices, on so slow a line, by a function that has so few seconds. The local S3 computes the
/// checksum of some ten million bytes a second.
const LARGE: u64 = 64 * MIB;
const SLOW: u64 = 6_000_000;
const TIMEOUT: u64 = 6;

/// A bridge that collects from the directory `out` of this partner, and the bucket where the files land.
async fn collecting<'a>(
    aws: &'a MiniStack,
    name: &str,
    partner: &Partner,
    more: &[(&str, &str)],
) -> (Stack<'a>, String) {
    let inbox = format!("{name}-inbox");
    aws.s3().create_bucket().bucket(&inbox).send().await.unwrap();
    fs::create_dir(partner.root.join("out")).unwrap();
    let parameters = [("SftpLocation", "in"), ("CollectBucket", &*inbox), ("CollectDirectory", "out")];
    let stack = Stack::deploy_for(aws, name, partner, &[&parameters, more].concat()).await.unwrap();
    (stack, inbox)
}

fn write(partner: &Partner, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let file = partner.root.join("out").join(path);
    fs::write(&file, content).unwrap();
    file
}

async fn object(aws: &MiniStack, bucket: &str, object_key: &str) -> Vec<u8> {
    let found = aws.s3().get_object().bucket(bucket).key(object_key).send().await.unwrap();
    found.body.collect().await.unwrap().into_bytes().into()
}

async fn keys(aws: &MiniStack, bucket: &str) -> Vec<String> {
    let listed = aws.s3().list_objects_v2().bucket(bucket).send().await.unwrap();
    listed.contents().iter().map(|object| object.key().unwrap().to_owned()).collect()
}

/// The names of the files in a directory, without directories.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|it| it.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a look that succeeded has counted. The local Step Functions ignores the Output of a Succeed state.
fn listing(look: &Execution) -> &Value {
    let output = look.output.as_ref().unwrap_or_else(|| panic!("{look:?}"));
    output.get("listing").unwrap_or(output)
}

async fn slices(stack: &Stack<'_>, execution: &Execution) -> usize {
    let steps = stack.steps(&execution.arn).await.unwrap();
    steps.iter().filter(|step| step.state == "Collect").count()
}

#[tokio::test]
async fn a_schedule_collects_and_archives_files_of_any_size() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    proxy.set(Fault::Rate(SLOW)).await;
    let port = proxy.port.to_string();
    let more = [
        ("SftpPort", &*port),
        ("CollectSchedule", "rate(1 minute)"),
        ("CollectObjectKey", "from/{path}"),
        ("CollectSettleSeconds", "5"),
    ];
    let (stack, inbox) = collecting(aws, "scheduled", &partner, &more).await;
    let function = &stack.outputs["CollectFunctionName"];
    aws.reconfigure(function, TIMEOUT, &[]).await.unwrap();
    write(&partner, "small.csv", "a,b\n1,2\n");
    write(&partner, "empty", "");
    write(&partner, "not yet.part", "a part");
    pattern::write(File::create(partner.root.join("large.new")).unwrap(), LARGE).unwrap();
    fs::rename(partner.root.join("large.new"), partner.root.join("out/large.bin")).unwrap();

    // Nobody starts the first look.
    let collected = stack.collections(3, Duration::from_secs(240)).await.unwrap();
    for execution in &collected {
        let receipt = receipt(execution);
        assert_eq!(
            (&receipt["outcome"], &receipt["warnings"]),
            (&json!("collected"), &Value::Null),
            "{receipt}"
        );
        assert_eq!(schema::problems("collected", receipt).await.unwrap(), [""; 0], "{receipt:#}");
        let archived =
            receipt["afterwards"].as_str().unwrap().strip_prefix("archived as out/.done/").unwrap();
        assert!(archived.ends_with(&format!("-{}", execution.file_path())), "{archived}");
    }
    assert_eq!(keys(aws, &inbox).await, ["from/empty", "from/large.bin", "from/small.csv"]);
    assert_eq!(object(aws, &inbox, "from/small.csv").await, b"a,b\n1,2\n");
    let large = object(aws, &inbox, "from/large.bin").await;
    assert_eq!(pattern::difference(&large[..], LARGE).unwrap(), None);
    let in_slices = slices(&stack, &collected[1]).await;
    assert!(in_slices >= 2, "{} took {in_slices} slices", collected[1].file_path());
    let (left, archived) = (names(&partner.root.join("out")), names(&partner.root.join("out/.done")));
    assert_eq!((left, archived.len()), (vec!["not yet.part".to_owned()], 3), "{archived:?}");

    // The receipts are in the record bucket, and nothing has failed.
    let file = format!("sftp://{}/out/large.bin", partner.host);
    assert_eq!(stack.records(&CollectReceiptKey::prefix(&file)).await.unwrap().len(), 1);
    let days = stack.records("receipts/collected/").await.unwrap();
    assert_eq!(days.keys().filter_map(|key| DayCollectReceiptKey::parse(key)).count(), 3, "{days:?}");
    assert!(stack.failure_records().await.unwrap().is_empty());

    // Another look finds nothing to do.
    let look = stack.look().await.unwrap();
    let listing = listing(&look);
    assert_eq!((&listing["started"], &listing["started_before"]), (&json!(0), &json!(0)), "{listing}");
    stack.collections(3, PATIENCE).await.unwrap();
}

/// Redrives a collection, as far as a local engine can be made to: as `redriven` does with a delivery.
async fn redriven(stack: &Stack<'_>, name: &str, failed: &Execution) -> Execution {
    let (sfn, arn) = (stack.aws.sfn(), stack.collect_machine());
    let machine = sfn.describe_state_machine().state_machine_arn(arn).send().await.unwrap();
    let mut input = document(stack, failed).await;
    let mut definition: Value = serde_json::from_str(&machine.definition).unwrap();
    definition["StartAt"] = json!("RaiseOriginal");
    let count = input["failure"]["redrive_count"].as_u64().unwrap() + 1;
    let execution = &mut definition["States"]["RaiseOriginal"]["Arguments"]["Payload"]["execution"];
    execution["redrive_count"] = json!(count);
    // The execution keeps its name and its ARN.
    for state in ["RaiseOriginal", "Collect", "VerifyObject", "SettleRemote"] {
        let execution = &mut definition["States"][state]["Arguments"]["Payload"]["execution"];
        (execution["id"], execution["name"]) = (json!(failed.arn), json!(failed.name()));
    }
    let create = sfn.create_state_machine().name(name).role_arn(machine.role_arn);
    let created = create.definition(definition.to_string()).send().await.unwrap();
    input["file"] = failed.input["file"].clone();
    input["redriven"] = json!(true);
    let start = sfn.start_execution().state_machine_arn(created.state_machine_arn).input(input.to_string());
    stack.wait(&start.send().await.unwrap().execution_arn, PATIENCE).await.unwrap()
}

async fn open(stack: &Stack<'_>) -> Vec<FailureKey> {
    let keys = stack.records("failures/open/").await.unwrap();
    keys.keys().map(|key| FailureKey::parse(key).unwrap()).collect()
}

#[tokio::test]
async fn story_279_a_file_that_cannot_be_read_holds_up_no_other_and_is_collected_by_a_redrive() {
    let aws = ministack::shared().await;
    // A partner's user is not root.
    let partner = Partner::embedded(Quirks::default()).await.unwrap();
    let (stack, inbox) = collecting(aws, "poisonous", &partner, &[]).await;
    stack.give_up_collecting_after(RETRIES).await.unwrap();
    for name in ["a.csv", "b.csv", "poison.csv"] {
        write(&partner, name, name);
    }
    let poison = partner.root.join("out/poison.csv");
    fs::set_permissions(&poison, Permissions::from_mode(0o000)).unwrap();

    let look = stack.look().await.unwrap();
    assert_eq!(listing(&look)["started"], 3, "{look:?}");
    let ended = stack.collections(3, PATIENCE).await.unwrap();
    assert_eq!(
        ended.iter().map(|it| it.error.as_deref()).collect::<Vec<_>>(),
        [None, None, Some("RemoteUnreadable")]
    );
    assert_eq!(keys(aws, &inbox).await, ["a.csv", "b.csv"]);
    let failed = &ended[2];
    let record = stack.failure_record(failed).await.unwrap().expect("a failed execution has a record");
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(schema::problems("failure", &record).await.unwrap(), [""; 0], "{record:#}");
    let file = format!("sftp://{}/out/poison.csv", partner.host);
    assert_eq!((&record["object"], &record["error"]), (&json!(file), &json!("RemoteUnreadable")));
    assert!(record["redrive_command"].as_str().unwrap().contains(&failed.arn), "{record}");
    assert!(record["attempts"].as_array().unwrap().len() > 1, "it was tried again: {record}");
    assert_eq!(open(&stack).await.len(), 1);

    // The next look leaves it to the redrive.
    fs::set_permissions(&poison, Permissions::from_mode(0o644)).unwrap();
    let look = stack.look().await.unwrap();
    assert_eq!((&listing(&look)["started"], &listing(&look)["started_before"]), (&json!(0), &json!(1)));
    let redriven = redriven(&stack, "redriven-collection", failed).await;
    assert_eq!(receipt(&redriven)["outcome"], "collected", "{redriven:?}");
    assert_eq!(object(aws, &inbox, "poison.csv").await, b"poison.csv");
    assert_eq!((open(&stack).await.len(), names(&partner.root.join("out")).len()), (0, 0));
}

#[tokio::test]
async fn story_263_a_file_that_becomes_readable_later_is_collected_without_a_failure() {
    let aws = ministack::shared().await;
    let partner = Partner::embedded(Quirks::default()).await.unwrap();
    let (stack, inbox) = collecting(aws, "readable-later", &partner, &[]).await;
    let file = write(&partner, "report.csv", "late");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    stack.look().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let [execution] = &stack.executions_of(stack.collect_machine()).await.unwrap()[..] else {
            panic!("the look starts one")
        };
        assert!(!execution.ended, "{execution:?}");
        let history = stack.history(&execution.arn).await.unwrap();
        let failed = history.iter().filter_map(|event| event.task_failed_event_details());
        if failed.filter(|it| it.error() == Some("RemoteUnreadable")).count() > 1 {
            break;
        }
        assert!(Instant::now() < deadline, "nothing is tried again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let collected = stack.collections(1, PATIENCE).await.unwrap();
    assert_eq!(receipt(&collected[0])["outcome"], "collected");
    assert_eq!(object(aws, &inbox, "report.csv").await, b"late");
    assert!(stack.failure_records().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_look_that_fails_is_recorded_once_and_settled_by_the_next_that_succeeds() {
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let (stack, _) = collecting(aws, "failing-looks", &partner, &[]).await;
    stack.give_up_collecting_after(1).await.unwrap();
    partner.stop();
    for _ in 0..3 {
        let look = stack.look().await.unwrap();
        assert_eq!(look.error.as_deref(), Some("ConnectFailed"), "{look:?}");
    }
    let failed = open(&stack).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].version.is_look() && failed[0].object == format!("sftp://{}/out", partner.host));
    partner.start_again().await.unwrap();
    aws.reconfigure(&stack.outputs["ListRemoteFunctionName"], 900, &[]).await.unwrap();
    let look = stack.look().await.unwrap();
    assert_eq!(listing(&look)["seen"], 0, "{look:?}");
    assert_eq!(open(&stack).await, []);
}

#[tokio::test]
async fn one_stack_does_both_directions_and_neither_takes_what_the_other_wrote() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    // One bucket for both, and one function for all of the collecting.
    let more = [("KeyPrefix", "to/"), ("CollectObjectKey", "from/{path}"), ("MaxConnections", "3")];
    let (stack, inbox) = collecting(aws, "both-directions", &partner, &more).await;
    write(&partner, "answer.csv", "42");
    fs::create_dir(partner.root.join("in")).unwrap();
    let delivered = stack.deliver("to/question.csv", b"?".to_vec()).await.unwrap();
    assert_eq!(receipt(&delivered)["outcome"], "delivered");
    let look = stack.look().await.unwrap();
    assert_eq!(listing(&look)["started"], 1, "{look:?}");
    let collected = stack.collections(1, PATIENCE).await.unwrap();
    assert_eq!(receipt(&collected[0])["outcome"], "collected");
    assert_eq!(keys(aws, &inbox).await, ["from/answer.csv"]);
    assert_eq!(names(&partner.root.join("in/to")), ["question.csv"]);
    assert_eq!(stack.executions().await.unwrap().len(), 1);
    assert_collections_are_measured(aws, "both-directions").await;
}

#[tokio::test]
async fn a_stack_that_only_collects_may_do_so_from_anywhere_over_one_connection_and_delivers_nothing() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let inbox = "only-collects-inbox";
    aws.s3().create_bucket().bucket(inbox).send().await.unwrap();
    let only = [("CollectBucket", inbox), ("CollectOnly", "true"), ("MaxConnections", "1")];
    let stack = Stack::deploy_for(aws, "only-collects", &partner, &only).await.unwrap();
    stack.upload("question.csv", b"?".to_vec()).await.unwrap();
    fs::write(partner.root.join("answer.csv"), "42").unwrap();
    let look = stack.look().await.unwrap();
    assert_eq!(listing(&look)["started"], 1, "{look:?}");
    let collected = stack.collections(1, PATIENCE).await.unwrap();
    assert_eq!(receipt(&collected[0])["outcome"], "collected");
    assert_eq!(object(aws, inbox, "answer.csv").await, b"42");
    assert!(names(&partner.root.join(".done"))[0].ends_with("-answer.csv"));
    assert!(stack.executions().await.unwrap().is_empty(), "it delivers");
}

#[tokio::test]
async fn the_roles_may_do_what_a_collection_needs_and_no_more() {
    let aws = &MiniStack::start(Options { auth: true, ..Options::default() }).await.unwrap();
    let partner = Partner::embedded(Quirks::default()).await.unwrap();
    let more = [("CollectObjectKey", "from/{path}"), ("StateMachineName", "another-name")];
    let (stack, inbox) = collecting(aws, "collect-permissions", &partner, &more).await;
    // It refuses requests without TLS, which all requests are here.
    aws.s3().delete_bucket_policy().bucket(stack.record_bucket()).send().await.unwrap();
    assert!(stack.watch_machine().ends_with(":another-name-watch"), "{}", stack.watch_machine());
    write(&partner, "small.csv", "small");
    fs::write(partner.root.join("out/parts.bin"), vec![7; 20_000_000]).unwrap();
    let look = stack.look().await.unwrap();
    assert_eq!(look.error, None, "{look:?}");
    let collected = stack.collections(2, PATIENCE).await.unwrap();
    for execution in &collected {
        let receipt = receipt(execution);
        assert_eq!(
            (&receipt["outcome"], &receipt["warnings"]),
            (&json!("collected"), &Value::Null),
            "{receipt}"
        );
    }
    assert_eq!(keys(aws, &inbox).await, ["from/parts.bin", "from/small.csv"]);

    // What fails is recorded, with its history, and settled by the receipt of another execution.
    stack.give_up_collecting_after(1).await.unwrap();
    let file = write(&partner, "closed.csv", "closed");
    fs::set_permissions(&file, Permissions::from_mode(0o000)).unwrap();
    stack.look().await.unwrap();
    let ended = stack.collections(3, PATIENCE).await.unwrap();
    let failed = ended.iter().find(|execution| execution.error.is_some()).expect("one has failed");
    let record = stack.failure_record(failed).await.unwrap().expect("a failed execution has a record");
    assert!(record.contains("out/closed.csv") && !record.contains("attempts_problem"), "{record}");
    // A look may ask how that execution has ended.
    let look = stack.look().await.unwrap();
    let (before, warnings) = (&listing(&look)["started_before"], &listing(&look)["warnings"]);
    assert_eq!((before, warnings), (&json!(1), &Value::Null), "{look:?}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let start = aws.sfn().start_execution().state_machine_arn(stack.collect_machine());
    start.name("by-hand").input(failed.input.to_string()).send().await.unwrap();
    let ended = stack.collections(4, PATIENCE).await.unwrap();
    let by_hand = ended.iter().find(|execution| execution.name() == "by-hand").unwrap();
    assert!(receipt(by_hand)["warnings"].is_null(), "{by_hand:?}");
    assert_eq!(open(&stack).await, []);

    // A look that fails may be recorded, and settled.
    fs::rename(partner.root.join("out"), partner.root.join("elsewhere")).unwrap();
    let look = stack.look().await.unwrap();
    assert!(look.error.is_some() && open(&stack).await.len() == 1, "{look:?}");
    fs::rename(partner.root.join("elsewhere"), partner.root.join("out")).unwrap();
    assert_eq!(stack.look().await.unwrap().error, None);
    assert_eq!(open(&stack).await, []);
}
