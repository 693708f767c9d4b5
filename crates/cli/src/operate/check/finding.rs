//! What was found of one object, as a line.

use bridge::{FailureKey, is_unprintable};
use serde_json::{Value, json};

use super::remote::Remote;
use crate::moments::rfc3339;
use crate::operate::holdings::{Failed, Holding, Upload};
use crate::output::{Span, Style};

/// What was found of one object.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) object_key: String,
    pub(super) version: String,
    /// What the bucket has. `None` if it has no such upload any more.
    pub(super) stored: Option<Stored>,
    pub(super) holding: Holding,
    /// What is on the partner's server, if that was asked.
    pub(super) remote: Option<Remote>,
}

/// What the bucket has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    pub(super) size: u64,
    pub(super) last_modified: i64,
}

impl Finding {
    /// Of an upload in the bucket.
    pub(super) fn of(upload: &Upload, holding: Holding, remote: Option<Remote>) -> Self {
        Self {
            object_key: upload.object_key.clone(),
            version: upload.mark().as_str().to_owned(),
            stored: Some(Stored { size: upload.size, last_modified: upload.last_modified }),
            holding,
            remote,
        }
    }

    /// Of a failure whose upload the bucket does not have, or not as the current one.
    pub(super) fn unlisted(key: &FailureKey, failed: Failed) -> Self {
        Self {
            object_key: key.object.clone(),
            version: key.version.as_str().to_owned(),
            stored: None,
            holding: Holding::Failed(failed),
            remote: None,
        }
    }

    /// Whether somebody should look at the file on the server.
    pub(super) fn differs(&self) -> bool {
        matches!(self.holding, Holding::Delivered(_)) && matches!(self.remote, Some(Remote::Differs { .. }))
    }

    /// Whether it is worth a line although it was delivered.
    pub(super) fn is_odd(&self) -> bool {
        !matches!(self.holding, Holding::Delivered(_)) || !matches!(self.remote, None | Some(Remote::Same))
    }

    pub(super) fn line(&self) -> Vec<Span> {
        let style = match self.holding {
            Holding::Delivered(_) => Style::Good,
            Holding::Failed(_) | Holding::NeverStarted => Style::Bad,
            Holding::UnderWay { .. } => Style::Warning,
            Holding::PassedOver(_) | Holding::Superseded => Style::Plain,
        };
        let key = match self.object_key.as_str() {
            "" => "(an event without an object)".to_owned(),
            key if key.ends_with(' ') || key.contains(is_unprintable) => format!("{key:?}"),
            key => key.to_owned(),
        };
        let mut line = vec![Span::new(style, self.holding.symbol().to_string()), format!(" {key}").into()];
        let notes = self.notes();
        if !notes.is_empty() {
            line.push(format!("  ({})", notes.join("; ")).into());
        }
        line
    }

    fn notes(&self) -> Vec<String> {
        let note = match &self.holding {
            Holding::Failed(failed) => {
                Some(format!("{}, recorded {}", failed.error, rfc3339(failed.recorded_at)))
            }
            Holding::UnderWay { execution } => Some(format!("execution {}", name(execution))),
            Holding::PassedOver(reason) => Some(reason.clone()),
            Holding::NeverStarted => {
                self.stored.map(|stored| format!("uploaded {}", rfc3339(stored.last_modified)))
            }
            Holding::Delivered(_) | Holding::Superseded => None,
        };
        let unlisted = self.stored.is_none().then(|| "not the current object any more".to_owned());
        let remote =
            self.remote.as_ref().and_then(|remote| remote.in_words(self.stored.map(|stored| stored.size)));
        [note, unlisted, remote].into_iter().flatten().collect()
    }

    pub(super) fn json(&self) -> Value {
        let mut json = json!({
            "symbol": self.holding.symbol().to_string(),
            "holding": self.holding.name(),
            "object_key": self.object_key,
            "version": self.version,
            "size": self.stored.map(|stored| stored.size),
            "last_modified": self.stored.map(|stored| rfc3339(stored.last_modified)),
        });
        match &self.holding {
            Holding::Failed(failed) => {
                json["error"] = failed.error.as_str().into();
                json["recorded_at"] = rfc3339(failed.recorded_at).into();
            }
            Holding::UnderWay { execution } => json["execution"] = execution.as_str().into(),
            Holding::PassedOver(reason) => json["reason"] = reason.as_str().into(),
            Holding::Delivered(_) | Holding::Superseded | Holding::NeverStarted => {}
        }
        if let Some(remote) = &self.remote {
            json["remote"] = remote.json();
        }
        json
    }
}

/// The last part of an execution's ARN.
fn name(execution: &str) -> &str {
    execution.rsplit(':').next().unwrap_or(execution)
}

#[cfg(test)]
mod tests {
    use bridge::Outcome;

    use super::*;
    use crate::operate::holdings::tests::upload;

    fn text(finding: &Finding) -> String {
        finding.line().iter().map(|span| span.text.as_str()).collect()
    }

    #[test]
    fn story_214_a_line_begins_as_rclone_writes_it_and_says_more() {
        let upload = upload("in/a b.csv", "v");
        let finding = |holding| Finding::of(&upload, holding, None);
        let failed = Failed { error: "RemoteFull".into(), recorded_at: 1_795_770_120 };
        for (holding, line) in [
            (Holding::Delivered(Outcome::Delivered), "= in/a b.csv"),
            (Holding::Superseded, "> in/a b.csv"),
            (Holding::PassedOver("why".into()), "- in/a b.csv  (why)"),
            (Holding::NeverStarted, "+ in/a b.csv  (uploaded 2026-09-21T14:13:20Z)"),
            (Holding::UnderWay { execution: "arn:x:e1".into() }, "~ in/a b.csv  (execution e1)"),
            (Holding::Failed(failed), "! in/a b.csv  (RemoteFull, recorded 2026-11-27T09:02:00Z)"),
        ] {
            let finding = finding(holding);
            assert_eq!(text(&finding), line);
            assert_eq!(finding.json()["symbol"], line[..1]);
        }
    }

    #[test]
    fn what_the_server_has_is_said_where_it_is_not_as_expected() {
        let upload = upload("k", "v");
        let finding = |remote| Finding::of(&upload, Holding::Delivered(Outcome::Delivered), Some(remote));
        assert!(!finding(Remote::Same).is_odd() && !finding(Remote::Same).differs());
        let differs = finding(Remote::Differs { size: Some(5) });
        assert!(differs.is_odd() && differs.differs());
        assert_eq!(text(&differs), "= k  (on the server: 5 bytes instead of 7)");
        let missing = finding(Remote::Missing);
        assert!(missing.is_odd() && !missing.differs());
        assert!(text(&missing).contains("not on the server"), "{}", text(&missing));
    }
}
