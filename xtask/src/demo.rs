//! `cargo xtask demo`: the whole chain on this machine, then a failure and its repair.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration_tests::ministack::{MiniStack, Options};
use integration_tests::partner::Partner;
use integration_tests::stack::{self, Execution, Priority, Stack};
use integration_tests::{pattern, tools};
use serde_json::Value;

use crate::report::{heading, seconds, size, step};

const NAME: &str = "s3-sftp-bridge-demo";
const LOCATION: &str = "incoming";
const PATIENCE: Duration = Duration::from_secs(180);

/// An object to upload.
struct Sample {
    object_key: &'static str,
    body: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let sample = |object_key, body| Sample { object_key, body };
    vec![
        sample("orders.csv", b"order,amount\n1,100\n2,200\n".to_vec()),
        sample("reports/räksmörgås & blåbär 100%.txt", "Smaklig måltid!\n".as_bytes().to_vec()),
        sample("empty.dat", Vec::new()),
        sample("archive/", Vec::new()),
        sample("video.bin", pattern::noise(64 << 20)),
    ]
}

pub(crate) async fn run(keep: bool) -> Result<()> {
    println!(
        "S3 SFTP Bridge on this machine, from the upload to the partner's server. No AWS account is touched.\n"
    );
    let (mut partner, aws) = servers().await?;
    let stack = deploy(&aws, &partner).await?;
    if let Err(error) = show(&stack, &mut partner).await {
        let log = tools::logs().join("demo-functions.log");
        std::fs::write(&log, aws.logs().await.unwrap_or_default())?;
        let details =
            format!("the functions' log is {}, MiniStack's is {}", log.display(), aws.log.display());
        return Err(error.context(details));
    }
    if keep {
        stay(&stack, &partner).await?;
    }
    Ok(())
}

async fn servers() -> Result<(Partner, MiniStack)> {
    step("tools", "installing MiniStack and the SAM CLI (once)", async {
        let (ministack, sam) = tokio::try_join!(tools::ministack(), tools::sam())?;
        let fresh = ministack.fresh || sam.fresh;
        let how = if fresh { "installed into target/tools" } else { "there already" };
        Ok(((), format!("MiniStack and the SAM CLI: {how}")))
    })
    .await?;
    let partner = step("partner", "starting an SFTP server", async {
        let partner = Partner::start().await?;
        std::fs::create_dir(partner.root.join(LOCATION))?;
        let done = format!("{}, {}@127.0.0.1:{}", partner.kind(), partner.user, partner.port);
        Ok((partner, done))
    })
    .await?;
    let aws = step("local AWS", "starting MiniStack", async {
        // A hundredth of the pauses between retries: nobody wants to watch those.
        let aws = MiniStack::start(Options::default()).await?;
        let done = format!("MiniStack at {}", aws.endpoint);
        Ok((aws, done))
    })
    .await?;
    Ok((partner, aws))
}

async fn deploy<'a>(aws: &'a MiniStack, partner: &Partner) -> Result<Stack<'a>> {
    step("functions", "sam build: four Rust functions (the first time takes minutes)", async {
        stack::build(Priority::Normal).await?;
        Ok(((), "sam build: fetch-key, transfer, verify-remote, record-failure".to_owned()))
    })
    .await?;
    step("stack", "sam deploy", async {
        let stack = Stack::deploy_for(aws, NAME, partner, &[("SftpLocation", LOCATION)]).await?;
        let done = format!("sam deploy: stack {NAME}");
        Ok((stack, done))
    })
    .await
}

async fn show(stack: &Stack<'_>, partner: &mut Partner) -> Result<()> {
    let samples = samples();
    let executions = deliveries(stack, &samples).await?;
    directory(partner, &samples)?;
    receipts(&executions)?;
    failure_and_repair(stack, partner).await
}

/// Uploads the samples and shows how each execution ends and what its steps took.
async fn deliveries(stack: &Stack<'_>, samples: &[Sample]) -> Result<Vec<Execution>> {
    heading(&format!("Uploading to s3://{}", stack.bucket()));
    for sample in samples {
        stack.upload(sample.object_key, sample.body.clone()).await?;
        println!("  {:40} {:>10}", sample.object_key, size(sample.body.len() as u64));
    }
    heading("Deliveries, and what their steps took, starts of the functions included");
    println!("  {:40} {:10} {:>9} {:>9} {:>13}", "", "", "FetchKey", "Transfer", "VerifyRemote");
    let mut executions = Vec::new();
    for sample in samples {
        let execution = stack.wait_for_object(sample.object_key, PATIENCE).await?;
        println!("{}", timing(stack, &execution).await?);
        ensure_succeeded(&execution)?;
        executions.push(execution);
    }
    Ok(executions)
}

async fn timing(stack: &Stack<'_>, execution: &Execution) -> Result<String> {
    let steps = stack.steps(&execution.arn).await?;
    let took = |state: &str| {
        let all: Vec<_> = steps.iter().filter(|step| step.state == state).map(|step| step.took).collect();
        if all.is_empty() { "–".to_owned() } else { seconds(all.iter().sum()) }
    };
    Ok(format!(
        "  {:40} {:10} {:>9} {:>9} {:>13}",
        execution.object_key(),
        execution.status.as_str(),
        took("FetchKey"),
        took("Transfer"),
        took("VerifyRemote")
    ))
}

fn ensure_succeeded(execution: &Execution) -> Result<()> {
    let (error, cause) = (execution.error.as_deref(), execution.cause.as_deref());
    ensure!(
        execution.receipt().is_some(),
        "the delivery of {} ended {}: {}: {}",
        execution.object_key(),
        execution.status,
        error.unwrap_or_default(),
        cause.unwrap_or_default()
    );
    Ok(())
}

/// Shows what lies on the partner's disk, and holds every byte of it against what was uploaded.
fn directory(partner: &Partner, samples: &[Sample]) -> Result<()> {
    heading("The partner's directory");
    let mut found = files(&partner.root)?;
    found.sort();
    for path in &found {
        let on_disk = std::fs::read(partner.root.join(path))?;
        let object_key = path.strip_prefix(LOCATION).and_then(|path| path.strip_prefix('/'));
        let sample = samples.iter().find(|sample| Some(sample.object_key) == object_key);
        let sample = sample.with_context(|| format!("nobody uploaded {path}"))?;
        ensure!(on_disk == sample.body, "{path} differs from what was uploaded");
        println!("  {path:44} {:>10}   byte for byte", size(on_disk.len() as u64));
    }
    let expected = samples.iter().filter(|sample| !sample.object_key.ends_with('/')).count();
    ensure!(found.len() == expected, "{} files are there, and {expected} should be", found.len());
    Ok(())
}

/// All files below a folder, by their paths from it.
fn files(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?.iter().map(|below| format!("{name}/{below}")));
        } else {
            found.push(name);
        }
    }
    Ok(found)
}

fn receipts(executions: &[Execution]) -> Result<()> {
    heading("The receipts");
    for execution in executions {
        let receipt = execution.receipt().context("an execution without a receipt")?;
        println!("  {}", execution.object_key());
        let text = |path: &str| receipt.pointer(path).map(plain).unwrap_or_default();
        let line = |name: &str, value: String| {
            if !value.is_empty() {
                println!("    {name:12} {value}");
            }
        };
        line("outcome", text("/outcome"));
        line("reason", text("/reason"));
        line("version", text("/object/version_id"));
        if receipt.get("remote_path").is_some() && receipt.get("proof").is_some() {
            line("delivered as", format!("sftp://{}/{}", text("/remote_host"), text("/remote_path")));
            line("proof", text("/proof"));
            line("checksum", format!("{} {}", text("/checksum/algorithm"), text("/checksum/value")));
            line("host key", text("/host_key_fingerprint"));
        }
        for warning in receipt["warnings"].as_array().into_iter().flatten() {
            line("warning", plain(warning));
        }
    }
    Ok(())
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The partner's host key changes; the failure is shown, the cause removed, the delivery run again.
async fn failure_and_repair(stack: &Stack<'_>, partner: &mut Partner) -> Result<()> {
    let (object_key, body) = ("invoice.txt", b"Pay within 30 days.\n");
    heading("A failure: the partner's server comes back with another host key");
    let old_key = partner.host_key.clone();
    partner.change_host_key().await?;
    let failed = stack.deliver(object_key, body.to_vec()).await?;
    println!("{}", timing(stack, &failed).await?);
    let error = failed.error.as_deref().unwrap_or_default();
    ensure!(
        error == "HostKeyMismatch",
        "expected HostKeyMismatch, and the execution ended {}: {error}",
        failed.status
    );
    let delivered = partner.root.join(LOCATION).join(object_key);
    ensure!(!delivered.exists(), "{object_key} was given to an unknown server");

    let record = stack.failure_record(&failed).await?.context("the failed execution left no record")?;
    println!("\n  Its record in s3://{}:\n", stack.failure_bucket());
    for line in record.lines() {
        println!("  {line}");
    }
    let record: Value = serde_json::from_str(&record)?;

    heading("The repair: the partner puts the old key back, and the delivery runs again");
    partner.host_key = old_key;
    partner.start_again().await?;
    let command = record["redrive_command"].as_str().context("the record holds no command")?;
    println!("  On AWS: the Redrive button, or");
    println!("    {command}");
    println!(
        "  MiniStack cannot redrive; here a new execution starts with the same input, which does the same."
    );
    println!("  The function remembers the refusal for a minute; here new processes save the wait.\n");
    stack.start_anew().await?;
    let again = stack.start(&failed.input).await?;
    let again = stack.wait(&again, PATIENCE).await?;
    println!("{}", timing(stack, &again).await?);
    ensure_succeeded(&again)?;
    ensure!(std::fs::read(&delivered)? == body, "{object_key} differs from what was uploaded");
    println!(
        "\nAll objects were delivered, byte for byte, and the failure was found, explained and repaired."
    );
    Ok(())
}

/// Leaves everything running until Ctrl-C and tells of every delivery that ends.
async fn stay(stack: &Stack<'_>, partner: &Partner) -> Result<()> {
    let (endpoint, bucket) = (&stack.aws.endpoint, stack.bucket());
    heading("Everything stays up until Ctrl-C. Upload more from another terminal:");
    println!("  curl --upload-file README.md {endpoint}/{bucket}/README.md");
    println!("or, with the AWS CLI:");
    println!("  AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 \\");
    println!("    aws --endpoint-url {endpoint} s3 cp README.md s3://{bucket}/README.md");
    println!("and look at the partner's side:");
    println!("  ls -lR {}", partner.root.display());
    println!(
        "  sftp -i {} -P {} {}@{}",
        partner.client_key_file().display(),
        partner.port,
        partner.user,
        partner.host
    );
    heading("Deliveries from now on");
    let mut told: HashSet<_> = stack.executions().await?.into_iter().map(|execution| execution.arn).collect();
    loop {
        for execution in stack.executions().await? {
            if execution.status.as_str() != "RUNNING" && told.insert(execution.arn.clone()) {
                println!("{}", timing(stack, &execution).await?);
                if let Some(error) = &execution.error {
                    println!("    {error}: {}", execution.cause.as_deref().unwrap_or_default());
                }
            }
        }
        if !partner.root.exists() {
            bail!("the partner's folder is gone");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
