//! One run of `collect`: looks, waits once for all files, and collects many at the same time.

use std::process::ExitCode;
use std::sync::Arc;

use bridge::collect::CollectOutcome;
use bridge::{Error, Result};
use indicatif::ProgressBar;

use super::batch::{Batch, Finished};
use super::look::Look;
use super::runner::CollectRunner;
use super::summary;
use super::target::Target;
use crate::failure;
use crate::many::Tasks;
use crate::output::{self, Layout};
use crate::progress;
use crate::stop::Stop;

/// The number of files by how they ended.
#[derive(Debug, Default)]
struct Counts {
    collected: usize,
    not_needed: usize,
    changing: usize,
    failed: usize,
    cut_off: usize,
}

/// Why the run ended.
enum End {
    AllTried,
    /// The partner cannot be reached, or refuses every file.
    PartnerFailed {
        error: Error,
        not_tried: usize,
    },
    Stopped,
}

pub(super) async fn run(runner: &Arc<CollectRunner>, target: &Target, json: bool, stop: &Stop) -> ExitCode {
    let prepared = tokio::select! {
        prepared = prepare(runner, target) => prepared,
        () = stop.requested() => return ExitCode::from(1),
    };
    let (look, seen) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return failure::print(&error),
    };
    output::note(&summary::impossible(&look.impossible, |path| runner.address(path)));
    if look.found_nothing() && !target.path().is_empty() {
        output::note(&[summary::nothing_there(&runner.address(target.path()))]);
        return ExitCode::from(1);
    }
    let mut counts = Counts { not_needed: seen, ..Counts::default() };
    if look.due.is_empty() {
        output::note(look.why_not.as_ref().map(|why| format!("not collected: {why}")).as_slice());
        output::note(&[counts.in_words(look.passed_over)]);
        return ExitCode::SUCCESS;
    }
    let settle = runner.collect_settings().settle;
    if !settle.is_zero() {
        output::note(&[summary::waiting(settle, &summary::then_looks_again(look.due.len()))]);
        tokio::select! {
            () = tokio::time::sleep(settle) => {}
            () = stop.requested() => return ExitCode::from(1),
        }
    }
    let passed_over = look.passed_over;
    let end = collect(runner, look, &mut counts, json, stop).await;
    output::note(&[counts.in_words(passed_over)]);
    conclude(runner, &end, &counts)
}

/// Looks at the directory. Returns what is due, and the number of files that S3 has and that stay where they are.
async fn prepare(runner: &CollectRunner, target: &Target) -> Result<(Look, usize)> {
    let mut look = Look::at(runner, target).await?;
    let seen = look.ask_s3(runner).await;
    look.add_unfinished(runner, target);
    Ok((look, seen))
}

fn conclude(runner: &CollectRunner, end: &End, counts: &Counts) -> ExitCode {
    match end {
        End::PartnerFailed { error, not_tried } => {
            let code = failure::print(error);
            output::note(&[format!("stopped: {not_tried} files were not tried")]);
            code
        }
        End::Stopped => {
            output::note(&summary::stopped(runner.states.are_kept()));
            ExitCode::from(1)
        }
        End::AllTried if counts.failed > 0 => ExitCode::from(1),
        End::AllTried => ExitCode::SUCCESS,
    }
}

/// Collects all of these. If one fails, the others are still collected. Only a [`Stop`] cuts off what is in progress.
async fn collect(
    runner: &Arc<CollectRunner>,
    look: Look,
    counts: &mut Counts,
    json: bool,
    stop: &Stop,
) -> End {
    let bar = progress::many_files();
    bar.set_length(look.due.iter().map(|file| file.size).sum());
    let server = runner.server();
    let mut tasks = Tasks::new(|finished: &Finished| {
        counts.add(finished);
        bar.suspend(|| match &finished.outcome {
            Ok(receipt) if json => output::say_json(receipt, Layout::OneLine),
            Ok(receipt) => output::say(&summary::receipt(receipt, &server)),
            Err(error) => {
                let address = server.address(&finished.file.remote_path());
                output::note(&[summary::not_collected(&address, error)]);
            }
        });
    });
    let (total, mut tried) = (look.due.len(), 0);
    let started = tokio::select! {
        started = start_all(runner, &bar, look, &mut tasks, &mut tried) => started.map_err(Some),
        () = stop.requested() => Err(None),
    };
    let cut_off = tasks.finish(stop).await;
    bar.finish_and_clear();
    drop(tasks);
    runner.end_uploads().await;
    counts.cut_off = cut_off;
    match started {
        Ok(()) if cut_off == 0 => End::AllTried,
        Ok(()) | Err(None) => End::Stopped,
        Err(Some(error)) => End::PartnerFailed { error, not_tried: total - tried },
    }
}

/// Begins with each file as soon as there is room for it.
async fn start_all(
    runner: &Arc<CollectRunner>,
    bar: &ProgressBar,
    look: Look,
    tasks: &mut Tasks<Finished, impl FnMut(&Finished)>,
    tried: &mut usize,
) -> Result<()> {
    let Look { due, free, .. } = look;
    let batch = Box::pin(Batch::start(Arc::clone(runner), bar.clone(), due.len())).await?;
    for file in due {
        let permit = batch.in_progress.admit(file.size).await;
        tasks.report_finished();
        batch.ensure_hope()?;
        let (batch, is_free) = (Arc::clone(&batch), free.contains(&file.path));
        tasks.spawn(async move {
            let finished = batch.collect(file, is_free).await;
            drop(permit);
            finished
        });
        *tried += 1;
    }
    Ok(())
}

impl Counts {
    fn add(&mut self, finished: &Finished) {
        let count = match finished.outcome.as_ref().map(|receipt| receipt.outcome) {
            Ok(CollectOutcome::Collected) => &mut self.collected,
            Ok(CollectOutcome::AlreadyCollected | CollectOutcome::Skipped) => &mut self.not_needed,
            Ok(CollectOutcome::Changed | CollectOutcome::Gone) => &mut self.changing,
            Err(_) => &mut self.failed,
        };
        *count += 1;
    }

    /// The last line of the run.
    fn in_words(&self, passed_over: usize) -> String {
        let Self { collected, not_needed, changing, failed, cut_off } = self;
        let mut text = format!("{collected} collected, {not_needed} not needed, {failed} failed");
        for (count, words) in [
            (*changing, "changed or gone meanwhile"),
            (*cut_off, "not finished"),
            (passed_over, "passed over (s3-sftp-bridge list says why)"),
        ] {
            if count > 0 {
                text += &format!(", {count} {words}");
            }
        }
        text
    }
}
