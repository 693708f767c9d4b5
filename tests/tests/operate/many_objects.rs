//! `check` over many objects: time, memory, requests.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use bridge::{Outcome, ReceiptKey, VersionMark};
use integration_tests::cli;
use integration_tests::object_source::{Body, Claim, ObjectSource};
use integration_tests::process::memory_peak;

use crate::Desk;

const DELIVERED: u64 = 100_000;
const NEVER_STARTED: u64 = 20_000;
/// Time of all objects of the source: 2026-01-01.
const STORED: i64 = 1_767_225_600;
/// Maximum memory of the command, in bytes.
const MEMORY_MAX: u64 = 60_000_000;

/// The cost of a check.
struct Cost {
    output: Output,
    memory: u64,
    requests: u64,
}

/// A bucket with objects that were delivered, below `in/`, and others, below `new/`.
fn source(bucket: &str, records: &str) -> ObjectSource {
    let source = ObjectSource::start().unwrap();
    let name = |number: u64| format!("{:04}/report-{number:08}.csv", number / 100);
    for number in 0..DELIVERED {
        let (key, etag) = (format!("in/{}", name(number)), format!("{number:032x}"));
        put(&source, &format!("{bucket}/{key}"), &etag);
        let version = VersionMark::new(None, Some(&etag), Some(STORED));
        let receipt = ReceiptKey { object: key, version, outcome: Outcome::Delivered };
        put(&source, &format!("{records}/{receipt}"), &etag);
    }
    for number in 0..NEVER_STARTED {
        put(&source, &format!("{bucket}/new/{}", name(number)), &format!("{number:032x}"));
    }
    source
}

fn put(source: &ObjectSource, name: &str, etag: &str) {
    source.put_claiming(name, Body::Bytes(b"1".to_vec()), Claim::Md5(etag.to_owned())).unwrap();
}

async fn check(desk: &Desk, source: &ObjectSource, prefix: &str) -> Cost {
    let mut environment = desk.environment();
    environment.push(("AWS_ENDPOINT_URL_S3", source.endpoint()));
    let location = format!("s3://{}/{prefix}", desk.stack.bucket());
    let mut command = cli::operate(environment, &["check", &location]).await;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (start, before) = (Instant::now(), source.requests());
    let child = command.spawn().unwrap();
    let (id, mut memory) = (child.id().unwrap(), 0);
    let mut end = Box::pin(child.wait_with_output());
    let output = loop {
        tokio::select! {
            output = &mut end => break output.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(20)) => memory = memory_peak(id).unwrap_or(memory),
        }
    };
    let (took, requests) = (start.elapsed(), source.requests() - before);
    eprintln!("check of {prefix}: {took:?}, {} MB, {requests} requests", memory / 1_000_000);
    Cost { output, memory, requests }
}

#[tokio::test]
async fn story_219_check_of_100_000_objects_takes_one_listing_of_each_kind_and_little_memory() {
    let desk = Desk::deploy("check-many", &[]).await;
    let source = source(&desk.stack.bucket(), &desk.stack.record_bucket());
    let delivered = check(&desk, &source, "in/").await;
    let stderr = String::from_utf8_lossy(&delivered.output.stderr);
    assert!(stderr.starts_with("nothing is owed; 100,000 delivered (=)"), "{stderr}");
    // 100 pages of objects, 100 of receipts, one of failures.
    assert!((201..=203).contains(&delivered.requests), "{}", delivered.requests);
    assert!(delivered.memory < MEMORY_MAX, "{}", delivered.memory);

    let never_started = check(&desk, &source, "new/").await;
    let lines = String::from_utf8(never_started.output.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| line.starts_with("+ new/")).count(), NEVER_STARTED as usize);
    // 20 pages of objects; the records, of which there are none, are read twice.
    assert!((22..=26).contains(&never_started.requests), "{}", never_started.requests);
    assert!(never_started.memory < MEMORY_MAX, "{}", never_started.memory);
}
