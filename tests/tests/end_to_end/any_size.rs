//! Files of any size: many short invocations instead of few long ones, and what their processes use meanwhile.
//!
//! The object comes from the object source, for the local S3 would keep it in memory: `AWS_ENDPOINT_URL_S3` of the two
//! functions that read it points there.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::object_source::{Body, ObjectSource};
use integration_tests::partner::{Options, Partner};
use integration_tests::process::Leashed;
use integration_tests::stack::{Execution, Stack};
use integration_tests::{ministack, pattern, skip, tools};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// For every size: the process itself, what it fetches ahead when S3 and the partner take turns at being slow, and what
/// is on its way.
const MEMORY_MAX_KIB: u64 = 40 * 1024;
/// More than this is added to the peak by half of the slices at most: fetching ahead may begin in any of them, but a leak
/// would show in each.
const GROWTH_KIB: u64 = 1024;

/// The states that are called again until they are done, and the outputs of the template that name their functions.
const SLICED: [(&str, &str); 2] =
    [("Transfer", "TransferFunctionName"), ("VerifyRemote", "VerifyRemoteFunctionName")];

/// One size, and how it is cut.
struct Case {
    name: &'static str,
    length: u64,
    /// Bytes a second that the line to the partner carries; none: as many as it can.
    rate: Option<u64>,
    /// Of the functions, seconds; an invocation stops after three quarters of it.
    timeout: u64,
    slices_min: usize,
    patience: Duration,
}

/// Through a line so slow that each way takes three slices on any machine.
#[tokio::test]
async fn story_28_a_256_mib_object_is_delivered_in_slices() {
    is_delivered_in_slices(Case {
        name: "slices-of-256-mib",
        length: 256 * MIB,
        rate: Some(40_000_000),
        timeout: 4,
        slices_min: 3,
        patience: Duration::from_secs(120),
    })
    .await;
}

#[tokio::test]
#[ignore = "20 GiB on the disk, for some minutes"]
async fn story_28_a_20_gib_object_is_delivered_in_slices() {
    is_delivered_in_slices(Case {
        name: "slices-of-20-gib",
        length: 20 * GIB,
        rate: None,
        timeout: 6,
        slices_min: 5,
        patience: Duration::from_secs(1800),
    })
    .await;
}

/// A line to the partner that carries at most this many bytes a second, and the port to use. It is there as long as the
/// first value.
pub(crate) async fn line_to(partner: &Partner, rate: Option<u64>) -> (FaultProxy, u16) {
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let Some(rate) = rate else { return (proxy, partner.port) };
    proxy.set(Fault::Rate(rate)).await;
    let port = proxy.port;
    (proxy, port)
}

async fn is_delivered_in_slices(case: Case) {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("a large object in slices: OpenSSH is not available here");
    };
    let Some(disk) = Disk::with_room_for(case.length) else {
        return skip(&format!("{} bytes in slices: the disk has no room for them", case.length));
    };
    let options = Options { parent: Some(disk.folder.clone()), ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    let (_line, port) = line_to(&partner, case.rate).await;
    let aws = ministack::shared().await;
    let parameters = [("SftpPort", &*port.to_string())];
    let stack = Stack::deploy_for(aws, case.name, &partner, &parameters).await.unwrap();
    let source = ObjectSource::start().unwrap();
    source.put_with_checksum(&format!("{}/large.bin", stack.bucket()), Body::Pattern(case.length)).unwrap();
    for (_, function) in SLICED {
        let variables = [("AWS_ENDPOINT_URL_S3", &*source.endpoint())];
        aws.reconfigure(&stack.outputs[function], case.timeout, &variables).await.unwrap();
    }

    let started = Instant::now();
    let arn = stack.start(&event(&stack, case.length)).await.unwrap();
    let (execution, peaks) = watch(&stack, &arn, case.patience).await;
    let took = started.elapsed();

    let receipt = execution.receipt().unwrap_or_else(|| panic!("{execution:?}"));
    let checksum = BASE64_STANDARD.encode(pattern::crc64nvme(case.length).to_be_bytes());
    assert_eq!(receipt["outcome"], "delivered", "{receipt}");
    assert_eq!((&receipt["proof"], &receipt["checksum"]["value"]), (&json!("read-back"), &json!(checksum)));
    assert_eq!(receipt["source_checksum_matched"], true);
    let arrived = File::open(partner.root.join("large.bin")).unwrap();
    assert_eq!(pattern::difference(arrived, case.length).unwrap(), None);

    let steps = stack.steps(&arn).await.unwrap();
    let events = stack.history(&arn).await.unwrap().len();
    let mut slices_in_all = 0;
    for (state, _) in SLICED {
        let took = steps.iter().filter(|step| step.state == state).map(|step| step.took);
        let (slices, seconds) = (took.clone().count(), took.sum::<Duration>().as_secs());
        let peaks: Vec<u64> = peaks[state].values().map(|peak| peak / 1024).collect();
        println!("{state}: {slices} slices in {seconds} s; KiB used by the end of each: {peaks:?}");
        assert!(slices >= case.slices_min, "{state}: {slices} slices");
        assert!(peaks.iter().all(|peak| *peak < MEMORY_MAX_KIB), "{state}: {peaks:?}");
        let growing = peaks.windows(2).filter(|pair| pair[1] > pair[0] + GROWTH_KIB).count();
        assert!(2 * growing < peaks.len(), "{state}: {peaks:?}");
        slices_in_all += slices;
    }
    let (transitions, sent) = (steps.len(), &receipt["bytes_sent"]);
    let bodies = source.bodies_max();
    println!("{} bytes took {took:?}: {sent} bytes sent from up to {bodies} bodies at once", case.length);
    println!("{events} events, {transitions} transitions");
    assert!(events <= 7 * slices_in_all + 20, "{events} events of {slices_in_all} slices");
}

/// The disk that holds the build. What is put there is removed when this is dropped, and also when the tests are killed.
pub(crate) struct Disk {
    pub(crate) folder: PathBuf,
    _leash: Leashed,
}

impl Disk {
    pub(crate) fn with_room_for(bytes: u64) -> Option<Self> {
        let parent = tools::folder();
        std::fs::create_dir_all(&parent).unwrap();
        let free = rustix::fs::statvfs(&parent).unwrap();
        if free.f_bavail * free.f_frsize < bytes + 2 * GIB {
            return None;
        }
        let folder = tempfile::Builder::new().prefix("partner-").tempdir_in(parent).unwrap().keep();
        let mut nothing = Leashed::command(Some(&folder));
        nothing.args(["sleep", "infinity"]);
        let leash = Leashed::start(nothing, Path::new("/dev/null")).unwrap();
        Some(Self { folder, _leash: leash })
    }
}

/// The event of the upload, as S3 sends it.
fn event(stack: &Stack<'_>, length: u64) -> Value {
    let sample = std::fs::read_to_string(tools::workspace().join("sam/events/object-created.json")).unwrap();
    let mut event: Value = serde_json::from_str(&sample).unwrap();
    event["detail"]["bucket"]["name"] = json!(stack.bucket());
    event["detail"]["object"] =
        json!({"key": "large.bin", "size": length, "sequencer": "0062E99A88DC407460"});
    event
}

/// Waits for the end of an execution. Returns the most memory that each state's process had used by the end of each
/// slice, too, and sees to it that none of them writes to a file.
async fn watch(
    stack: &Stack<'_>,
    arn: &str,
    patience: Duration,
) -> (Execution, BTreeMap<&'static str, BTreeMap<usize, u64>>) {
    let deadline = Instant::now() + patience;
    let mut peaks = BTreeMap::<_, BTreeMap<_, _>>::new();
    loop {
        let execution = stack.execution(arn).await.unwrap();
        let steps = stack.steps(arn).await.unwrap();
        for (state, function) in SLICED {
            let slice = steps.iter().filter(|step| step.state == state).count();
            for process in stack.aws.processes(&stack.outputs[function]).unwrap() {
                assert!(process.writable.is_empty() && process.written == 0, "{state} writes: {process:?}");
                let peak = peaks.entry(state).or_default().entry(slice).or_default();
                *peak = process.memory_peak.max(*peak);
            }
        }
        if execution.ended {
            return (execution, peaks);
        }
        assert!(Instant::now() < deadline, "still running after {patience:?}: {steps:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
