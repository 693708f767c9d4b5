//! Keys of receipts.

use super::VersionMark;
use super::segments::{compact, execution_field, expanded, object_part, object_prefix, to_the_second};
use crate::{Outcome, Receipt};

const OBJECTS: &str = "receipts/objects/";
const DAYS: &str = "receipts/days/";

/// Key of the receipt that answers: was this version delivered?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptKey {
    /// The object's key, as it stands in the record's key: a long one is cut.
    pub object: String,
    /// The upload.
    pub version: VersionMark,
    /// How the delivery ended.
    pub outcome: Outcome,
}

impl ReceiptKey {
    /// Of a receipt.
    pub fn new(receipt: &Receipt) -> Self {
        let object = &receipt.object;
        Self { object: object_part(&object.object_key), version: object.into(), outcome: receipt.outcome }
    }

    /// The prefix of the receipts of this object, or of all objects whose keys begin so.
    pub fn prefix(object_key: &str) -> String {
        format!("{OBJECTS}{}", object_part(object_key))
    }

    /// The prefix of the receipts of all objects whose keys begin with `prefix`, however long they are. Receipts of other
    /// long keys may have it, too.
    pub fn below(prefix: &str) -> String {
        format!("{OBJECTS}{}", object_prefix(prefix))
    }

    /// The prefix of the receipts of one upload.
    pub fn prefix_of(object_key: &str, version: &VersionMark) -> String {
        format!("{OBJECTS}{}/{}/", object_part(object_key), version.as_str())
    }

    /// Reads a key. `None` if it is not of this kind.
    pub fn parse(key: &str) -> Option<Self> {
        let (object, rest) = key.strip_prefix(OBJECTS)?.rsplit_once('/')?;
        let (object, version) = object.rsplit_once('/')?;
        let outcome = Outcome::parse(rest.strip_suffix(".json")?)?;
        Some(Self { object: object.to_owned(), version: VersionMark::parse(version), outcome })
    }
}

impl std::fmt::Display for ReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{OBJECTS}{}/{}/{}.json", self.object, self.version.as_str(), self.outcome.as_str())
    }
}

/// Key of the receipt that answers: what was delivered on this day?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayReceiptKey {
    /// When the delivery ended, RFC 3339 in UTC, to the second.
    pub finished_at: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Size of the object in bytes, 0 if unknown.
    pub bytes: u64,
    /// The execution's name.
    pub execution: String,
}

impl DayReceiptKey {
    /// Of a receipt. `execution` is the execution's name.
    pub fn new(receipt: &Receipt, execution: &str) -> Self {
        Self {
            finished_at: to_the_second(&receipt.finished_at),
            outcome: receipt.outcome,
            bytes: receipt.object.size.unwrap_or_default(),
            execution: execution_field(execution),
        }
    }

    /// The prefix of a day's receipts. `day` is `2026-11-27`.
    pub fn prefix(day: &str) -> String {
        format!("{DAYS}{day}/")
    }

    /// A key after which that day's receipts of this moment and later begin. `moment` is RFC 3339 in UTC.
    pub fn before(moment: &str) -> String {
        format!("{}{}", Self::prefix(moment.get(..10).unwrap_or("undated")), compact(moment))
    }

    /// Reads a key. `None` if it is not of this kind.
    pub fn parse(key: &str) -> Option<Self> {
        let (_, name) = key.strip_prefix(DAYS)?.split_once('/')?;
        let mut fields = name.strip_suffix(".json")?.split(',');
        let key = Self {
            finished_at: expanded(fields.next()?)?,
            outcome: Outcome::parse(fields.next()?)?,
            bytes: fields.next()?.parse().ok()?,
            execution: fields.next()?.to_owned(),
        };
        fields.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for DayReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { finished_at, outcome, bytes, execution } = self;
        let day = finished_at.get(..10).unwrap_or("undated");
        write!(f, "{DAYS}{day}/{},{},{bytes},{execution}.json", compact(finished_at), outcome.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_there_and_back() {
        let key = ReceiptKey {
            object: "in/a b//c,d".into(),
            version: VersionMark::new(None, Some("e"), Some(7)),
            outcome: Outcome::AlreadyDelivered,
        };
        assert_eq!(key.to_string(), "receipts/objects/in/a b//c,d/e@7/already_delivered.json");
        assert_eq!(ReceiptKey::parse(&key.to_string()), Some(key));
        let key = DayReceiptKey {
            finished_at: "2026-11-27T09:15:00Z".into(),
            outcome: Outcome::Delivered,
            bytes: 12,
            execution: "e-1_f".into(),
        };
        assert_eq!(key.to_string(), "receipts/days/2026-11-27/20261127T091500Z,delivered,12,e-1_f.json");
        assert_eq!(DayReceiptKey::parse(&key.to_string()), Some(key.clone()));
        let before = DayReceiptKey::before(&key.finished_at);
        assert!(
            before < key.to_string() && before.starts_with(&DayReceiptKey::prefix("2026-11-27")),
            "{before}"
        );
        assert!(DayReceiptKey::before("2026-11-27T09:15:01Z") > key.to_string());
        for odd in ["receipts/days/2026-11-27/x.json", "receipts/objects/a", "failures/open/a", ""] {
            assert_eq!((ReceiptKey::parse(odd), DayReceiptKey::parse(odd)), (None, None), "{odd}");
        }
    }
}
