//! A delivery that fails, its record, and the repair.

use anyhow::{Context, Result, ensure};
use integration_tests::partner::Partner;
use integration_tests::stack::{Execution, Stack};
use serde_json::Value;

use super::shown::{self, LOCATION, PATIENCE};
use crate::report::{field, heading, paragraph};

const OBJECT_KEY: &str = "invoice.txt";
const BODY: &[u8] = b"Pay within 30 days.\n";

/// The partner's host key changes. Shows the failure, removes its cause and delivers again.
pub(super) async fn and_repair(stack: &Stack<'_>, partner: &mut Partner) -> Result<()> {
    let old_key = partner.host_key.clone();
    let failed = failure(stack, partner).await?;
    let record = record(stack, &failed).await?;
    partner.host_key = old_key;
    repair(stack, partner, &failed, &record).await?;
    println!();
    paragraph("All objects were delivered unchanged. The failure was found, explained and repaired.");
    Ok(())
}

async fn failure(stack: &Stack<'_>, partner: &mut Partner) -> Result<Execution> {
    heading("A failure: the partner's server has another host key");
    partner.change_host_key().await?;
    let failed = stack.deliver(OBJECT_KEY, BODY.to_vec()).await?;
    println!();
    shown::columns();
    shown::delivery(stack, &failed).await?;
    shown::ensure_outcome(&failed, &["FAILED"])?;
    let error = failed.error.as_deref().unwrap_or_default();
    ensure!(error == "HostKeyMismatch", "expected the error HostKeyMismatch, found {error}");
    let delivered = partner.root.join(LOCATION).join(OBJECT_KEY);
    ensure!(!delivered.exists(), "{OBJECT_KEY} was given to an unknown server");
    Ok(failed)
}

/// Shows what a person finds in the record bucket.
async fn record(stack: &Stack<'_>, failed: &Execution) -> Result<Value> {
    let record = stack.failure_record(failed).await?.context("the failed execution left no record")?;
    println!();
    paragraph(&format!("Its record, a JSON document in s3://{}:", stack.record_bucket()));
    println!();
    let record: Value = serde_json::from_str(&record)?;
    for (name, value) in record.as_object().context("a record that is no JSON object")? {
        match value {
            Value::Null => field("    ", name, "–"),
            Value::Array(attempts) => {
                for attempt in attempts {
                    let text = |name: &str| shown::plain(&attempt[name]);
                    field("    ", name, &format!("{} {} {}", text("at"), text("state"), text("error")));
                }
            }
            value => field("    ", name, &shown::plain(value)),
        }
    }
    Ok(record)
}

async fn repair(stack: &Stack<'_>, partner: &mut Partner, failed: &Execution, record: &Value) -> Result<()> {
    heading("The repair: the partner puts the old key back, and the delivery runs again");
    partner.start_again().await?;
    let command = record["redrive_command"].as_str().context("the record holds no command")?;
    paragraph("On AWS, open the execution in the console and press Redrive, or run");
    println!();
    paragraph(command);
    println!();
    paragraph("Here a new execution starts with the same input, which does the same.");
    paragraph(
        "For a minute the functions remember that the server was not the right one, and do not connect. The demo starts new \
         processes of them instead of waiting.",
    );
    stack.start_anew().await?;
    let again = stack.wait(&stack.start(&failed.input).await?, PATIENCE).await?;
    println!();
    shown::columns();
    shown::delivery(stack, &again).await?;
    shown::ensure_outcome(&again, &["delivered"])?;
    let delivered = std::fs::read(partner.root.join(LOCATION).join(OBJECT_KEY))?;
    ensure!(delivered == BODY, "{OBJECT_KEY} differs from what was uploaded");
    Ok(())
}
