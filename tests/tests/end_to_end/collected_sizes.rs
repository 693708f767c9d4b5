//! Files of any size in the other direction: many short invocations instead of few long ones, and what their process uses
//! meanwhile.
//!
//! The object goes to the writable object source, for the local S3 would keep it in memory: `AWS_ENDPOINT_URL_S3` of the
//! function `collect` points there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use integration_tests::object_source::{ObjectSource, Quirks};
use integration_tests::partner::{Options, Partner};
use integration_tests::stack::{Execution, Stack};
use integration_tests::{ministack, pattern, skip, tools};
use serde_json::json;

use crate::any_size::{Disk, line_to};
use crate::receipt;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// For every size: three parts, what is on its way, and the process itself.
const MEMORY_MAX_KIB: u64 = 48 * 1024;
/// Bytes of the parts that are on their way at the same time.
const PARTS_AT_ONCE: u64 = 3 * 8 * MIB;
/// More than this is added to the peak by half of the slices at most: a leak would show in each.
const GROWTH_KIB: u64 = 1024;

/// One size, and how it is cut.
struct Case {
    name: &'static str,
    length: u64,
    /// Bytes on the disk: the others are a hole.
    on_disk: u64,
    /// Bytes a second that the line to the partner carries; none: as many as it can.
    rate: Option<u64>,
    /// Of the function, seconds; an invocation stops after three quarters of it.
    timeout: u64,
    slices_min: usize,
    patience: Duration,
}

/// Through a line so slow that it takes three slices on any machine.
#[tokio::test]
async fn a_2_gib_file_is_collected_in_slices() {
    is_collected_in_slices(Case {
        name: "collected-2-gib",
        length: 2 * GIB,
        on_disk: 2 * GIB,
        rate: Some(130_000_000),
        timeout: 6,
        slices_min: 3,
        patience: Duration::from_secs(240),
    })
    .await;
}

#[tokio::test]
#[ignore = "20 GiB, for some minutes"]
async fn a_20_gib_file_is_collected_in_slices() {
    is_collected_in_slices(Case {
        name: "collected-20-gib",
        length: 20 * GIB,
        on_disk: 320 * MIB,
        rate: None,
        timeout: 12,
        slices_min: 5,
        patience: Duration::from_secs(1800),
    })
    .await;
}

async fn is_collected_in_slices(case: Case) {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("a large file in slices: OpenSSH is not available here");
    };
    let Some(disk) = Disk::with_room_for(case.on_disk) else {
        return skip(&format!("{} bytes in slices: the disk has no room for them", case.length));
    };
    let options = Options { parent: Some(disk.folder.clone()), ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    let (_line, port) = line_to(&partner, case.rate).await;
    fs::create_dir(partner.root.join("out")).unwrap();
    let file =
        File::options().read(true).write(true).create_new(true).open(partner.root.join("out/large.bin"));
    let checksum = case.write(&file.unwrap()).unwrap();
    let aws = ministack::shared().await;
    let parameters = [
        ("SftpPort", &*port.to_string()),
        ("SftpLocation", "in"),
        ("CollectBucket", "inbox"),
        ("CollectDirectory", "out"),
    ];
    let stack = Stack::deploy_for(aws, case.name, &partner, &parameters).await.unwrap();
    let source = ObjectSource::start_writable().unwrap();
    source.quirks(Quirks { forgets: true, ..Quirks::default() });
    let function = &stack.outputs["CollectFunctionName"];
    aws.reconfigure(function, case.timeout, &[("AWS_ENDPOINT_URL_S3", &*source.endpoint())]).await.unwrap();

    let started = Instant::now();
    stack.look().await.unwrap();
    let (execution, peaks) = watch(&stack, case.patience).await;
    let took = started.elapsed();

    let receipt = receipt(&execution);
    assert_eq!((&receipt["outcome"], &receipt["checksum"]["value"]), (&json!("collected"), &json!(checksum)));
    let stored = source.object("inbox/large.bin").unwrap();
    assert_eq!((stored.length, stored.checksum, source.uploads()), (case.length, Some(checksum), 0));
    let left: Vec<_> =
        fs::read_dir(partner.root.join("out")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [".done"]);

    let steps = stack.steps(&execution.arn).await.unwrap();
    let slices = steps.iter().filter(|step| step.state == "Collect").count();
    let peaks: Vec<u64> = peaks.values().map(|peak| peak / 1024).collect();
    // What was read of parts that S3 did not have yet is read again in the next slice.
    let again = receipt["bytes_read"].as_u64().unwrap() - case.length;
    println!(
        "{} MiB took {took:?} in {slices} slices; {} KiB were read again",
        case.length / MIB,
        again / 1024
    );
    assert!(again <= slices as u64 * PARTS_AT_ONCE, "{again} bytes were read again in {slices} slices");
    println!("KiB used by the end of each: {peaks:?}");
    assert!(slices >= case.slices_min, "{slices} slices");
    assert!(peaks.iter().all(|peak| *peak < MEMORY_MAX_KIB), "{peaks:?}");
    let growing = peaks.windows(2).filter(|pair| pair[1] > pair[0] + GROWTH_KIB).count();
    assert!(2 * growing < peaks.len(), "{peaks:?}");
    let events = stack.history(&execution.arn).await.unwrap().len();
    assert!(events <= 7 * slices + 40, "{events} events of {slices} slices");
}

impl Case {
    /// Writes the file, and returns its CRC-64/NVME in base64. If most of it is a hole, each MiB of bytes before the holes
    /// differs from all others.
    fn write(&self, file: &File) -> io::Result<String> {
        if self.on_disk == self.length {
            pattern::write(file, self.length)?;
            return Ok(BASE64_STANDARD.encode(pattern::crc64nvme(self.length).to_be_bytes()));
        }
        file.set_len(self.length)?;
        let count = self.on_disk / MIB;
        for index in 0..count {
            let bytes = pattern::bytes(index * MIB, MIB as usize);
            file.write_all_at(&bytes, index * (self.length / count))?;
        }
        checksum_of(file)
    }
}

fn checksum_of(mut file: &File) -> io::Result<String> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; MIB as usize];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(BASE64_STANDARD.encode(digest.finalize().to_be_bytes())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// Waits for the end of the only collection. Returns the most memory that the process had used by the end of each slice,
/// too, and sees to it that it writes to no file.
async fn watch(stack: &Stack<'_>, patience: Duration) -> (Execution, BTreeMap<usize, u64>) {
    let deadline = Instant::now() + patience;
    let mut peaks = BTreeMap::new();
    loop {
        let mut all = stack.executions_of(stack.collect_machine()).await.unwrap();
        let execution = all.pop().expect("the look has started one");
        assert!(all.is_empty(), "{all:?}");
        let steps = stack.steps(&execution.arn).await.unwrap();
        let slice = steps.iter().filter(|step| step.state == "Collect").count();
        for process in stack.aws.processes(&stack.outputs["CollectFunctionName"]).unwrap() {
            assert!(process.writable.is_empty() && process.written == 0, "it writes: {process:?}");
            let peak: &mut u64 = peaks.entry(slice).or_default();
            *peak = process.memory_peak.max(*peak);
        }
        if execution.ended {
            return (execution, peaks);
        }
        assert!(Instant::now() < deadline, "still running after {patience:?}: {steps:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
