//! Deletes the file.
//!
//! Between a look and a REMOVE, the partner may put another file into the place, and it would be deleted without ever
//! having been collected. So the file is first moved aside, to a name that nobody else uses, and looked at there. Only
//! where the server refuses that, the file is deleted in its place, right after a look.

use std::time::Duration;

use bridge::Result;
use bridge::collect::{Afterwards, RemoteFile};
use partner::files::{Onto, Reply, request};

use crate::identity::Identity;
use crate::show::{Shown, show};
use crate::work::{Became, Collected, LOOKS, Settled, Standing, Work};

/// Pause before a refused rename is asked for once more.
const PAUSE: Duration = Duration::from_millis(500);

/// Outcome of moving the file aside.
enum Moved {
    /// It is there, and the server shows this.
    Aside(Shown),
    /// It has its own name: the server does not rename it.
    InPlace,
    Ended(Settled),
}

impl Work<'_> {
    /// Deletes the file, if it is still the one that was collected.
    pub(crate) async fn delete(&self, collected: Collected<'_>) -> Result<Settled> {
        let file = collected.file;
        let (path, aside) = (file.remote_path(), self.aside(file));
        let (standing, seen) = tokio::join!(biased; self.standing(file), show(self.sftp, &aside));
        let (standing, seen) = (standing?, seen?);
        let is_aside = matches!(seen, Shown::File { .. });
        match standing {
            // An earlier call has moved it, and was cut off.
            Standing::Gone | Standing::Changed(_) if is_aside => {
                return self.delete_aside(collected, &aside, &seen).await;
            }
            Standing::Same if is_aside || matches!(seen, Shown::Other(_)) => {
                return Ok(not_deleted(
                    &path,
                    &format!("it is moved to {aside:?} first, which is there already"),
                ));
            }
            Standing::Same => {}
            standing => return Ok(self.not_there(file, &standing)),
        }
        match self.move_aside(file, &aside).await? {
            Moved::Aside(shown) => self.delete_aside(collected, &aside, &shown).await,
            Moved::InPlace => self.delete_in_place(file).await,
            Moved::Ended(settled) => Ok(settled),
        }
    }

    /// The name is made of the execution, so that a retry knows it.
    fn aside(&self, file: &RemoteFile) -> String {
        Afterwards::aside_path(&file.directory, &file.path, &self.call.input.execution.id)
    }

    /// What became of a file that is not in its place as it was.
    fn not_there(&self, file: &RemoteFile, standing: &Standing) -> Settled {
        match standing {
            // An earlier request was carried out.
            Standing::Gone if self.call.is_retry() => Became::Deleted.into(),
            Standing::Gone | Standing::Same => Became::Gone.into(),
            Standing::Changed(what) => self.changed(file, what),
            Standing::Hidden(refusal) => not_deleted(&file.remote_path(), refusal),
        }
    }

    async fn move_aside(&self, file: &RemoteFile, aside: &str) -> Result<Moved> {
        let path = file.remote_path();
        let is_patient = !self.call.deps.partner.learned.keeps_files();
        for is_last in [false, true] {
            // The look travels along. What it shows can only be ours, because nothing was there.
            let (asked, shown) = tokio::join!(
                biased;
                request(self.sftp, &path, aside, Onto::Free),
                show(self.sftp, aside)
            );
            let refusal = match Reply::of(asked)? {
                Reply::Done(()) => return self.find_aside(file, aside, shown?).await,
                Reply::Refused(refusal) => refusal,
            };
            // What was refused may have been done.
            let (standing, shown) = tokio::join!(biased; self.standing(file), show(self.sftp, aside));
            match (standing?, shown?) {
                (Standing::Same, _) => {}
                (_, shown @ Shown::File { .. }) => return Ok(Moved::Aside(shown)),
                (standing, _) => return Ok(Moved::Ended(self.not_there(file, &standing))),
            }
            tracing::info!(%refusal, path, "the server refuses to move the file aside");
            if is_last || !is_patient || refusal.is_unsupported() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Moved::InPlace)
    }

    /// The server says that it moved the file aside.
    async fn find_aside(&self, file: &RemoteFile, aside: &str, mut shown: Shown) -> Result<Moved> {
        for pause in LOOKS {
            if shown != Shown::Nothing || self.call.stop.remaining() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
            shown = show(self.sftp, aside).await?;
        }
        if shown != Shown::Nothing {
            return Ok(Moved::Aside(shown));
        }
        if let Standing::Same = self.standing(file).await? {
            return Ok(Moved::InPlace);
        }
        let warning = format!(
            "the server accepted the rename to {aside:?}, but no file is seen there: it was taken away at once, or it lies under another name"
        );
        Ok(Moved::Ended(Settled { became: Became::Gone, warning: Some(warning) }))
    }

    /// Deletes what was moved aside, if it is the file that was collected. Otherwise it gets its name back.
    async fn delete_aside(&self, collected: Collected<'_>, aside: &str, shown: &Shown) -> Result<Settled> {
        let (file, path) = (collected.file, collected.file.remote_path());
        let identity = self.identify(collected, aside, shown).await?;
        let settled = match identity {
            Identity::Collected | Identity::SameContents => match self.remove(aside).await? {
                None => {
                    self.has_done();
                    return Ok(Became::Deleted.into());
                }
                // Under its own name, the next look would take it for a new file.
                Some(why) if identity == Identity::SameContents => return Ok(not_deleted(aside, &why)),
                Some(why) => not_deleted(&path, &why),
            },
            Identity::Another => self.changed(file, "it was replaced while it was being deleted"),
            Identity::Unknown(why) => {
                return Ok(Settled::left(format!(
                    "{path:?} was moved to {aside:?} to be deleted, and whether it is the file that was collected cannot be told: {why}. Move it back, and it is collected"
                )));
            }
        };
        if self.put_back(file, aside).await? {
            return Ok(settled);
        }
        let why = settled.warning.unwrap_or_default();
        Ok(Settled::left(format!(
            "{why}. It lies at {aside:?}, because {path:?} is taken or the server refuses to move it back"
        )))
    }

    /// Removes a file of a name that nobody else uses. Returns why it is still there.
    async fn remove(&self, path: &str) -> Result<Option<String>> {
        for refusals in 0.. {
            // The look travels along. The server may look before it deletes, so only an absence says something.
            let (removed, seen) = tokio::join!(biased; self.sftp.remove(path), show(self.sftp, path));
            let mut seen = seen?;
            let refusal = match Reply::of(removed)? {
                Reply::Done(()) => {
                    for pause in LOOKS {
                        if seen == Shown::Nothing || self.call.stop.remaining() <= pause {
                            break;
                        }
                        tokio::time::sleep(pause).await;
                        seen = show(self.sftp, path).await?;
                    }
                    let is_there = matches!(seen, Shown::File { .. });
                    return Ok(is_there.then(|| STILL_THERE.to_owned()));
                }
                Reply::Refused(refusal) => refusal,
            };
            let waits = self.waits(refusals, &refusal).await;
            if show(self.sftp, path).await? == Shown::Nothing {
                break;
            }
            if !waits {
                return Ok(Some(refusal.to_string()));
            }
        }
        Ok(None)
    }

    /// Deletes the file under its own name.
    async fn delete_in_place(&self, file: &RemoteFile) -> Result<Settled> {
        let path = file.remote_path();
        let mut standing = self.standing(file).await?;
        let mut refusals = 0;
        while let Standing::Same = standing {
            let (removed, seen) = tokio::join!(biased; self.sftp.remove(&path), self.standing(file));
            let refusal = match Reply::of(removed)? {
                Reply::Done(()) if self.is_deleted(file, seen?).await? => {
                    self.has_done();
                    return Ok(deleted_in_place(&path));
                }
                Reply::Done(()) => return Ok(not_deleted(&path, &STILL_THERE)),
                Reply::Refused(refusal) => refusal,
            };
            let waits = self.waits(refusals, &refusal).await;
            refusals += 1;
            standing = self.standing(file).await?;
            if !waits && matches!(standing, Standing::Same) {
                return Ok(not_deleted(&path, &refusal));
            }
        }
        Ok(match standing {
            // What was refused has been done.
            Standing::Gone if refusals > 0 => deleted_in_place(&path),
            standing => self.not_there(file, &standing),
        })
    }

    /// Whether the file that was collected is there no more. Caches show a file for a moment after it was deleted.
    async fn is_deleted(&self, file: &RemoteFile, mut seen: Standing) -> Result<bool> {
        for pause in LOOKS {
            if !matches!(seen, Standing::Same) || self.call.stop.remaining() <= pause {
                break;
            }
            tokio::time::sleep(pause).await;
            seen = self.standing(file).await?;
        }
        Ok(!matches!(seen, Standing::Same))
    }
}

const STILL_THERE: &str = "the server accepted it, and the file is still there";

fn deleted_in_place(path: &str) -> Settled {
    Settled {
        became: Became::Deleted,
        warning: Some(format!(
            "{path:?} was deleted under its own name, because the server does not let our user rename it: a file that the partner put there at that very moment would have been deleted, too"
        )),
    }
}

fn not_deleted(path: &str, why: &impl std::fmt::Display) -> Settled {
    Settled::left(format!(
        "{path:?} is collected, but was not deleted: {why}. Ask the partner to let our user delete it, or set COLLECT_AFTERWARDS to leave"
    ))
}
