//! Keys of the receipts of collections.

use super::VersionMark;
use super::segments::{compact, execution_field, expanded, object_part, object_prefix, to_the_second};
use crate::collect::{CollectOutcome, CollectReceipt, RemoteFile};

const FILES: &str = "receipts/objects/";
const DAYS: &str = "receipts/collected/";

/// What the name of each file begins with.
const SCHEME: &str = "sftp://";

/// Key of the receipt that answers: was this file collected?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectReceiptKey {
    /// `sftp://HOST/PATH`, as it stands in the record's key: a long one is cut.
    pub file: String,
    /// Its size and time.
    pub version: VersionMark,
    /// How the collection ended.
    pub outcome: CollectOutcome,
}

impl CollectReceiptKey {
    /// Of a receipt.
    pub fn new(receipt: &CollectReceipt) -> Self {
        let file = &receipt.file;
        Self { file: object_part(&file.url()), version: file.into(), outcome: receipt.outcome }
    }

    /// The prefix of the receipts of one file, of this size and time.
    pub fn prefix_of(file: &RemoteFile) -> String {
        format!("{}{}/", Self::prefix(&file.url()), VersionMark::from(file).as_str())
    }

    /// The prefix of the receipts of a file, of every size and time.
    pub fn prefix(url: &str) -> String {
        format!("{FILES}{}/", object_part(url))
    }

    /// The prefix of the receipts of all files whose names begin so, however long they are. Receipts of other long names may
    /// have it, too.
    pub fn below(url: &str) -> String {
        format!("{FILES}{}", object_prefix(url))
    }

    /// Reads a key. `None` if it is not of this kind.
    pub fn parse(key: &str) -> Option<Self> {
        let (rest, outcome) = key.strip_prefix(FILES)?.rsplit_once('/')?;
        let (file, version) = rest.rsplit_once('/')?;
        let outcome = CollectOutcome::parse(outcome.strip_suffix(".json")?)?;
        let key = Self { file: file.to_owned(), version: VersionMark::parse(version), outcome };
        key.file.starts_with(SCHEME).then_some(key)
    }
}

impl std::fmt::Display for CollectReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{FILES}{}/{}/{}.json", self.file, self.version.as_str(), self.outcome.as_str())
    }
}

/// Key of the receipt that answers: what was collected on this day?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DayCollectReceiptKey {
    /// When the collection ended, RFC 3339 in UTC, to the second.
    pub finished_at: String,
    /// How it ended.
    pub outcome: CollectOutcome,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// The execution's name.
    pub execution: String,
}

impl DayCollectReceiptKey {
    /// Of a receipt. `execution` is the execution's name.
    pub fn new(receipt: &CollectReceipt, execution: &str) -> Self {
        Self {
            finished_at: to_the_second(&receipt.finished_at),
            outcome: receipt.outcome,
            bytes: receipt.file.size,
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
            outcome: CollectOutcome::parse(fields.next()?)?,
            bytes: fields.next()?.parse().ok()?,
            execution: fields.next()?.to_owned(),
        };
        fields.next().is_none().then_some(key)
    }
}

impl std::fmt::Display for DayCollectReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { finished_at, outcome, bytes, execution } = self;
        let day = finished_at.get(..10).unwrap_or("undated");
        write!(f, "{DAYS}{day}/{},{},{bytes},{execution}.json", compact(finished_at), outcome.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReceiptKey;

    #[test]
    fn keys_go_there_and_back() {
        let file = RemoteFile {
            host: "sftp.example.com".into(),
            directory: "/out".into(),
            path: "a b,c.csv".into(),
            size: 5,
            modified: Some(7),
        };
        let outcome = CollectOutcome::AlreadyCollected;
        let key = CollectReceiptKey { file: file.url(), version: (&file).into(), outcome };
        let text = "receipts/objects/sftp://sftp.example.com//out/a b,c.csv/5-7/already_collected.json";
        assert_eq!((key.to_string().as_str(), CollectReceiptKey::parse(text)), (text, Some(key)));
        assert!(text.starts_with(&CollectReceiptKey::prefix_of(&file)));
        assert!(text.starts_with(&CollectReceiptKey::below("sftp://sftp.example.com//out/a")));
        let untimed = RemoteFile { modified: None, ..file };
        assert_eq!(VersionMark::from(&untimed).as_str(), "5-unknown");

        let key = DayCollectReceiptKey {
            finished_at: "2026-11-27T09:15:00Z".into(),
            outcome: CollectOutcome::Collected,
            bytes: 12,
            execution: "a.csv-0f".into(),
        };
        let text = "receipts/collected/2026-11-27/20261127T091500Z,collected,12,a.csv-0f.json";
        assert_eq!((key.to_string().as_str(), DayCollectReceiptKey::parse(text)), (text, Some(key)));
        assert!(DayCollectReceiptKey::before("2026-11-27T09:15:00Z").as_str() < text);
    }

    #[test]
    fn receipts_of_one_direction_are_not_taken_for_those_of_the_other() {
        for delivered in ["receipts/objects/in/a/v/skipped.json", "receipts/days/2026-11-27/x.json", ""] {
            assert_eq!(CollectReceiptKey::parse(delivered), None, "{delivered}");
            assert_eq!(DayCollectReceiptKey::parse(delivered), None, "{delivered}");
        }
        let collected = "receipts/objects/sftp://h/a/5-7/collected.json";
        assert_eq!(ReceiptKey::parse(collected), None);
    }
}
