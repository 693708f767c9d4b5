//! Prints findings, and counts them.

use indicatif::ProgressBar;

use super::counts::Counts;
use super::finding::Finding;
use crate::output::{self, Layout};

/// What is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// What was not delivered, or is not as expected on the server.
    Odd,
    /// Every object.
    All,
}

/// Prints findings, and counts them.
pub(super) struct Report {
    json: bool,
    shown: Shown,
    counts: Counts,
    /// Steps aside while a line is printed.
    bar: ProgressBar,
}

impl Report {
    pub(super) fn new(json: bool, shown: Shown) -> Self {
        Self { json, shown, counts: Counts::default(), bar: ProgressBar::hidden() }
    }

    /// Shows this progress from now on.
    pub(super) fn show(&mut self, bar: &ProgressBar) {
        self.bar = bar.clone();
    }

    pub(super) fn add(&mut self, finding: &Finding) {
        self.counts.add(finding);
        if self.shown == Shown::Odd && !finding.is_odd() {
            return;
        }
        self.bar.suspend(|| {
            if self.json {
                output::say_json(&finding.json(), Layout::OneLine);
            } else {
                output::say_styled(&[finding.line()]);
            }
        });
    }

    pub(super) fn counts(self) -> Counts {
        self.counts
    }
}
