//! One look: walks through the directory, and starts what is due, until nothing is left or enough is started. Before a
//! file is started, it is looked at alone, within the same session.

use std::sync::Arc;

use bridge::collect::{ATTEMPTS_MAX, ListCursor, ListProgress, RemoteFile, Unnameable};
use bridge::{Error, ErrorName, Result};
use sftp::Sftp;
use tokio::task::JoinSet;

use crate::again::{Sample, Standing};
use crate::call::Call;
use crate::collections::{Collections, FLIGHT, Start};
use crate::confirm::{self, confirm};
use crate::purge::{Archives, Purged, oldest_kept, purge};
use crate::selection::Selection;
use crate::verdict::{Confirmed, Listed, Verdict};
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
    /// Files that were started before.
    before: Sample,
    /// A directory was not read to its end.
    has_gaps: bool,
}

/// How a walk ended, and the start of what it found.
struct Pass {
    walked: Walked,
    /// Files were left to another walk.
    is_cut: bool,
    started: Started,
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
        let (archives, before) = (Archives::default(), Sample::default());
        Self { call, collections, progress, cursor, archives, before, has_gaps: false }
    }

    /// Whether the look is at its end, and has seen everything. Only then are the failures of earlier looks settled.
    pub(crate) fn is_complete(&self) -> bool {
        self.progress.cursor.is_none() && !self.has_gaps
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
            let Pass { walked, is_cut, started } = self.pass().await?;
            match (started, walked) {
                // The next call has all its time for this walk.
                (Started::All, Walked::CutOff) if walks > 1 => {
                    self.leave_to_the_next_call();
                    return Ok(());
                }
                (Started::All, Walked::CutOff) => self.cut_off(self.progress.started > already)?,
                (Started::All, _) if is_cut => continue,
                (Started::OutOfTime, _) => {
                    self.leave_to_the_next_call();
                    return Ok(());
                }
                // What was found is started. The rest is not seen by any look until somebody is told.
                (Started::All | Started::Enough, Walked::BrokenOff(error)) => return Err(error),
                (Started::All, Walked::Whole) | (Started::Enough, _) => {}
            }
            break;
        }
        self.start_again().await;
        self.purge().await;
        Ok(())
    }

    /// The directory could not be walked through in one call. What was found is started. The rest may be found by the
    /// next look, once these are out of the way.
    fn cut_off(&mut self, has_started: bool) -> Result<()> {
        self.has_gaps = true;
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

    /// Walks through the directory once, and starts what was found.
    async fn pass(&mut self) -> Result<Pass> {
        let call = self.call;
        let passing = call.with_session(async |session| {
            let sftp = session.sftp();
            let mut selection = Selection::new(call.deps.limits);
            let walked = self.walk(sftp, &mut selection).await?;
            let is_cut = selection.is_cut();
            Ok(Pass { walked, is_cut, started: self.start(sftp, selection).await? })
        });
        passing.await
    }

    async fn walk(&mut self, sftp: &Arc<Sftp>, selection: &mut Selection) -> Result<Walked> {
        let call = self.call;
        // Later walks of the look count nothing: they see the same again.
        let counts = self.cursor.is_none();
        let mut walk = Walk::new(sftp, call.judge(), call.deps.limits, call.walk_stop);
        let walked = walk
            .run(&mut async |listed: Listed| {
                self.add(listed, counts, selection);
                Ok(())
            })
            .await?;
        if counts {
            self.progress.seen = walk.seen;
        }
        tracing::info!(seen = walk.seen, due = selection.len(), ?walked, "walked through the directory");
        Ok(walked)
    }

    fn add(&mut self, Listed { path, verdict }: Listed, counts: bool, selection: &mut Selection) {
        self.has_gaps |= matches!(verdict, Verdict::Unreadable(_));
        match verdict {
            Verdict::Due(file) => {
                // Whatever the cursor says: each call asks about a part of them.
                if self.collections.knows(&file) && !self.collections.knows_stored(&file) {
                    self.before.offer(&file);
                }
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
    async fn start(&mut self, sftp: &Arc<Sftp>, selection: Selection) -> Result<Started> {
        let deps = self.call.deps;
        let most = u64::from(deps.collect.max_files);
        let mut files = selection.into_files(&deps.settings.host, &deps.collect.directory).peekable();
        while files.peek().is_some() {
            let room = usize::try_from(most.saturating_sub(self.progress.started)).unwrap_or(usize::MAX);
            if room == 0 {
                return Ok(Started::Enough);
            }
            let listed: Vec<RemoteFile> = files.by_ref().take(room.min(confirm::FLIGHT)).collect();
            let confirmed = confirm(sftp, self.call.judge(), &listed).await?;
            for (listed, confirmed) in listed.chunks(FLIGHT).zip(confirmed.chunks(FLIGHT)) {
                if !self.start_flight(listed, confirmed).await? {
                    return self.out_of_time();
                }
            }
        }
        Ok(Started::All)
    }

    /// Starts the executions of at most [`FLIGHT`] files. The cursor follows what was listed, as the walks do. False if
    /// there was no time.
    async fn start_flight(&mut self, listed: &[RemoteFile], confirmed: &[Confirmed]) -> Result<bool> {
        let since = bridge::unix_seconds(&self.call.input.execution.start_time);
        let unknown = |confirmed: &Confirmed| match confirmed {
            Confirmed::Due(file) if !self.collections.knows(file) => Some(file.clone()),
            Confirmed::Due(_) | Confirmed::PassedOver | Confirmed::Gone => None,
        };
        let unknown: Vec<Option<RemoteFile>> = confirmed.iter().map(unknown).collect();
        let due: Vec<RemoteFile> = unknown.iter().flatten().cloned().collect();
        let starting = self.collections.start(&due, since);
        let Ok(started) = tokio::time::timeout(self.call.stop.remaining(), starting).await else {
            return Ok(false);
        };
        let mut started = started.into_iter();
        for ((listed, confirmed), unknown) in listed.iter().zip(confirmed).zip(unknown) {
            let start = match unknown {
                Some(_) => started.next().unwrap_or(Ok(Start::Before))?,
                None => Start::Before,
            };
            match (confirmed, start) {
                (Confirmed::Due(_), Start::Now) => self.progress.started += 1,
                (Confirmed::Due(file), Start::Before) => {
                    self.progress.started_before += 1;
                    self.before.offer(file);
                }
                (Confirmed::PassedOver, _) => self.progress.passed_over += 1,
                (Confirmed::Gone, _) => {}
            }
            self.cursor = Some(ListCursor::of(listed));
        }
        Ok(true)
    }

    /// Starts further executions of files whose executions have stored nothing, if time is left. What fails is left to the
    /// next look.
    async fn start_again(&mut self) {
        let (files, time) = (self.before.take(), self.call.stop.remaining());
        let starting = async {
            let files = self.with_nothing_stored(files).await?;
            if files.is_empty() {
                return Ok(());
            }
            let call = self.call;
            let listed: Vec<RemoteFile> = files.iter().map(|(file, _)| file.clone()).collect();
            let confirming =
                call.with_session(async |session| confirm(session.sftp(), call.judge(), &listed).await);
            let since = bridge::unix_seconds(&call.input.execution.start_time);
            for ((file, attempt), confirmed) in files.iter().zip(confirming.await?) {
                let has_room = self.progress.started < u64::from(call.deps.collect.max_files);
                if has_room
                    && confirmed == Confirmed::Due(file.clone())
                    && self.collections.start_one(file, *attempt, since).await? == Start::Now
                {
                    self.progress.started += 1;
                    self.progress.started_before = self.progress.started_before.saturating_sub(1);
                }
            }
            Ok::<(), Error>(())
        };
        let outcome = tokio::time::timeout(time, starting).await;
        if let Ok(Err(error)) = outcome {
            self.warn(format!("files that may have come back were not started again: {error}"));
        }
    }

    /// Those of these files whose executions have stored nothing, with the number of the next one.
    async fn with_nothing_stored(&mut self, files: Vec<RemoteFile>) -> Result<Vec<(RemoteFile, u32)>> {
        let mut flight = JoinSet::new();
        for file in files {
            let collections = Arc::clone(self.collections);
            flight.spawn(async move { (collections.standing(&file).await, file) });
        }
        let mut nothing = Vec::new();
        while let Some(asked) = flight.join_next().await {
            let Ok((standing, file)) = asked else { continue };
            let standing = standing.map_err(|error| {
                ErrorName::StepFunctionsUnavailable
                    .error(format!("asking how executions have ended: {error}"))
            })?;
            match standing {
                Standing::Open => {}
                Standing::Stored => self.collections.add_stored(&file),
                Standing::Nothing(attempt) => nothing.push((file, attempt)),
                Standing::GivenUp => self.warn(format!(
                    "{:?} is not collected: {ATTEMPTS_MAX} executions have found it gone or changed. Give it a new time \
                     (touch) or another name",
                    file.remote_path()
                )),
            }
        }
        nothing.sort_unstable_by_key(|(file, _)| ListCursor::of(file));
        Ok(nothing)
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
