//! The other direction: files that the partner leaves come back to S3.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use integration_tests::partner::Partner;
use integration_tests::pattern;
use integration_tests::stack::{Execution, Stack};

use super::shown::{self, PATIENCE};
use crate::report::{field, heading, paragraph, size};

/// The partner's directory for files that are collected.
pub(super) const OUTGOING: &str = "outgoing";
/// The bucket where they land.
pub(super) const INBOX: &str = "s3-sftp-bridge-demo-inbox";
/// Still being written, as its name says.
const UNFINISHED: &str = "orders.csv.part";

/// The partner leaves files. Shows how a look starts a collection of each, and what is in S3 and on the server then.
pub(super) async fn of_the_partners_files(stack: &Stack<'_>, partner: &Partner) -> Result<()> {
    heading("The other direction: the partner leaves files, and they land in S3");
    let files = [
        ("acknowledgement.csv", b"order,state\n1,accepted\n2,accepted\n".to_vec()),
        ("returns/photos.zip", pattern::noise(24 << 20)),
    ];
    let directory = partner.root.join(OUTGOING);
    for (path, body) in files.iter().map(|(path, body)| (*path, &body[..])).chain([(UNFINISHED, &b"1,"[..])])
    {
        let local = directory.join(path);
        std::fs::create_dir_all(local.parent().context("a file without a directory")?)?;
        std::fs::write(local, body)?;
        println!("  {:40} {:>10}", format!("{OUTGOING}/{path}"), size(body.len() as u64));
    }
    println!();
    look(stack, 2).await?;
    println!();
    columns();
    let collected = stack.collections(files.len(), PATIENCE).await?;
    for execution in &collected {
        collection(stack, execution).await?;
        shown::ensure_outcome(execution, &["collected"])?;
    }
    objects(stack, &files).await?;
    server(&directory)?;
    receipt(&collected[0])?;
    println!();
    paragraph("A second look finds nothing new: every file is collected once.");
    look(stack, 0).await
}

/// Starts a look and shows what it has found.
async fn look(stack: &Stack<'_>, started: u64) -> Result<()> {
    let look = stack.look().await?;
    let output = look.output.as_ref().with_context(|| format!("the look failed: {:?}", look.cause))?;
    // The local Step Functions ignores the Output of a Succeed state.
    let listing = output.get("listing").unwrap_or(output);
    let count = |name: &str| listing[name].as_u64().unwrap_or_default();
    paragraph(&format!(
        "A look at the directory. Collections started: {}; names passed over: {}.",
        count("started"),
        count("passed_over")
    ));
    ensure!(count("started") == started, "{} were to be started: {listing}", started);
    Ok(())
}

/// The heading of the lines that [`collection`] prints.
fn columns() {
    println!("  {:29} {:17} {:>8} {:>8} {:>12}", "file", "outcome", "Collect", "Verify", "SettleRemote");
}

/// A line with the outcome of a collection and the times of its steps, and why it failed if it did.
pub(super) async fn collection(stack: &Stack<'_>, execution: &Execution) -> Result<()> {
    shown::line(stack, execution, execution.file_path(), ["Collect", "VerifyObject", "SettleRemote"]).await
}

/// Compares every byte in S3 with what the partner left.
async fn objects(stack: &Stack<'_>, files: &[(&str, Vec<u8>)]) -> Result<()> {
    heading(&format!("The objects in s3://{INBOX}"));
    for (path, body) in files {
        let object = stack.aws.s3().get_object().bucket(INBOX).key(*path).send().await?;
        let found = object.body.collect().await?.into_bytes();
        ensure!(found == body[..], "{path} differs from what the partner left");
        println!("  {path:44} {:>10}   identical", size(found.len() as u64));
    }
    Ok(())
}

fn server(directory: &Path) -> Result<()> {
    heading("The partner's directory afterwards: archived, and the unfinished file stays");
    let mut left = shown::files(directory)?;
    left.sort();
    for path in &left {
        println!("  {OUTGOING}/{path}");
    }
    let is_archived = |path: &&String| path.contains(".done/");
    let others: Vec<_> = left.iter().filter(|path| !is_archived(path)).collect();
    ensure!(left.iter().filter(is_archived).count() == 2, "two files were to be archived: {left:?}");
    ensure!(others == [UNFINISHED], "only {UNFINISHED} was to stay: {others:?}");
    Ok(())
}

fn receipt(execution: &Execution) -> Result<()> {
    heading("The receipt of a collection");
    println!("  {}", execution.file_path());
    let receipt = execution.receipt().context("an execution without a receipt")?;
    let text = |path: &str| receipt.pointer(path).map(shown::plain).unwrap_or_default();
    let line = |name: &str, value: &str| field("    ", name, value);
    line("outcome", &text("/outcome"));
    line("collected as", &format!("s3://{}/{}", text("/object/bucket"), text("/object/object_key")));
    line("checksum", &format!("{} {}", text("/checksum/algorithm"), text("/checksum/value")));
    line("host key", &text("/host_key_fingerprint"));
    line("afterwards", &text("/afterwards"));
    Ok(())
}
