//! One line of an object's history.

use serde_json::{Value, json};

use crate::moments::rfc3339;
use crate::output::{Span, Style};

/// One line of an object's history.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Seconds since 1970.
    pub(super) at: i64,
    pub(super) event: Event,
    /// For people.
    pub(super) text: String,
    /// For programs.
    pub(super) details: Value,
}

/// What happened. In this order if it was at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Uploaded,
    Deleted,
    Started,
    Attempt,
    Failure,
    Settled,
    Ended,
    Receipt,
}

impl Event {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uploaded => "uploaded",
            Self::Deleted => "deleted",
            Self::Started => "started",
            Self::Attempt => "attempt",
            Self::Failure => "failure",
            Self::Settled => "settled",
            Self::Ended => "ended",
            Self::Receipt => "receipt",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Receipt => Style::Good,
            Self::Failure => Style::Bad,
            Self::Attempt => Style::Warning,
            Self::Uploaded | Self::Deleted | Self::Started | Self::Settled | Self::Ended => Style::Plain,
        }
    }
}

impl Entry {
    pub(super) fn new(at: i64, event: Event, text: impl Into<String>, details: Value) -> Self {
        Self { at, event, text: text.into(), details }
    }

    pub(super) fn cells(&self) -> Vec<Span> {
        let event = Span::new(self.event.style(), self.event.name());
        vec![rfc3339(self.at).into(), event, self.text.as_str().into()]
    }

    pub(super) fn json(&self) -> Value {
        json!({"at": rfc3339(self.at), "event": self.event.name(), "details": self.details})
    }
}
