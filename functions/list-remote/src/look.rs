//! One look: walks through the directory, and starts what is due, until nothing is left or enough is started.

use std::sync::Arc;

use bridge::collect::{ListCursor, ListProgress, RemoteFile, Unnameable};
use bridge::{Error, ErrorName, Result};

use crate::call::Call;
use crate::collections::{Collections, FLIGHT, Start};
use crate::purge::{Archives, Purged, oldest_kept, purge};
use crate::selection::Selection;
use crate::verdict::{Listed, Verdict};
use crate::walk::{Walk, Walked};

/// Maximum number of names in the result that make no object key.
const UNNAMEABLE_MAX: usize = 20;
/// Maximum number of those that are logged.
const LOGGED_MAX: u64 = 1_000;
/// Maximum number of warnings in the result.
const WARNINGS_MAX: usize = 20;
/// Maximum length of a path or reason in the result, in characters.
const WORDS_MAX: usize = 400;

/// The work of one call.
pub(crate) struct Look<'a> {
    call: &'a Call<'a>,
    collections: &'a Arc<Collections>,
    /// What is returned.
    pub(crate) progress: ListProgress,
    /// The last file that was started, or is known to be.
    cursor: Option<ListCursor>,
    archives: Archives,
}

/// What a walk found.
struct Found {
    selection: Selection,
    walked: Walked,
}

/// How starting the files of a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Started {
    All,
    /// `COLLECT_MAX_FILES`.
    Enough,
    OutOfTime,
}

impl<'a> Look<'a> {
    pub(crate) fn new(call: &'a Call<'a>, collections: &'a Arc<Collections>) -> Self {
        let mut progress = call.input.listing.clone().unwrap_or_default();
        let cursor = progress.cursor.take();
        Self { call, collections, progress, cursor, archives: Archives::default() }
    }

    /// Whether this call has come further than the one before it.
    pub(crate) fn has_progressed(&self) -> bool {
        self.cursor.is_some() && self.cursor.as_ref() != self.call.input.cursor()
    }

    /// Lets the next call go on behind the last file.
    pub(crate) fn leave_to_the_next_call(&mut self) {
        self.progress.cursor = self.cursor.clone();
    }

    /// Runs until the look is complete, or time runs short. Then the progress has a cursor.
    pub(crate) async fn run(&mut self) -> Result<()> {
        let already = self.progress.started;
        for walks in 1_u64.. {
            let Found { selection, walked } = self.walk().await?;
            let is_cut = selection.is_cut();
            match self.start(selection).await? {
                // The next call has all its time for this walk.
                Started::All if walked == Walked::CutOff && walks > 1 => {
                    self.leave_to_the_next_call();
                    return Ok(());
                }
                Started::All if walked == Walked::CutOff => self.cut_off(self.progress.started > already)?,
                Started::All if is_cut => continue,
                Started::All | Started::Enough => {}
                Started::OutOfTime => {
                    self.leave_to_the_next_call();
                    return Ok(());
                }
            }
            break;
        }
        self.purge().await;
        Ok(())
    }

    /// The directory could not be walked through in one call. What was found is started. The rest may be found by the
    /// next look, once these are out of the way.
    fn cut_off(&mut self, has_started: bool) -> Result<()> {
        let why = format!(
            "the server listed {} names of COLLECT_DIRECTORY before time ran out: the rest was not seen. Collect from a smaller \
             directory, or give ListRemote more time",
            self.progress.seen
        );
        if !has_started {
            return Err(ErrorName::RemoteFailure.error(why));
        }
        self.warn(why);
        Ok(())
    }

    /// Walks through the directory once.
    async fn walk(&mut self) -> Result<Found> {
        let call = self.call;
        // Later walks of the look count nothing: they see the same again.
        let counts = self.cursor.is_none();
        let mut selection = Selection::new(call.deps.limits);
        let walking = call.with_session(async |session| {
            let mut walk = Walk::new(session.sftp(), call.judge(), call.deps.limits, call.walk_stop);
            let walked = walk
                .run(&mut async |listed: Listed| {
                    self.add(listed, counts, &mut selection);
                    Ok(())
                })
                .await?;
            Ok((walked, walk.seen))
        });
        let (walked, seen) = walking.await?;
        if counts {
            self.progress.seen = seen;
        }
        tracing::info!(seen, due = selection.len(), ?walked, "walked through the directory");
        Ok(Found { selection, walked })
    }

    fn add(&mut self, Listed { path, verdict }: Listed, counts: bool, selection: &mut Selection) {
        match verdict {
            Verdict::Due(file) => {
                if self.cursor.as_ref().is_some_and(|cursor| ListCursor::of(&file) <= *cursor) {
                    return;
                }
                if !self.collections.knows(&file) {
                    selection.add(file);
                } else if counts {
                    self.progress.started_before += 1;
                }
            }
            Verdict::Archive => self.archive(&path),
            _ if !counts => {}
            Verdict::Unnameable(reason) => self.unnameable(&path, &reason),
            Verdict::SizeUnknown | Verdict::TooDeep | Verdict::Unreadable(_) => {
                let (path, reason) =
                    (self.call.judge().on_server(&path), verdict.reason().unwrap_or_default());
                self.warn(format!("{path:?} is not collected: {reason}"));
            }
            Verdict::Directory => {}
            verdict => self.progress.passed_over += u64::from(verdict.is_passed_over()),
        }
    }

    /// Only the archive of the settings is cleared.
    fn archive(&mut self, path: &str) {
        let judge = self.call.judge();
        let on_server = judge.on_server(path);
        if judge.archive_of(path).is_some_and(|archive| archive.trim_end_matches('/') == on_server) {
            self.archives.add(on_server);
        }
    }

    fn unnameable(&mut self, path: &str, reason: &str) {
        self.progress.unnameable_count += 1;
        if self.progress.unnameable_count <= LOGGED_MAX {
            tracing::warn!(path, reason, "a file that cannot be collected under its name");
        }
        if self.progress.unnameable.len() < UNNAMEABLE_MAX {
            self.progress.unnameable.push(Unnameable { path: cut(path), reason: cut(reason) });
        }
    }

    fn warn(&mut self, warning: String) {
        if self.progress.warnings.len() < WARNINGS_MAX {
            tracing::warn!(warning, "the look goes on");
            self.progress.warnings.push(cut(&warning));
        }
    }

    /// Starts the executions of these files, oldest first.
    async fn start(&mut self, selection: Selection) -> Result<Started> {
        let deps = self.call.deps;
        let since = bridge::unix_seconds(&self.call.input.execution.start_time);
        let mut files = selection.into_files(&deps.settings.host, &deps.collect.directory).peekable();
        while files.peek().is_some() {
            let most = u64::from(deps.collect.max_files);
            let room = usize::try_from(most.saturating_sub(self.progress.started)).unwrap_or(FLIGHT);
            if room == 0 {
                return Ok(Started::Enough);
            }
            let flight: Vec<RemoteFile> = files.by_ref().take(FLIGHT.min(room)).collect();
            let stop = self.call.stop.remaining();
            let Ok(started) = tokio::time::timeout(stop, self.collections.start(&flight, since)).await else {
                return self.out_of_time();
            };
            for (file, started) in flight.iter().zip(started) {
                match started? {
                    Start::Now => self.progress.started += 1,
                    Start::Before => self.progress.started_before += 1,
                }
                self.cursor = Some(ListCursor::of(file));
            }
        }
        Ok(Started::All)
    }

    fn out_of_time(&self) -> Result<Started> {
        if self.has_progressed() {
            return Ok(Started::OutOfTime);
        }
        Err(ErrorName::StepFunctionsUnavailable.error("starting executions: no answer before time ran out"))
    }

    /// Deletes old files of the archives, if time is left.
    async fn purge(&mut self) {
        let call = self.call;
        let (days, now) =
            (call.deps.collect.archive_days, bridge::unix_seconds(&call.input.execution.start_time));
        let (Some(days), Some(now)) = (days, now) else { return };
        if call.stop.has_passed() || !self.collections.clears(now) {
            return;
        }
        // It may be outside of the directory.
        if let Some(archive) = call.judge().archive_of("") {
            self.archives.add(archive.trim_end_matches('/').to_owned());
        }
        let (oldest, mut purged) = (oldest_kept(days, now), Purged::default());
        let purging = call.with_session(async |session| {
            let names = call.deps.limits.names;
            purge(session.sftp(), &self.archives, oldest, names, call.stop, &mut purged).await
        });
        let outcome = purging.await;
        self.progress.purged += purged.count;
        let problem = outcome.err().as_ref().map(Error::to_string).or(purged.refused);
        if let Some(problem) = problem {
            self.warn(format!("COLLECT_ARCHIVE_DAYS: archived files could not be deleted: {problem}"));
        }
    }
}

/// As much of a text as the result may hold.
fn cut(text: &str) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
