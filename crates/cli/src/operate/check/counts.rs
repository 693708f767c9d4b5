//! How many objects of which kind, and the last line.

use indicatif::HumanCount;
use serde_json::json;

use super::finding::Finding;
use super::remote::Remote;
use crate::operate::holdings::Holding;
use crate::output::{self, Layout};

/// How many objects of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) passed_over: u64,
    pub(super) superseded: u64,
    pub(super) failed: u64,
    pub(super) under_way: u64,
    pub(super) never_started: u64,
    pub(super) owed: u64,
    pub(super) remote: RemoteCounts,
}

/// What the partner's server has of the objects that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RemoteCounts {
    pub(super) same: u64,
    pub(super) differs: u64,
    pub(super) missing: u64,
    pub(super) unknown: u64,
    /// Of those that differ, the ones that were delivered.
    pub(super) delivered_differs: u64,
}

impl Counts {
    pub(super) fn add(&mut self, finding: &Finding) {
        let count = match finding.holding {
            Holding::Delivered(_) => &mut self.delivered,
            Holding::PassedOver(_) => &mut self.passed_over,
            Holding::Superseded => &mut self.superseded,
            Holding::Failed(_) => &mut self.failed,
            Holding::UnderWay { .. } => &mut self.under_way,
            Holding::NeverStarted => &mut self.never_started,
        };
        *count += 1;
        self.owed += u64::from(finding.holding.is_owed());
        self.remote.delivered_differs += u64::from(finding.differs());
        let remote = match finding.remote {
            None => return,
            Some(Remote::Same) => &mut self.remote.same,
            Some(Remote::Differs { .. }) => &mut self.remote.differs,
            Some(Remote::Missing) => &mut self.remote.missing,
            Some(Remote::Unknown { .. }) => &mut self.remote.unknown,
        };
        *remote += 1;
    }

    fn objects(&self) -> u64 {
        self.owed + self.delivered + self.passed_over + self.superseded
    }

    /// Whether there is nothing that somebody should look at.
    pub(super) fn is_fine(&self) -> bool {
        self.owed == 0 && self.remote.delivered_differs == 0
    }

    /// Prints the last line: for programs to standard output, as everything else of them.
    pub(super) fn print(&self, json: bool, stack: &str) {
        if json {
            output::say_json(&self.json(), Layout::OneLine);
        } else {
            output::note(&self.in_words(stack));
        }
    }

    fn json(&self) -> serde_json::Value {
        let Self { delivered, passed_over, superseded, failed, under_way, never_started, owed, remote } =
            self;
        let RemoteCounts { same, differs, missing, unknown, .. } = remote;
        json!({"summary": {
            "objects": self.objects(), "owed": owed, "delivered": delivered, "passed_over": passed_over,
            "superseded": superseded, "failed": failed, "under_way": under_way, "never_started": never_started,
            "remote": { "same": same, "differs": differs, "missing": missing, "unknown": unknown },
        }})
    }

    fn in_words(&self, stack: &str) -> Vec<String> {
        let count = |count: u64, words: &str| format!("{} {words}", HumanCount(count));
        let owed = match self.owed {
            0 => "nothing is owed".to_owned(),
            owed => format!(
                "{} of {} are owed: {}, {}, {}",
                HumanCount(owed),
                HumanCount(self.objects()),
                count(self.failed, "failed (!)"),
                count(self.under_way, "under way (~)"),
                count(self.never_started, "never started (+)")
            ),
        };
        let mut lines = vec![format!(
            "{owed}; {}, {}, {}",
            count(self.delivered, "delivered (=)"),
            count(self.passed_over, "passed over (-)"),
            count(self.superseded, "superseded (>)")
        )];
        let RemoteCounts { same, differs, missing, unknown, .. } = self.remote;
        if same + differs + missing + unknown > 0 {
            let [same, differs] = [count(same, "have their size"), count(differs, "have another size")];
            let [missing, unknown] = [count(missing, "are not there"), count(unknown, "cannot be seen")];
            lines.push(format!("on the server: {same}, {differs}, {missing}, {unknown}"));
        }
        if missing > 0 {
            lines.push("a file that is not there was taken away by the partner, or was never delivered: its receipt knows which".into());
        }
        if self.failed > 0 {
            lines.push(format!("what failed, and what to do: s3-sftp-bridge failures --stack {stack}"));
        }
        if self.never_started > 0 {
            lines.push(format!(
                "to start what was never started: s3-sftp-bridge backfill s3://BUCKET/PREFIX --not-delivered --stack {stack}"
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use bridge::Outcome;

    use super::*;
    use crate::operate::holdings::tests::upload;

    fn counted(findings: &[(Holding, Option<Remote>)]) -> Counts {
        let mut counts = Counts::default();
        for (holding, remote) in findings {
            counts.add(&Finding::of(&upload("k", "v"), holding.clone(), remote.clone()));
        }
        counts
    }

    #[test]
    fn story_214_only_what_the_partner_has_or_should_not_have_is_not_owed() {
        let delivered = Holding::Delivered(Outcome::AlreadyDelivered);
        let settled = [delivered.clone(), Holding::Superseded, Holding::PassedOver("why".into())];
        let fine = counted(&settled.map(|holding| (holding, None)));
        assert!(fine.is_fine());
        assert_eq!(
            fine.in_words("s"),
            ["nothing is owed; 1 delivered (=), 1 passed over (-), 1 superseded (>)"]
        );
        for owed in [Holding::NeverStarted, Holding::UnderWay { execution: "e".into() }] {
            let counts = counted(&[(delivered.clone(), None), (owed, None)]);
            assert!(!counts.is_fine());
            assert!(counts.in_words("s")[0].starts_with("1 of 2 are owed: "), "{counts:?}");
        }
        assert!(!counted(&[(delivered.clone(), Some(Remote::Differs { size: None }))]).is_fine());
        let missing = counted(&[(delivered, Some(Remote::Missing))]);
        assert!(missing.is_fine(), "the partner may have taken it");
        assert!(missing.in_words("s")[2].contains("taken away by the partner"), "{missing:?}");
    }
}
