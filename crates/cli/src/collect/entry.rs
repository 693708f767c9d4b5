//! What is said of a name in the directory.

use list_remote::Verdict;
use serde_json::{Value, json};

use crate::moments::rfc3339;
use crate::output::{Span, Style};

/// A name in the directory, or below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Below the directory.
    pub(super) path: String,
    /// `s3://BUCKET/KEY` of the object that it becomes or has become. Empty if it becomes none.
    pub(super) object: String,
    pub(super) standing: Standing,
}

/// A file by its size and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) size: u64,
    pub(super) modified: Option<u32>,
}

/// A stack takes a file of the same size and time once.
const TO_SETTLE: &str = "S3 has it; it is still to be archived or deleted. If its execution has ended, no look starts another one for 90 days, and this command does it";

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Due(Shown),
    /// S3 has it. It is still to be archived or deleted.
    ToSettle(Shown),
    /// The second look showed something else than the first one; says what.
    Changing(Shown, String),
    /// S3 has it, and nothing is left to do.
    Collected(Shown),
    PassedOver(Reason),
    /// It can never be collected as it is.
    Impossible(Reason),
}

/// Why a name is not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    /// For programs.
    pub(super) kind: &'static str,
    /// The end of a sentence.
    pub(super) words: String,
}

impl Standing {
    /// Of an entry that is not due.
    pub(super) fn of(verdict: &Verdict) -> Self {
        let words = verdict.reason().unwrap_or_default().into_owned();
        let reason = |kind| Reason { kind, words };
        match verdict {
            Verdict::Excluded(_) => Self::PassedOver(reason("excluded")),
            Verdict::Empty => Self::PassedOver(reason("empty")),
            Verdict::MarkerMissing(_) => Self::PassedOver(reason("marker_missing")),
            Verdict::Marker => Self::PassedOver(reason("marker")),
            Verdict::NotNewest => Self::PassedOver(reason("not_newest")),
            Verdict::Link => Self::PassedOver(reason("link")),
            Verdict::Special => Self::PassedOver(reason("special")),
            Verdict::Directory => Self::PassedOver(reason("directory")),
            Verdict::Archive => Self::PassedOver(reason("archive")),
            Verdict::Unnameable(_) => Self::Impossible(reason("unnameable")),
            Verdict::SizeUnknown => Self::Impossible(reason("size_unknown")),
            Verdict::TooDeep => Self::Impossible(reason("too_deep")),
            Verdict::Unreadable(_) => Self::Impossible(reason("unreadable")),
            _ => Self::PassedOver(reason("other")),
        }
    }

    pub(super) fn symbol(&self) -> char {
        match self {
            Self::Due(_) | Self::ToSettle(_) => '+',
            Self::Changing(..) => '~',
            Self::Collected(_) => '=',
            Self::PassedOver(_) => '-',
            Self::Impossible(_) => '!',
        }
    }

    /// For programs.
    fn name(&self) -> &'static str {
        match self {
            Self::Due(_) => "due",
            Self::ToSettle(_) => "to_settle",
            Self::Changing(..) => "changing",
            Self::Collected(_) => "collected",
            Self::PassedOver(reason) | Self::Impossible(reason) => reason.kind,
        }
    }

    /// Whether `collect` has something to do with it.
    pub(super) fn is_due(&self) -> bool {
        matches!(self, Self::Due(_) | Self::ToSettle(_))
    }

    fn shown(&self) -> Option<Shown> {
        match self {
            Self::Due(shown) | Self::ToSettle(shown) | Self::Changing(shown, _) | Self::Collected(shown) => {
                Some(*shown)
            }
            Self::PassedOver(_) | Self::Impossible(_) => None,
        }
    }

    fn style(&self) -> Style {
        match self {
            Self::Due(_) | Self::ToSettle(_) => Style::Good,
            Self::Changing(..) => Style::Warning,
            Self::Impossible(_) => Style::Bad,
            Self::Collected(_) | Self::PassedOver(_) => Style::Plain,
        }
    }

    /// Why it is not simply due.
    pub(super) fn words(&self) -> Option<&str> {
        match self {
            Self::Due(_) => None,
            Self::ToSettle(_) => Some(TO_SETTLE),
            Self::Collected(_) => Some("S3 has it"),
            Self::Changing(_, words) => Some(words),
            Self::PassedOver(reason) | Self::Impossible(reason) => Some(&reason.words),
        }
    }
}

impl Entry {
    pub(super) fn line(&self) -> Vec<Span> {
        let symbol = Span::new(self.standing.style(), self.standing.symbol().to_string());
        let mut notes: Vec<String> = Vec::new();
        if let Some(Shown { size, .. }) = self.standing.shown() {
            notes.push(format!("{size} bytes"));
        }
        if self.standing.is_due() {
            notes.push(format!("to {}", self.object));
        }
        notes.extend(self.standing.words().map(str::to_owned));
        vec![symbol, format!(" {}", self.path).into(), format!("  ({})", notes.join("; ")).into()]
    }

    pub(super) fn json(&self) -> Value {
        let shown = self.standing.shown();
        let mut json = json!({
            "symbol": self.standing.symbol().to_string(),
            "state": self.standing.name(),
            "due": self.standing.is_due(),
            "path": self.path,
        });
        if let Some(Shown { size, modified }) = shown {
            json["size"] = size.into();
            json["modified"] = modified.map(|seconds| rfc3339(seconds.into())).into();
        }
        if !self.object.is_empty() {
            json["object"] = self.object.as_str().into();
        }
        if let Some(words) = self.standing.words() {
            json["reason"] = words.into();
        }
        json
    }
}
