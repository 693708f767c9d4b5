//! `deliver --recursive`: all objects below a prefix, many at the same time, over one connection.

mod batch;
mod lister;
mod run;

use std::process::ExitCode;
use std::sync::Arc;

use bridge::Outcome;

use self::run::{End, Finished, NotTried, Summary};
use super::runner::DeliveryRunner;
use super::summary;
use crate::address::Server;
use crate::failure;
use crate::location::Location;
use crate::output::{self, Layout};
use crate::progress;
use crate::stop::Stop;

/// The number of deliveries by how they ended.
#[derive(Default)]
struct Counts {
    delivered: usize,
    not_needed: usize,
    failed: usize,
}

pub(super) async fn run(
    runner: &Arc<DeliveryRunner>,
    prefix: &Location,
    json: bool,
    stop: &Stop,
) -> ExitCode {
    let bar = progress::many_files();
    let server = Server::of(runner.settings());
    let mut counts = Counts::default();
    let summary = run::run(Arc::clone(runner), prefix, stop, &bar, |finished| {
        counts.add(finished);
        bar.suspend(|| print(finished, &server, json));
    })
    .await;
    bar.finish_and_clear();
    output::note(&[counts.in_words(&summary)]);
    let Summary { found, end, .. } = summary;
    match end {
        End::ListingFailed(error) => failure::print(&error),
        End::PartnerFailed { error, not_tried } => {
            let code = failure::print(&error);
            output::note(&[in_words(&not_tried)]);
            code
        }
        End::Stopped => {
            output::note(&summary::stopped(runner.states.are_kept()));
            ExitCode::from(1)
        }
        End::AllTried if found == 0 => {
            let Location { bucket, object_key } = prefix;
            output::note(&[format!("no object's key begins with {object_key:?} in the bucket {bucket:?}")]);
            ExitCode::from(1)
        }
        End::AllTried if counts.failed > 0 => ExitCode::from(1),
        End::AllTried => ExitCode::SUCCESS,
    }
}

fn print(finished: &Finished, server: &Server, json: bool) {
    match &finished.outcome {
        Ok(receipt) if json => output::say_json(receipt, Layout::OneLine),
        Ok(receipt) => output::say(&summary::receipt(receipt, server)),
        Err(error) => output::note(&[summary::not_delivered(&finished.object, error)]),
    }
}

impl Counts {
    fn add(&mut self, finished: &Finished) {
        match &finished.outcome {
            Ok(receipt) if receipt.outcome == Outcome::Delivered => self.delivered += 1,
            Ok(_) => self.not_needed += 1,
            Err(_) => self.failed += 1,
        }
    }

    /// The last line of the run.
    fn in_words(&self, summary: &Summary) -> String {
        let Self { delivered, not_needed, failed } = self;
        let mut text = format!("{delivered} delivered, {not_needed} not needed, {failed} failed");
        if summary.moved > 0 {
            text += &format!(", {} ignored below S3_MOVE_PREFIX", summary.moved);
        }
        if summary.cut_off > 0 {
            text += &format!(", {} not finished", summary.cut_off);
        }
        text
    }
}

fn in_words(not_tried: &NotTried) -> String {
    let at_least = if not_tried.at_least { "at least " } else { "" };
    format!("stopped: {at_least}{} objects were not tried", not_tried.objects)
}
