//! Prints findings, and counts them.

use indicatif::ProgressBar;

use super::counts::Counts;
use super::finding::Finding;
use crate::output::{self, Layout};

/// Prints findings, and counts them.
pub(super) struct Report {
    json: bool,
    all: bool,
    counts: Counts,
    /// Steps aside while a line is printed.
    bar: ProgressBar,
}

impl Report {
    /// `all`: also what was delivered.
    pub(super) fn new(json: bool, all: bool) -> Self {
        Self { json, all, counts: Counts::default(), bar: ProgressBar::hidden() }
    }

    /// Shows this progress from now on.
    pub(super) fn show(&mut self, bar: &ProgressBar) {
        self.bar = bar.clone();
    }

    pub(super) fn add(&mut self, finding: &Finding) {
        self.counts.add(finding);
        if !self.all && !finding.is_odd() {
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
