//! Deliveries that succeed: what happens, where the files are, and what the receipts say.

use anyhow::{Context, Result, ensure};
use integration_tests::partner::Partner;
use integration_tests::pattern;
use integration_tests::stack::{Execution, Stack};

use super::shown::{self, LOCATION, PATIENCE};
use crate::report::{heading, paragraph, size};

/// An object to upload.
pub(super) struct Sample {
    object_key: &'static str,
    body: Vec<u8>,
    outcome: &'static str,
}

pub(super) fn samples() -> Vec<Sample> {
    let sample = |object_key, body, outcome| Sample { object_key, body, outcome };
    vec![
        sample("orders.csv", b"order,amount\n1,100\n2,200\n".to_vec(), "delivered"),
        sample("reports/blåbär & kött 90%.txt", "Smaklig måltid!\n".as_bytes().to_vec(), "delivered"),
        sample("empty.dat", Vec::new(), "delivered"),
        sample("archive/", Vec::new(), "skipped"),
        sample("video.bin", pattern::noise(64 << 20), "delivered"),
    ]
}

/// Uploads the samples and shows how each delivery ends and what its steps took.
pub(super) async fn of_samples(stack: &Stack<'_>, samples: &[Sample]) -> Result<Vec<Execution>> {
    heading(&format!("Uploading to s3://{}", stack.bucket()));
    for sample in samples {
        stack.upload(sample.object_key, sample.body.clone()).await?;
        println!("  {:40} {:>10}", sample.object_key, size(sample.body.len() as u64));
    }
    heading("Each upload starts one execution of the state machine; each is one delivery");
    paragraph("The times of the steps include the starts of the functions.");
    println!();
    shown::columns();
    let mut executions = Vec::new();
    for sample in samples {
        let execution = stack.wait_for_object(sample.object_key, PATIENCE).await?;
        shown::delivery(stack, &execution).await?;
        shown::ensure_outcome(&execution, &[sample.outcome])?;
        executions.push(execution);
    }
    Ok(executions)
}

/// Shows what is on the partner's disk, and compares every byte of it with what was uploaded.
pub(super) fn directory(partner: &Partner, samples: &[Sample]) -> Result<()> {
    heading("The partner's directory");
    let mut found = shown::files(&partner.root)?;
    found.sort();
    for path in &found {
        let on_disk = std::fs::read(partner.root.join(path))?;
        let object_key = path.strip_prefix(LOCATION).and_then(|path| path.strip_prefix('/'));
        let sample = samples.iter().find(|sample| Some(sample.object_key) == object_key);
        let sample = sample.with_context(|| format!("nobody uploaded {path}"))?;
        ensure!(on_disk == sample.body, "{path} differs from what was uploaded");
        println!("  {path:44} {:>10}   identical", size(on_disk.len() as u64));
    }
    let expected = samples.iter().filter(|sample| sample.outcome == "delivered").count();
    ensure!(found.len() == expected, "{} files are there, expected {expected}", found.len());
    Ok(())
}

pub(super) fn receipts(executions: &[Execution]) -> Result<()> {
    heading("The receipts: each is the output of its execution");
    for execution in executions {
        println!("  {}", execution.object_key());
        shown::receipt(execution.receipt().context("an execution without a receipt")?);
    }
    Ok(())
}

/// EventBridge may deliver an event twice, and events in any order.
pub(super) async fn late_and_doubled_events(
    stack: &Stack<'_>,
    first: &Execution,
    sample: &Sample,
) -> Result<()> {
    heading("Events that come twice or late");
    paragraph(&format!(
        "The event of {0} comes again; then a newer {0} is uploaded; then the event of the older one comes once more.",
        sample.object_key
    ));
    println!();
    shown::columns();
    let again = stack.wait(&stack.start(&first.input).await?, PATIENCE).await?;
    shown::delivery(stack, &again).await?;
    shown::ensure_outcome(&again, &["already_delivered"])?;
    let newer = stack.deliver(sample.object_key, b"order,amount\n1,100\n2,250\n".to_vec()).await?;
    shown::delivery(stack, &newer).await?;
    shown::ensure_outcome(&newer, &["delivered"])?;
    let late = stack.wait(&stack.start(&first.input).await?, PATIENCE).await?;
    shown::delivery(stack, &late).await?;
    shown::ensure_outcome(&late, &["superseded"])?;
    println!();
    paragraph("Duplicates leave one file, and an older version never overwrites a newer one.");
    Ok(())
}
