//! A walk through the directory and those below it. It holds the entries of one packet, and the paths of directories
//! that wait to be read.

use std::sync::Arc;

use bridge::{Deadline, ErrorName, Result};
use partner::files::Reply;
use sftp::{Attributes, DirectoryEntry, FileType, Sftp};
use tokio::task::JoinSet;

use crate::judge::{Judge, Kind, Named, Newest};
use crate::limits::Limits;
use crate::markers::Markers;
use crate::verdict::{Listed, Verdict};

/// Maximum number of LSTATs in flight, where the server tells too little in its listing.
const LOOKS_MAX: usize = 64;

/// How a walk ended.
#[derive(Debug)]
pub(crate) enum Walked {
    /// Every directory was read.
    Whole,
    /// The stop came first.
    CutOff,
    /// The server refused to list the directory that is collected to its end. What it listed was given, and the
    /// directories below it were read.
    BrokenOff(bridge::Error),
}

/// A walk within one session.
pub(crate) struct Walk<'a> {
    sftp: &'a Arc<Sftp>,
    judge: Judge<'a>,
    limits: Limits,
    /// No directory and no packet is asked for after this.
    stop: Deadline,
    /// Directories that wait to be read, the next one last.
    waiting: Vec<Below>,
    /// Length of their paths.
    waiting_bytes: usize,
    /// Names that were read, those of the markers twice.
    read: u64,
    /// Names that were seen.
    pub(crate) seen: u64,
    /// Why the directory that is collected was not read to its end.
    broken_off: Option<String>,
}

/// A directory that is collected, or one below it.
#[derive(Clone, Debug)]
struct Below {
    path: String,
    /// 0 for the one that is collected.
    depth: u32,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(sftp: &'a Arc<Sftp>, judge: Judge<'a>, limits: Limits, stop: Deadline) -> Self {
        let waiting = vec![Below { path: String::new(), depth: 0 }];
        Self { sftp, judge, limits, stop, waiting, waiting_bytes: 0, read: 0, seen: 0, broken_off: None }
    }

    /// Reads all directories, and gives each entry to `sink`.
    ///
    /// # Errors
    /// `RemoteUnreadable` if the directory that is collected cannot be listed; `InvalidConfig` if the server lists
    /// without end; the session was lost; those of `sink`.
    pub(crate) async fn run(&mut self, sink: &mut impl AsyncFnMut(Listed) -> Result<()>) -> Result<Walked> {
        while let Some(below) = self.waiting.pop() {
            self.waiting_bytes -= below.path.len();
            if self.directory(&below, sink).await? == Reading::CutOff {
                return Ok(Walked::CutOff);
            }
        }
        Ok(match self.broken_off.take() {
            None => Walked::Whole,
            Some(why) => Walked::BrokenOff(self.not_listed(&why)),
        })
    }

    async fn directory(
        &mut self,
        below: &Below,
        sink: &mut impl AsyncFnMut(Listed) -> Result<()>,
    ) -> Result<Reading> {
        if self.stop.has_passed() {
            return Ok(Reading::CutOff);
        }
        // Some servers list a link with the attributes of what it leads to.
        if below.depth > 0 && self.is_link(&below.path).await? {
            sink(Listed { path: below.path.clone(), verdict: Verdict::Link }).await?;
            return Ok(Reading::Done);
        }
        let markers = match self.judge.collect.marker {
            None => None,
            Some(_) => match self.markers(below).await? {
                Read::Whole(markers) => Some(markers),
                Read::Refused(why) => return self.unreadable(below, why, sink).await,
                Read::CutOff => return Ok(Reading::CutOff),
            },
        };
        let mut newest = Newest::default();
        match self.files(below, markers.as_ref(), &mut newest, sink).await? {
            Read::Whole(()) => {}
            Read::Refused(why) => return self.unreadable(below, why, sink).await,
            Read::CutOff => return Ok(Reading::CutOff),
        }
        // Only now: of a part of the directory, nobody knows the newest.
        if let Some(file) = newest.take() {
            sink(Listed { path: file.path.clone(), verdict: Verdict::Due(file) }).await?;
        }
        Ok(Reading::Done)
    }

    async fn is_link(&self, path: &str) -> Result<bool> {
        let reply = Reply::of(self.sftp.lstat(&self.judge.on_server(path)).await)?;
        Ok(reply.done().flatten().and_then(|told| told.file_type()) == Some(FileType::Link))
    }

    /// One directory that cannot be read does not hold up the others.
    async fn unreadable(
        &mut self,
        below: &Below,
        why: String,
        sink: &mut impl AsyncFnMut(Listed) -> Result<()>,
    ) -> Result<Reading> {
        if below.depth == 0 {
            if self.seen == 0 {
                return Err(self.not_listed(&why));
            }
            self.broken_off = Some(why.clone());
        }
        sink(Listed { path: below.path.clone(), verdict: Verdict::Unreadable(why) }).await?;
        Ok(Reading::Done)
    }

    fn not_listed(&self, why: &str) -> bridge::Error {
        let directory = &self.judge.collect.directory;
        let what = match self.seen {
            0 => "cannot be listed".to_owned(),
            seen => format!("cannot be listed to its end ({seen} names were seen, here and below)"),
        };
        ErrorName::RemoteUnreadable.error(format!("COLLECT_DIRECTORY {directory:?} {what}: {why}"))
    }

    /// Reads the directory for its markers alone.
    async fn markers(&mut self, below: &Below) -> Result<Read<Markers>> {
        let mut markers = Markers::default();
        let read = self.packets(below, async |walk, entries| {
            for entry in entries {
                let is_file = matches!(entry.attributes.file_type(), None | Some(FileType::File));
                if let Named::Plain(path) = walk.judge.name(&below.path, &entry.name)
                    && is_file
                    && let Some(file) = walk.judge.collect.marker.as_ref().and_then(|it| it.file_of(&path))
                    && markers.add(&file) > walk.limits.markers
                {
                    return Err(walk.too_much(&format!("more than {} markers", walk.limits.markers), below));
                }
            }
            Ok(())
        });
        Ok(match read.await? {
            Read::Whole(()) => Read::Whole(markers),
            Read::Refused(why) => Read::Refused(why),
            Read::CutOff => Read::CutOff,
        })
    }

    /// Reads the directory for its files, and lets the directories in it wait.
    async fn files(
        &mut self,
        below: &Below,
        markers: Option<&Markers>,
        newest: &mut Newest,
        sink: &mut impl AsyncFnMut(Listed) -> Result<()>,
    ) -> Result<Read<()>> {
        self.packets(below, async |walk, entries| {
            walk.seen += entries.len() as u64;
            for (named, attributes) in walk.told(below, entries).await? {
                let Some(listed) = walk.entry(below, named, attributes, markers)? else { continue };
                let passed_over = match listed.verdict {
                    Verdict::Due(file) if walk.judge.collect.newest_only => {
                        newest.add(file).map(|file| Listed { path: file.path, verdict: Verdict::NotNewest })
                    }
                    verdict => Some(Listed { verdict, ..listed }),
                };
                if let Some(listed) = passed_over {
                    sink(listed).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Gives the entries of a directory to `each`, packet by packet.
    async fn packets(
        &mut self,
        below: &Below,
        mut each: impl AsyncFnMut(&mut Self, Vec<DirectoryEntry>) -> Result<()>,
    ) -> Result<Read<()>> {
        let path = self.judge.on_server(&below.path);
        let sftp = Arc::clone(self.sftp);
        let mut directory = match Reply::of(sftp.read_directory(&path).await)? {
            Reply::Done(directory) => directory,
            Reply::Refused(refusal) => return Ok(Read::Refused(refusal.to_string())),
        };
        loop {
            if self.stop.has_passed() {
                return Ok(Read::CutOff);
            }
            let entries = match Reply::of(directory.next().await)? {
                Reply::Done(Some(entries)) => entries,
                Reply::Done(None) => return Ok(Read::Whole(())),
                Reply::Refused(refusal) => return Ok(Read::Refused(refusal.to_string())),
            };
            self.read += entries.len() as u64;
            if self.read > self.limits.names {
                return Err(self.too_much(&format!("more than {} names", self.limits.names), below));
            }
            each(self, entries).await?;
        }
    }

    fn too_much(&self, what: &str, below: &Below) -> bridge::Error {
        ErrorName::InvalidConfig.error(format!(
            "COLLECT_DIRECTORY is {:?}, and the server lists {what} there, the last ones in {:?}. Collect from a smaller \
             directory, or ask the partner to clear it",
            self.judge.collect.directory,
            self.judge.on_server(&below.path)
        ))
    }

    /// The entries with what is known of each. Where the server tells no type, or of a file no size or no time, it is
    /// asked.
    async fn told(&self, below: &Below, entries: Vec<DirectoryEntry>) -> Result<Vec<(Named, Attributes)>> {
        let named = |entry: DirectoryEntry| (self.judge.name(&below.path, &entry.name), entry.attributes);
        let mut told: Vec<(Named, Attributes)> = entries.into_iter().map(named).collect();
        let missing = |(named, attributes): &(Named, Attributes)| match named {
            Named::Plain(path) if self.tells_too_little(path, attributes) => Some(path.clone()),
            _ => None,
        };
        let missing: Vec<(usize, String)> =
            told.iter().enumerate().filter_map(|(index, entry)| Some((index, missing(entry)?))).collect();
        let mut gone = Vec::new();
        for looks in missing.chunks(LOOKS_MAX) {
            for (index, seen) in self.look_at(looks).await? {
                match seen {
                    Some(seen) => told[index].1 = completed(told[index].1, seen),
                    None => gone.push(index),
                }
            }
        }
        let mut index = 0..;
        told.retain(|_| index.next().is_none_or(|index| !gone.contains(&index)));
        Ok(told)
    }

    fn tells_too_little(&self, path: &str, attributes: &Attributes) -> bool {
        match attributes.file_type() {
            None => true,
            Some(FileType::File) => {
                let is_known = attributes.size.is_some() && attributes.modified.is_some();
                !is_known && self.judge.by_name(path).is_none()
            }
            Some(FileType::Directory | FileType::Link | FileType::Other) => false,
        }
    }

    /// LSTATs in one flight. What is gone meanwhile has no attributes; what the server refuses to show has empty ones.
    async fn look_at(&self, looks: &[(usize, String)]) -> Result<Vec<(usize, Option<Attributes>)>> {
        let mut flight = JoinSet::new();
        for (index, path) in looks {
            let (index, path, sftp) = (*index, self.judge.on_server(path), Arc::clone(self.sftp));
            flight.spawn(async move { (index, Reply::of(sftp.lstat(&path).await)) });
        }
        let mut seen = Vec::new();
        for (index, reply) in flight.join_all().await {
            seen.push((
                index,
                match reply? {
                    Reply::Done(told) => told,
                    Reply::Refused(_) => Some(Attributes::default()),
                },
            ));
        }
        Ok(seen)
    }

    /// What the look makes of an entry. `None` if it is a directory that waits to be read.
    fn entry(
        &mut self,
        below: &Below,
        named: Named,
        attributes: Attributes,
        markers: Option<&Markers>,
    ) -> Result<Option<Listed>> {
        let path = match named {
            Named::Plain(path) => path,
            Named::NotPlain(path, reason) => {
                return Ok(Some(Listed { path, verdict: Verdict::Unnameable(reason) }));
            }
        };
        let verdict = match self.judge.kind(&path, &attributes, below.depth, self.limits.depth) {
            Kind::Other(verdict) => verdict,
            Kind::File => match self.judge.by_name(&path) {
                Some(verdict) => verdict,
                None => self.judge.file(path.clone(), &attributes, markers),
            },
            Kind::Descend => {
                self.let_wait(Below { path, depth: below.depth + 1 })?;
                return Ok(None);
            }
        };
        Ok(Some(Listed { path, verdict }))
    }

    fn let_wait(&mut self, below: Below) -> Result<()> {
        self.waiting_bytes += below.path.len() + ENTRY;
        if self.waiting_bytes > self.limits.waiting {
            return Err(self.too_much("more directories than can be looked into", &below));
        }
        self.waiting.push(below);
        Ok(())
    }
}

/// Memory of a directory that waits, beside its path, in bytes.
const ENTRY: usize = 64;

/// Whether the walk goes on after a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Done,
    CutOff,
}

/// How reading a directory ended.
enum Read<T> {
    Whole(T),
    /// The server refused to open it or to go on; says how.
    Refused(String),
    CutOff,
}

/// What a look tells, and where it does not tell, what the listing told.
fn completed(listed: Attributes, seen: Attributes) -> Attributes {
    Attributes {
        size: seen.size.or(listed.size),
        permissions: seen.permissions.or(listed.permissions),
        modified: seen.modified.or(listed.modified),
    }
}
