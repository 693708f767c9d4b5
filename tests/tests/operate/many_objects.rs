//! `check` over many objects: time, memory, requests.

use std::process::Stdio;
use std::time::Instant;

use bridge::{Outcome, ReceiptKey, VersionMark};
use integration_tests::cli;
use integration_tests::object_source::{Body, Claim, ObjectSource};
use integration_tests::process::memory_peak;

use crate::Desk;

const OBJECTS: u64 = 100_000;
/// Time of all objects of the source: 2026-01-01.
const STORED: i64 = 1_767_225_600;

/// A bucket with so many objects, all but the first ten of them delivered.
fn source(bucket: &str, records: &str) -> ObjectSource {
    let source = ObjectSource::start().unwrap();
    for number in 0..OBJECTS {
        let (key, etag) =
            (format!("in/{:04}/report-{number:08}.csv", number / 100), format!("{number:032x}"));
        let put = |name: &str| {
            source.put_claiming(name, Body::Bytes(b"1".to_vec()), Claim::Md5(etag.clone())).unwrap();
        };
        put(&format!("{bucket}/{key}"));
        if number >= 10 {
            let version = VersionMark::new(None, Some(&etag), Some(STORED));
            put(&format!("{records}/{}", ReceiptKey { object: key, version, outcome: Outcome::Delivered }));
        }
    }
    source
}

#[tokio::test]
async fn story_219_check_of_100_000_objects_takes_one_listing_of_each_kind_and_little_memory() {
    let desk = Desk::deploy("check-many", &[]).await;
    let source = source(&desk.stack.bucket(), &desk.stack.record_bucket());
    let mut environment = desk.environment();
    environment.push(("AWS_ENDPOINT_URL_S3", source.endpoint()));
    let bucket = format!("s3://{}/in/", desk.stack.bucket());
    let mut command = cli::operate(environment, &["check", &bucket]).await;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let child = command.spawn().unwrap();
    let id = child.id().unwrap();
    let mut end = Box::pin(child.wait_with_output());
    let mut memory = 0;
    let output = loop {
        tokio::select! {
            output = &mut end => break output.unwrap(),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                memory = memory_peak(id).unwrap_or(memory);
            }
        }
    };
    let (took, requests) = (start.elapsed(), source.requests());
    eprintln!("check of {OBJECTS} objects: {took:?}, {} MB, {requests} requests", memory / 1_000_000);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(stdout.lines().count(), 10, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    // 100 pages of objects, 100 of receipts, one of failures, and two for each of the ten.
    assert!((201..=221).contains(&requests), "{requests}");
    assert!(memory < 60_000_000, "{memory}");
}
