//! Moves the file into the archive. Nothing that is there is replaced.

use bridge::collect::{Afterwards, RemoteFile};
use bridge::{NUMBER_MAX, Result};
use partner::files::{Made, Onto, Reply, make_directory, request};
use sftp::Status;

use crate::identity::Identity;
use crate::show::{Shown, show};
use crate::work::{Became, Collected, LOOKS, Settled, Standing, Work};

/// What the archive calls a file.
#[derive(Clone, Copy, Debug)]
enum Name {
    Usual,
    /// Nobody can tell whether it is the file that was collected, so `COLLECT_ARCHIVE_DAYS` never deletes it.
    Unidentified,
}

/// Outcome of a move to one name of the archive.
enum Moved {
    Done(Settled),
    /// The name exists.
    Taken,
}

/// What the server made of the request for a rename.
enum Asked {
    /// It says that it is done. Along with the answer, it has shown this under the new name.
    Renamed(Shown),
    Refused(Status),
}

impl Work<'_> {
    /// Moves the file to the first free name of the archive, if it is still the one that was collected.
    pub(crate) async fn archive(&self, collected: Collected<'_>) -> Result<Settled> {
        let file = collected.file;
        let first = self.target(Name::Usual, file, 0);
        let (standing, seen) = tokio::join!(biased; self.standing(file), self.seen(first.as_deref()));
        match standing? {
            Standing::Same => {}
            Standing::Gone => return self.moved_before(collected, Became::Gone.into()).await,
            // An earlier call may have moved the file, and the partner has put another one there since.
            Standing::Changed(what) => return self.moved_before(collected, self.changed(file, what)).await,
            Standing::Hidden(refusal) => return Ok(self.kept(file, &refusal.to_string())),
        }
        let mut seen = Some(seen?);
        for number in 0..=NUMBER_MAX {
            let Some(target) = self.target(Name::Usual, file, number) else {
                return Ok(self.kept(
                    file,
                    "the execution has no time of its start, which the archive's names begin with",
                ));
            };
            let seen = match seen.take() {
                Some(seen) => seen,
                None => show(self.sftp, &target).await?,
            };
            match Box::pin(self.move_to(collected, &target, seen)).await? {
                Moved::Done(settled) => return Ok(settled),
                Moved::Taken => {}
            }
        }
        Ok(self.kept(file, &format!("{NUMBER_MAX} names of the archive exist already")))
    }

    fn target(&self, name: Name, file: &RemoteFile, number: u32) -> Option<String> {
        let path = match name {
            Name::Usual => Afterwards::archived_path,
            Name::Unidentified => Afterwards::unidentified_path,
        };
        path(&self.call.deps.collect.afterwards, &file.directory, &file.path, self.call.time, number)
    }

    /// What is under a name of the archive.
    async fn seen(&self, target: Option<&str>) -> Result<Shown> {
        match target {
            Some(target) => show(self.sftp, target).await,
            None => Ok(Shown::Nothing),
        }
    }

    /// The file is in its place no more. If one of our names in the archive has it, an earlier request has moved it
    /// there, whose answer was lost. Otherwise `otherwise` is what became of it.
    async fn moved_before(&self, collected: Collected<'_>, otherwise: Settled) -> Result<Settled> {
        for name in [Name::Usual, Name::Unidentified] {
            if let Some(settled) = self.find_in_archive(collected, name).await? {
                return Ok(settled);
            }
        }
        Ok(otherwise)
    }

    async fn find_in_archive(&self, collected: Collected<'_>, name: Name) -> Result<Option<Settled>> {
        for number in 0..=NUMBER_MAX {
            let Some(target) = self.target(name, collected.file, number) else { break };
            let shown = show(self.sftp, &target).await?;
            if matches!(shown, Shown::Nothing | Shown::Hidden(_)) {
                break;
            }
            // What was there before is another file: then ours got the next number.
            match (self.identify(collected, &target, &shown).await?, name) {
                (Identity::Collected | Identity::SameContents, _) => {
                    return Ok(Some(Became::Archived(target).into()));
                }
                (Identity::Unknown(why), Name::Usual) => {
                    return self.set_apart(collected.file, target, &why).await.map(Some);
                }
                (Identity::Unknown(why), Name::Unidentified) => return Ok(Some(unsure(target, &why, KEPT))),
                (Identity::Another, _) => {}
            }
        }
        Ok(None)
    }

    /// Nobody can tell whether the file that was moved to `target` is the one that was collected.
    async fn set_apart(&self, file: &RemoteFile, target: String, why: &str) -> Result<Settled> {
        for number in 0..=NUMBER_MAX {
            let Some(apart) = self.target(Name::Unidentified, file, number) else { break };
            if matches!(show(self.sftp, &apart).await?, Shown::File { .. } | Shown::Other(_)) {
                continue;
            }
            return Ok(match self.rename_again(&target, &apart).await? {
                true => unsure(apart, why, KEPT),
                false => unsure(target, why, DELETED),
            });
        }
        Ok(unsure(target, why, DELETED))
    }

    /// Gives a file in the archive another name, which is free. Returns whether it has it.
    async fn rename_again(&self, from: &str, to: &str) -> Result<bool> {
        let mut refusals = 0;
        loop {
            let reply = Reply::of(self.sftp.rename_noreplace(from, to).await)?;
            // What was refused may have been done, and what is said to be done may not.
            match (reply, show(self.sftp, from).await?) {
                (Reply::Done(()), shown) => return Ok(!matches!(shown, Shown::File { .. })),
                (Reply::Refused(_), Shown::Nothing) => return Ok(true),
                (Reply::Refused(refusal), _) if self.waits(refusals, &refusal).await => refusals += 1,
                (Reply::Refused(_), _) => return Ok(false),
            }
        }
    }

    /// Moves the file to this name, under which was `seen` what was there a moment ago.
    async fn move_to(&self, collected: Collected<'_>, target: &str, mut seen: Shown) -> Result<Moved> {
        let file = collected.file;
        let (mut refusals, mut has_directory) = (0, false);
        loop {
            // A server that hides what is not there shows what is: it has shown the file.
            if matches!(seen, Shown::File { .. } | Shown::Other(_)) {
                return Ok(Moved::Taken);
            }
            let refusal = match self.ask(file, target).await? {
                Asked::Renamed(shown) => return self.confirm(collected, target, shown).await,
                Asked::Refused(refusal) => refusal,
            };
            match self.standing(file).await? {
                Standing::Same => {}
                Standing::Gone => {
                    return Ok(Moved::Done(self.moved_before(collected, Became::Gone.into()).await?));
                }
                Standing::Changed(what) => {
                    return Ok(Moved::Done(self.moved_before(collected, self.changed(file, what)).await?));
                }
                Standing::Hidden(_) => return Ok(Moved::Done(self.kept(file, &refusal.to_string()))),
            }
            if !has_directory {
                has_directory = true;
                match self.make_archive(target).await? {
                    Archive::Made => continue,
                    Archive::WasThere => {}
                    Archive::Refused(why) => return Ok(Moved::Done(self.kept(file, &why))),
                }
            }
            seen = show(self.sftp, target).await?;
            if matches!(seen, Shown::File { .. } | Shown::Other(_)) {
                continue;
            }
            if !self.waits(refusals, &refusal).await {
                return Ok(Moved::Done(self.kept(file, &refusal.to_string())));
            }
            refusals += 1;
        }
    }

    /// Asks for the rename. A look at the new name travels along. The server may look before it renames; what it shows
    /// can only be ours, because nothing was there.
    async fn ask(&self, file: &RemoteFile, target: &str) -> Result<Asked> {
        let path = file.remote_path();
        let (asked, shown) = tokio::join!(
            biased;
            request(self.sftp, &path, target, Onto::Free),
            show(self.sftp, target)
        );
        Ok(match Reply::of(asked)? {
            Reply::Done(()) => Asked::Renamed(shown?),
            Reply::Refused(refusal) => Asked::Refused(refusal),
        })
    }

    /// The server says that the file was moved.
    async fn confirm(&self, collected: Collected<'_>, target: &str, mut shown: Shown) -> Result<Moved> {
        for pause in LOOKS {
            if shown != Shown::Nothing || self.call.stop.remaining() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
            shown = show(self.sftp, target).await?;
        }
        let archived = Became::Archived(target.to_owned());
        let settled = match shown {
            Shown::Hidden(_) => archived.into(),
            Shown::File { .. } => match self.identify(collected, target, &shown).await? {
                Identity::Collected | Identity::SameContents => archived.into(),
                Identity::Another => return self.not_ours(collected.file, target).await.map(Moved::Done),
                Identity::Unknown(why) => self.set_apart(collected.file, target.to_owned(), &why).await?,
            },
            Shown::Nothing | Shown::Other(_) => {
                if let Standing::Same = self.standing(collected.file).await? {
                    let why = "the server accepted the rename, and the file is still in its place";
                    return Ok(Moved::Done(self.kept(collected.file, why)));
                }
                let warning = format!(
                    "the server accepted the rename to {target:?}, but no file is seen there: it was taken away at once, or it lies under another name"
                );
                return Ok(Moved::Done(Settled { became: archived, warning: Some(warning) }));
            }
        };
        self.has_done();
        Ok(Moved::Done(settled))
    }

    /// The partner replaced the file between the look and the rename: what was moved was never collected. It gets its
    /// name back, so that the next look takes it.
    async fn not_ours(&self, file: &RemoteFile, target: &str) -> Result<Settled> {
        if self.put_back(file, target).await? {
            return Ok(self.changed(file, "it was replaced while it was being archived"));
        }
        // Under a name of the archive, it would be deleted after COLLECT_ARCHIVE_DAYS.
        let aside = Afterwards::aside_path(&file.directory, &file.path, &self.call.input.execution.id);
        let is_aside = Reply::of(self.sftp.rename_noreplace(target, &aside).await)?.is_done();
        let lies_at = if is_aside { aside.as_str() } else { target };
        Ok(Settled {
            became: if is_aside { Became::Left } else { Became::Archived(target.to_owned()) },
            warning: Some(format!(
                "{lies_at:?} is not the file that was collected: the partner replaced {:?} just before it was archived. Move it back, and it is collected",
                file.remote_path()
            )),
        })
    }

    /// Makes the directory of the archive, with those above it if they are missing.
    async fn make_archive(&self, target: &str) -> Result<Archive> {
        let Some((archive, _)) = target.rsplit_once('/') else { return Ok(Archive::WasThere) };
        let innermost = make_directory(self.sftp, archive).await?;
        let Made::Refused(refusal) = innermost else { return Ok(Archive::of(archive, innermost)) };
        let above = archive.match_indices('/').map(|(slash, _)| &archive[..slash]);
        let mut made = Archive::WasThere;
        for directory in above.chain([archive]).filter(|directory| !directory.is_empty()) {
            made = Archive::of(directory, make_directory(self.sftp, directory).await?);
        }
        // What lies above may be none of our business: only the last answer counts.
        Ok(match made {
            Archive::Refused(_) => Archive::Refused(refusal.to_string()),
            made => made,
        })
    }

    /// The file stays where it is, and is not collected again.
    fn kept(&self, file: &RemoteFile, why: &str) -> Settled {
        Settled::left(format!(
            "{:?} is collected, but was not archived: {why}. Ask the partner to let our user move it, or set COLLECT_AFTERWARDS to leave",
            file.remote_path()
        ))
    }
}

const KEPT: &str = "COLLECT_ARCHIVE_DAYS never deletes it. Compare it with the object: delete it if both are equal, otherwise move it back";
const DELETED: &str = "It could not be renamed, so COLLECT_ARCHIVE_DAYS, if it is set, deletes it. Compare it with the object, and move it back if it differs";

/// It has the size of the file, and another time than that had.
fn unsure(path: String, why: &str, what_then: &str) -> Settled {
    let warning = format!(
        "{path:?} has another time than the file that was collected, and whether it is that file cannot be told: {why}. {what_then}"
    );
    Settled { became: Became::Archived(path), warning: Some(warning) }
}

/// Outcome of making the archive's directory.
enum Archive {
    Made,
    WasThere,
    /// Says why.
    Refused(String),
}

impl Archive {
    fn of(directory: &str, made: Made) -> Self {
        match made {
            Made::Now => Self::Made,
            Made::Before | Made::Unknown => Self::WasThere,
            Made::IsFile => Self::Refused(format!(
                "{directory:?} is a file, and the archive needs a directory of that name"
            )),
            Made::Refused(refusal) => Self::Refused(refusal.to_string()),
        }
    }
}
