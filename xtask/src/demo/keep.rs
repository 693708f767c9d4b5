//! `--keep`: everything stays up, for experiments.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Result, bail};
use integration_tests::partner::Partner;
use integration_tests::stack::{Execution, Stack};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::collections::{self, INBOX, OUTGOING};
use super::shown;
use crate::report::{heading, paragraph};

/// Leaves everything running until Ctrl-C and shows every delivery that ends.
pub(super) async fn stay(stack: &Stack<'_>, partner: &mut Partner) -> Result<()> {
    explain(stack, partner);
    heading("Deliveries and collections from now on");
    shown::columns();
    let mut shown: HashSet<_> = all(stack).await?.into_iter().map(|execution| execution.arn).collect();
    let mut typed = typed_lines();
    loop {
        for execution in all(stack).await? {
            if execution.ended && shown.insert(execution.arn.clone()) {
                ended(stack, &execution).await?;
            }
        }
        if !partner.root.exists() {
            bail!("the partner's folder is gone");
        }
        tokio::select! {
            Some(line) = typed.recv() => obey(&line, partner).await?,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
    }
}

/// Deliveries and collections.
async fn all(stack: &Stack<'_>) -> Result<Vec<Execution>> {
    let mut all = stack.executions().await?;
    all.extend(stack.executions_of(stack.collect_machine()).await?);
    Ok(all)
}

/// A delivery or collection that has ended: what an operator wants to know of it.
async fn ended(stack: &Stack<'_>, execution: &Execution) -> Result<()> {
    if execution.file_path().is_empty() {
        shown::delivery(stack, execution).await?;
    } else {
        collections::collection(stack, execution).await?;
    }
    if execution.receipt().is_none() {
        println!("    execution       {}", execution.arn);
    }
    Ok(())
}

async fn obey(line: &str, partner: &mut Partner) -> Result<()> {
    match line.trim() {
        "stop" => {
            partner.stop();
            println!("  (the partner's server is stopped)");
        }
        "start" => {
            partner.start_again().await?;
            println!("  (the partner's server runs)");
        }
        "" => {}
        other => println!("  (unknown: {other}; type stop, start, or Ctrl-C)"),
    }
    Ok(())
}

/// What is typed into this terminal. A thread of its own reads it, which does not keep the process from ending.
fn typed_lines() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

fn explain(stack: &Stack<'_>, partner: &Partner) {
    let (bucket, records, machine) = (stack.bucket(), stack.record_bucket(), stack.state_machine());
    heading("Everything stays up until Ctrl-C");
    paragraph(
        "Stop the partner's server: type stop and Enter in this terminal. Files that you upload meanwhile wait for it. Start \
         it again: start. The files arrive within two minutes.",
    );
    heading("In another terminal, talk to the local AWS with the AWS CLI");
    println!("  export AWS_ENDPOINT_URL={} AWS_REGION=us-east-1", stack.aws.endpoint);
    println!("  export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test");
    println!("  MACHINE={machine}");
    heading("Deliver a file");
    println!("  aws s3 cp README.md s3://{bucket}/README.md");
    paragraph("or, without the AWS CLI:");
    println!("  curl --upload-file README.md \\\n    {}/{bucket}/README.md", stack.aws.endpoint);
    heading("Collect a file");
    println!("  cp README.md {}", partner.root.join(OUTGOING).display());
    println!("  aws stepfunctions start-execution --input '{{\"look\": true}}' \\");
    println!("    --state-machine-arn {}", stack.watch_machine());
    println!("  aws s3 ls --recursive s3://{INBOX}/");
    heading("Was a file delivered?");
    paragraph(
        "Its execution SUCCEEDED, and the output of the execution is the receipt: `delivered` and `already_delivered` say \
         that the file is there, `superseded` that a newer upload took its place, `skipped` that it was not to be delivered. \
         The record bucket holds the receipts, too, and below failures/open a record of each file that is still owed.",
    );
    println!("  aws stepfunctions list-executions --state-machine-arn $MACHINE \\");
    println!("    --query 'executions[].[status,executionArn]' --output text");
    println!("  aws stepfunctions describe-execution --execution-arn ARN");
    println!("  aws s3 ls --recursive s3://{records}/receipts/objects/");
    println!("  aws s3 ls --recursive s3://{records}/failures/open/");
    heading("Look at the partner's side");
    println!("  ls -lR {}", partner.root.display());
    println!("  sftp -i {} \\", partner.client_key_file().display());
    println!("    -P {} {}@{}", partner.port, partner.user, partner.host);
    heading("Deliver a failed one again (on AWS: redrive-execution)");
    println!("  aws stepfunctions start-execution --state-machine-arn $MACHINE \\");
    println!("    --input \"$(aws stepfunctions describe-execution \\");
    println!("      --execution-arn ARN --query input --output text)\"");
}
