//! The comparison: listing, records, running executions, and once more the records.

use bridge::FailureState;

use super::counts::Counts;
use super::finding::Finding;
use super::partner_look::PartnerLook;
use super::report::Report;
use crate::location::Location;
use crate::operate::direction::Direction;
use crate::operate::holdings::{Holding, LISTINGS, Ledger, Rule, Unexplained, Upload, Uploads, judge};
use crate::operate::operator::Operator;
use crate::operate::problem::Problem;
use crate::operate::{progress, running};

/// Uploads that are looked for on the server together.
const TOGETHER: usize = 1_000;

/// One comparison.
pub(super) struct Check<'a> {
    operator: &'a Operator,
    rule: Rule,
    prefix: &'a str,
    /// Seconds since 1970.
    since: Option<i64>,
    report: Report,
    ledger: Ledger,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        operator: &'a Operator,
        rule: Rule,
        prefix: &'a Location,
        since: Option<i64>,
        report: Report,
    ) -> Self {
        Self { operator, rule, prefix: &prefix.object_key, since, report, ledger: Ledger::default() }
    }

    /// Compares, and prints what it finds. The records are read before the bucket, so that an upload that is delivered
    /// meanwhile is looked at again.
    pub(super) async fn run(mut self, partner: Option<&PartnerLook>) -> Result<Counts, Problem> {
        let bar = progress::counting("receipts");
        self.ledger = Ledger::below(&self.operator.records, self.prefix, &bar).await?;
        bar.finish_and_clear();
        let unexplained = self.compare(partner).await?;
        let explained = self.explain(unexplained).await?;
        self.found(explained, partner).await?;
        self.unlisted().await?;
        Ok(self.report.counts())
    }

    fn is_young(&self, seconds: i64) -> bool {
        self.since.is_none_or(|since| seconds >= since)
    }

    /// Compares the bucket with the records. Returns the uploads of which no record tells.
    async fn compare(&mut self, partner: Option<&PartnerLook>) -> Result<Vec<Upload>, Problem> {
        let bar = progress::counting("objects");
        self.report.show(&bar);
        let mut uploads = Uploads::new(&self.operator.s3, &self.rule.bucket, self.prefix);
        let mut unexplained = Vec::new();
        while let Some(page) = uploads.page().await? {
            bar.inc(page.len() as u64);
            let mut judged = Vec::new();
            for upload in page {
                let Ledger { receipts, failures, .. } = &mut self.ledger;
                match judge(&upload, receipts, failures, &self.rule) {
                    _ if !self.is_young(upload.last_modified) => {}
                    Some(holding) => judged.push((upload, holding)),
                    None => unexplained.push(upload),
                }
            }
            self.found(judged, partner).await?;
        }
        bar.finish_and_clear();
        Ok(unexplained)
    }

    /// Reports what was found, after a look on the server if that was asked for.
    async fn found(
        &mut self,
        judged: Vec<(Upload, Holding)>,
        partner: Option<&PartnerLook>,
    ) -> Result<(), Problem> {
        for judged in judged.chunks(TOGETHER) {
            let remote = match partner {
                Some(partner) => partner.look(judged).await?,
                None => vec![None; judged.len()],
            };
            for ((upload, holding), remote) in judged.iter().zip(remote) {
                self.report.add(&Finding::of(upload, holding.clone(), remote));
            }
        }
        Ok(())
    }

    /// Looks for the executions of uploads of which no record tells.
    async fn explain(&mut self, uploads: Vec<Upload>) -> Result<Vec<(Upload, Holding)>, Problem> {
        if uploads.is_empty() {
            return Ok(Vec::new());
        }
        let mut unexplained = Unexplained::new(&self.rule.bucket, uploads);
        running::look_for(&self.operator.executions, &mut unexplained).await?;
        let (mut judged, mut left) = (Vec::new(), Vec::new());
        for (upload, execution) in unexplained.into_uploads() {
            match execution {
                Some(execution) => judged.push((upload, Holding::UnderWay { execution })),
                None => left.push(upload),
            }
        }
        judged.extend(self.look_again(left).await?);
        Ok(judged)
    }

    /// An execution may have ended while the others were read, and left a record.
    async fn look_again(&mut self, uploads: Vec<Upload>) -> Result<Vec<(Upload, Holding)>, Problem> {
        let records = &self.operator.records;
        let mut ledger = if uploads.len() * LISTINGS <= self.ledger.pages {
            Ledger::of(records, &uploads).await?
        } else {
            let bar = progress::counting("receipts, once more");
            let ledger = Ledger::below(records, self.prefix, &bar).await?;
            bar.finish_and_clear();
            ledger
        };
        let judged = uploads.into_iter().map(|upload| {
            let holding = judge(&upload, &ledger.receipts, &mut ledger.failures, &self.rule);
            (upload, holding.unwrap_or(Holding::NeverStarted))
        });
        Ok(judged.collect())
    }

    /// Failures of uploads that are not current any more: they are owed as well. Their keys are read only now.
    async fn unlisted(&mut self) -> Result<(), Problem> {
        if !self.ledger.failures.has_unlisted() {
            return Ok(());
        }
        let mut keys = self.operator.records.failures(FailureState::Open, self.prefix);
        while let Some(page) = keys.page().await? {
            for key in page {
                // Those of the other direction are about no object of this bucket.
                if Direction::of(&key) == Direction::Delivery
                    && let Some(failed) = self.ledger.failures.take_unlisted(&key)
                    && self.is_young(failed.recorded_at)
                {
                    self.report.add(&Finding::unlisted(&key, failed));
                }
            }
        }
        Ok(())
    }
}
