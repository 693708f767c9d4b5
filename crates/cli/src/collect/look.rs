//! Looks at the directory: what is due, and what is not and why.

use std::collections::{HashMap, HashSet};

use bridge::Result;
use bridge::collect::{Afterwards, CollectCheckpoint, CollectPhase, ListCursor, RemoteFile};
use list_remote::{Listed, Verdict};

use super::entry::{Entry, Reason, Shown, Standing};
use super::runner::CollectRunner;
use super::seen::{self, KeyStatus};
use super::target::{Relation, Target};

/// What a look found of the target.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// Oldest first.
    pub(super) due: Vec<RemoteFile>,
    /// Those of them whose keys no object has, by their paths below the directory.
    pub(super) free: HashSet<String>,
    /// What cannot be collected as it is.
    pub(super) impossible: Vec<(String, Reason)>,
    /// Number of names that are passed over on purpose.
    pub(super) passed_over: usize,
    /// Why the target itself is not collected, if it is one name and passed over.
    pub(super) why_not: Option<String>,
}

impl Look {
    /// Looks once.
    pub(super) async fn at(runner: &CollectRunner, target: &Target) -> Result<Self> {
        let mut look = Self::default();
        runner.list(|listed| look.add(listed, target)).await?;
        look.due = runner.look_closely(&look.due).await?;
        look.due.sort_by_cached_key(ListCursor::of);
        Ok(look)
    }

    fn add(&mut self, Listed { path, verdict }: Listed, target: &Target) {
        let relation = target.relation(&path);
        if relation == Relation::Elsewhere {
            return;
        }
        let standing = match verdict {
            Verdict::Due(file) if relation == Relation::Within => return self.due.push(file),
            // A file has nothing below it.
            Verdict::Due(_) => return,
            verdict => Standing::of(&verdict),
        };
        if relation == Relation::Above || path == target.path() {
            self.why_not = standing.words().map(|words| format!("{path:?}: {words}"));
        }
        match standing {
            Standing::Impossible(reason) => self.impossible.push((path, reason)),
            _ if relation == Relation::Within => self.passed_over += 1,
            _ => {}
        }
    }

    /// Adds the files that a killed run has stored, and that are in their place no more: it may have archived them, and has
    /// written no receipt.
    pub(super) fn add_unfinished(&mut self, runner: &CollectRunner, target: &Target) {
        for CollectCheckpoint { file, phase, .. } in runner.states.left() {
            let is_stored = !matches!(phase, CollectPhase::Reading { .. });
            let is_there = self.due.iter().any(|due| due.path == file.path);
            if is_stored && !is_there && target.relation(&file.path) == Relation::Within {
                self.due.push(file);
            }
        }
    }

    /// Whether nothing is at the target.
    pub(super) fn found_nothing(&self) -> bool {
        self.due.is_empty() && self.impossible.is_empty() && self.passed_over == 0 && self.why_not.is_none()
    }

    /// Asks S3 for the objects of what is due. Takes out those that it has, if files are left where they are, and returns
    /// how many.
    pub(super) async fn ask_s3(&mut self, runner: &CollectRunner) -> usize {
        let statuses = match runner.collect_settings().afterwards {
            // What cannot be asked is tried: then the failure is that of the file.
            Afterwards::Leave => seen::statuses(runner, &self.due).await.unwrap_or_default(),
            _ => seen::statuses_by_list(runner, &self.due).await,
        };
        let before = self.due.len();
        let mut statuses = statuses.into_iter();
        self.due.retain(|file| {
            let status = statuses.next().unwrap_or(KeyStatus::Unknown);
            if status == KeyStatus::Free {
                self.free.insert(file.path.clone());
            }
            status != KeyStatus::File
        });
        before - self.due.len()
    }
}

/// What every name of the directory is, by two looks.
pub(super) struct Names {
    first: Option<HashMap<String, Shown>>,
}

impl Names {
    /// The first look.
    pub(super) async fn first(runner: &CollectRunner, target: &Target) -> Result<Self> {
        let mut first = HashMap::new();
        let mut note = |Listed { path, verdict }: Listed| {
            if let Verdict::Due(file) = verdict
                && target.relation(&path) == Relation::Within
            {
                first.insert(path, shown(&file));
            }
        };
        runner.list(&mut note).await?;
        Ok(Self { first: Some(first) })
    }

    /// With a single look, nothing is known to change.
    pub(super) fn without_first_look() -> Self {
        Self { first: None }
    }

    /// The second look: every name of the target, in order.
    pub(super) async fn second(self, runner: &CollectRunner, target: &Target) -> Result<Vec<Entry>> {
        let (mut entries, mut due) = (Vec::new(), Vec::new());
        runner
            .list(|Listed { path, verdict }| match verdict {
                _ if target.relation(&path) == Relation::Elsewhere => {}
                Verdict::Due(file) => {
                    let now = shown(&file);
                    match self.change(&path, now) {
                        Some(change) => entries.push(entry(path, Standing::Changing(now, change))),
                        None => due.push(file),
                    }
                }
                verdict => entries.push(entry(path, Standing::of(&verdict))),
            })
            .await?;
        let due = runner.look_closely(&due).await?;
        let statuses = seen::statuses(runner, &due).await?;
        let keeps = runner.collect_settings().afterwards == Afterwards::Leave;
        for (file, status) in due.into_iter().zip(statuses) {
            let standing = match (status == KeyStatus::File, keeps) {
                (false, _) => Standing::Due,
                (true, false) => Standing::ToSettle,
                (true, true) => Standing::Collected,
            };
            let object = runner.object(&file);
            entries.push(Entry { standing: standing(shown(&file)), path: file.path, object });
        }
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(entries)
    }

    /// What the second look shows of a file that the first one did not.
    fn change(&self, path: &str, now: Shown) -> Option<String> {
        match self.first.as_ref()?.get(path) {
            None => Some("it came between the two looks".into()),
            Some(before) if *before == now => None,
            Some(before) if before.size != now.size => {
                Some(format!("it is still changing: it had {} bytes in the first look", before.size))
            }
            Some(_) => Some("it is still changing: it had another time in the first look".into()),
        }
    }
}

fn shown(file: &RemoteFile) -> Shown {
    Shown { size: file.size, modified: file.modified }
}

fn entry(path: String, standing: Standing) -> Entry {
    Entry { path, object: String::new(), standing }
}
