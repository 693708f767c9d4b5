//! What the function `collect` takes of memory and time: its own binary, in a process of its own.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bridge::collect::{CollectPhase, CollectProgress};
use integration_tests::lambda_runtime::{self, Runtime};
use integration_tests::object_source::Quirks;
use integration_tests::pattern;

use crate::collection::{BUCKET, Collection};
use crate::support::MIB;

/// The process itself. A binary for development takes twice as much as one of the profile `release`.
const ITSELF_MAX: u64 = 40 * MIB;

/// Beside that: three parts, and what is on its way.
const MORE_MAX: u64 = 30 * MIB;

/// Another binary than that which cargo builds for development, such as one of the profile `release`.
const BINARY: &str = "BRIDGE_COLLECT_BINARY";

fn binary() -> PathBuf {
    let named = std::env::var_os(BINARY).map(PathBuf::from);
    named.unwrap_or_else(|| lambda_runtime::build("collect").unwrap())
}

/// Many calls of one process, as Lambda makes them. Each gives the memory of its parts back, and the next one takes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_from_call_to_call() {
    let collection = Collection::new().await;
    collection.source.quirks(Quirks { forgets: true, ..Quirks::default() });
    File::create(collection.local("large.bin")).unwrap().set_len(1024 * MIB).unwrap();
    let mut payload = collection.process().await.payload(&collection.file("large.bin"), None);
    let environment =
        collection.source.environment().into_iter().map(|(name, value)| (name.to_owned(), value));
    let runtime = Runtime::start(&binary(), environment.chain(collection.variables.clone())).unwrap();
    let invoking = tokio::task::spawn_blocking(move || {
        let mut peaks = Vec::new();
        loop {
            let answer = runtime.invoke(payload.clone(), Duration::from_secs(1)).unwrap().unwrap();
            peaks.push(runtime.memory_peak() / 1024);
            let progress: CollectProgress = serde_json::from_value(answer).unwrap();
            let CollectProgress::Checkpoint(checkpoint) = progress else { panic!("{progress:?}") };
            if !checkpoint.is_reading() {
                return peaks;
            }
            payload["checkpoint"] = serde_json::to_value(&*checkpoint).unwrap();
        }
    });
    let peaks = invoking.await.unwrap();
    println!("{} calls, KiB by the end of each: {peaks:?}", peaks.len());
    // The first call connects.
    let (second, last) = (peaks[1], peaks[peaks.len() - 1]);
    assert!(last < second + 4 * 1024, "{peaks:?}");
}

/// Collects a file of this length in a fresh process. Returns the peak of its memory.
async fn collected(collection: &Collection, length: u64) -> u64 {
    let file = collection.leave_pattern("large.bin", length);
    let payload = collection.process().await.payload(&file, None);
    let environment =
        collection.source.environment().into_iter().map(|(name, value)| (name.to_owned(), value));
    let runtime = Runtime::start(&binary(), environment.chain(collection.variables.clone())).unwrap();
    let started = Instant::now();
    let (answer, runtime) = tokio::task::spawn_blocking(move || {
        (runtime.invoke(payload, Duration::from_secs(300)).unwrap(), runtime)
    })
    .await
    .unwrap();
    let (took, peak) = (started.elapsed(), runtime.memory_peak());
    let progress: CollectProgress = serde_json::from_value(answer.unwrap()).unwrap();
    let CollectProgress::Checkpoint(checkpoint) = progress else { panic!("{progress:?}") };
    let CollectPhase::Stored(object) = &checkpoint.phase else { panic!("{checkpoint:?}") };
    let expected = BASE64_STANDARD.encode(pattern::crc64nvme(length).to_be_bytes());
    assert_eq!(object.checksum.value, expected);
    let stored = collection.source.object(&format!("{BUCKET}/large.bin")).unwrap();
    assert_eq!((stored.length, stored.checksum), (length, Some(expected)));
    println!("{} MiB in {took:?}, with {} KiB", length / MIB, peak / 1024);
    collection.source.remove(&format!("{BUCKET}/large.bin"));
    peak
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_file() {
    let collection = Collection::new().await;
    collection.source.quirks(Quirks { forgets: true, ..Quirks::default() });
    let itself = collected(&collection, 64 * 1024).await;
    assert!(itself < ITSELF_MAX, "{itself}");
    for length in [64 * MIB, 256 * MIB] {
        let peak = collected(&collection, length).await;
        assert!(peak < itself + MORE_MAX, "{length} bytes: {peak}, and {itself} for a small file");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "gibibytes"]
async fn memory_does_not_grow_with_a_file_of_4_gib() {
    let collection = Collection::new().await;
    collection.source.quirks(Quirks { forgets: true, ..Quirks::default() });
    for length in [1024 * MIB, 4096 * MIB] {
        let peak = collected(&collection, length).await;
        assert!(peak < ITSELF_MAX + MORE_MAX, "{length} bytes: {peak}");
    }
}
