//! What the account may do with files and directories, one request after the other, in files of our own.

use std::time::{SystemTime, UNIX_EPOCH};

use bridge::ProofPolicy;
use bytes::Bytes;
use sftp::{Attributes, Caps, Error, FileHandle, OpenFlags, Sftp, Unobserved};

use super::{Doctor, Step, Stopped};

/// A line ending, a Control-Z or an umlaut that a server translates shows in this.
fn content() -> Vec<u8> {
    let line_endings = b"\r\nline\nline\r\r\n\x1a\xc3\xa4";
    (0..=255).chain(line_endings.iter().copied()).collect()
}

/// Readable by everyone: nothing that a server would rather not have.
const MODE: u32 = 0o644;

impl Doctor {
    /// What the server says of itself once we are in, and the directory.
    pub(super) async fn examine_server(&mut self) -> Step {
        let sftp = self.sftp()?;
        let extensions: Vec<String> = sftp.extensions().into_iter().map(str::to_owned).collect();
        let words = if extensions.is_empty() { "no extensions".into() } else { extensions.join(", ") };
        self.report.ok("sftp", format!("version 3; {words}"));
        self.findings.extensions = extensions;
        match self.answer("limits", sftp.limits().await)? {
            Ok(Some(limits)) => {
                let words = [
                    ("packets", limits.packet),
                    ("reads", limits.read),
                    ("writes", limits.write),
                    ("open files", limits.handles),
                ];
                let words = words.map(|(what, limit)| match limit {
                    0 => format!("{what}: no limit"),
                    limit => format!("{what}: {limit}"),
                });
                self.report.ok("limits", words.join(", "));
            }
            _ => self.report.absent("limits", "not told (limits@openssh.com): 32 KiB in each request"),
        }
        self.examine_directory(&sftp).await?;
        let directory = self.scratch.path("");
        let directory = directory.rsplit_once('/').map_or(".", |(directory, _)| match directory {
            "" => "/",
            directory => directory,
        });
        match sftp.free_bytes(directory).await {
            Some(free) => {
                self.findings.free_bytes = Some(free);
                let words = format!("{} are free", bytes_in_words(free as f64));
                match free < 100 * 1024 * 1024 {
                    true => self.report.warn("free-space", words, "ask the partner for more room"),
                    false => self.report.ok("free-space", words),
                }
            }
            None => self.report.absent("free-space", "not told (statvfs@openssh.com)"),
        }
        Ok(())
    }

    async fn examine_directory(&mut self, sftp: &Sftp) -> Step {
        let location = self.configuration.settings.location.clone();
        let name = if location.is_empty() { "." } else { location.as_str() };
        self.scratch.move_to(&location);
        let in_words = match location.as_str() {
            "" => "the directory that the server logs us into".to_owned(),
            location => format!("{location:?}"),
        };
        match self.answer("directory", sftp.stat(name).await)? {
            Ok(Some(attributes)) if attributes.is_directory() == Some(false) => {
                self.report.fail("directory", format!("{in_words} is a file"), "check SFTP_LOCATION");
                Err(Stopped)
            }
            Ok(Some(_)) => {
                self.report.ok("directory", format!("{in_words} is there"));
                Ok(())
            }
            Ok(None) => self.examine_missing_directory(sftp, &location).await,
            Err(error) => {
                let found = format!("{in_words} cannot be looked at: {error}");
                self.report.warn("directory", found, "nothing to do if the partner meant it so (a drop box)");
                Ok(())
            }
        }
    }

    async fn examine_missing_directory(&mut self, sftp: &Sftp, location: &str) -> Step {
        // The slash in front is what people get wrong: with it, the path begins at the server's root.
        let other = match location.strip_prefix('/') {
            Some(relative) => relative.to_owned(),
            None => format!("/{location}"),
        };
        let there = self.answer("directory", sftp.stat(&other).await)?;
        if !other.is_empty()
            && matches!(there, Ok(Some(attributes)) if attributes.is_directory() == Some(true))
        {
            self.report.fail(
                "directory",
                format!("{location:?} is not there, but {other:?} is"),
                format!("set SFTP_LOCATION={other} if that is the one; a path without a slash in front begins where the server logs us into. The rest is checked there"),
            );
            self.scratch.move_to(&other);
            self.findings.other_location = Some(other);
            return Ok(());
        }
        if self.configuration.value("SFTP_CREATE_DIRECTORIES") == "false" {
            let hint = "check SFTP_LOCATION, or let the partner make the directory: SFTP_CREATE_DIRECTORIES=false forbids it to us";
            self.report.fail("directory", format!("{location:?} is not there"), hint);
            return Err(Stopped);
        }
        let slashes = location.match_indices('/').map(|(index, _)| &location[..index]);
        let directories = slashes.chain([location]).filter(|path| !path.is_empty() && !path.ends_with('/'));
        for directory in directories {
            if !matches!(self.answer("directory", sftp.stat(directory).await)?, Ok(None)) {
                continue;
            }
            self.scratch.remember_directory(directory);
            if let Err(error) = self.answer("directory", sftp.mkdir(directory).await)? {
                self.scratch.forget(directory);
                let found = format!("{location:?} is not there, and cannot be made: {error}");
                self.report.fail(
                    "directory",
                    found,
                    "check SFTP_LOCATION, or let the partner make the directory",
                );
                return Err(Stopped);
            }
        }
        let found = format!(
            "{location:?} was not there; deliveries make it, as this check did (and takes it away again)"
        );
        self.report.warn("directory", found, "check that SFTP_LOCATION is spelled as the partner has it");
        Ok(())
    }

    /// Every request that a delivery makes, or could make.
    pub(super) async fn examine_files(&mut self) -> Step {
        let sftp = self.sftp()?;
        let partial = self.scratch.file(".partial");
        self.create(&sftp, &partial).await?;
        if self.look_at(&sftp, &partial).await? {
            self.read_back(&sftp, &partial).await?;
            self.hash(&sftp, &partial).await?;
            self.set_attributes(&sftp, &partial).await?;
            self.reopen(&sftp, &partial).await?;
            let path = self.rename(&sftp, partial).await?;
            if self.delete(&sftp, &path).await? {
                self.replace(&sftp).await?;
                self.make_directory(&sftp).await?;
            }
        }
        Ok(())
    }

    /// Nothing works without this.
    async fn create(&mut self, sftp: &Sftp, path: &str) -> Step {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        let file = match self.answer("create", sftp.open(path, flags).await)? {
            Ok(file) => file,
            Err(error) => {
                self.scratch.forget(path);
                self.findings.write = Some(false);
                let hint = match error.is_not_found() {
                    true => "check SFTP_LOCATION: there is no such directory for this user",
                    false => {
                        "ask the partner to let this user write into that directory, or for another one (SFTP_LOCATION)"
                    }
                };
                self.report.fail("create", error.to_string(), hint);
                return Err(Stopped);
            }
        };
        self.report.ok("create", "a file can be made");
        // Without closing it before: some servers open what is there but for writing it anew.
        let written = self.fill(file, 0, &content()).await;
        match self.answer("write", written)? {
            Ok(_) => {
                self.findings.write = Some(true);
                self.report.ok("write", "it can be written and closed");
                Ok(())
            }
            Err(error) => {
                self.findings.write = Some(false);
                let error = bridge::Error::from(error);
                self.report.fail("write", error.message(), error.name.hint());
                Err(Stopped)
            }
        }
    }

    /// Writes from `offset` on into a file that is there or not, as a delivery does.
    async fn write(&self, path: &str, offset: u64, content: &[u8]) -> sftp::Result<Option<Attributes>> {
        let Some(session) = &self.session else { return Ok(None) };
        let file = session.sftp().open(path, OpenFlags::WRITE | OpenFlags::CREATE).await?;
        self.fill(file, offset, content).await
    }

    /// Writes from `offset` on, as a delivery does, and closes the file.
    async fn fill(&self, file: FileHandle, offset: u64, content: &[u8]) -> sftp::Result<Option<Attributes>> {
        let Some(session) = &self.session else { return Ok(None) };
        let spread = session.spread(content.len() as u64, Caps::ONE);
        let mut upload = session.upload(file, offset, offset, spread, Unobserved);
        let sent = async {
            upload.push(Bytes::copy_from_slice(content)).await?;
            upload.flush().await
        };
        let sent = sent.await;
        let closed = upload.finish().await;
        sent?;
        closed
    }

    /// `false`: the file is gone already.
    async fn look_at(&mut self, sftp: &Sftp, path: &str) -> Step<bool> {
        let length = content().len() as u64;
        let found = self.answer("stat", sftp.stat(path).await)?;
        self.findings.stat = Some(matches!(&found, Ok(Some(attributes)) if attributes.size.is_some()));
        match found {
            Ok(Some(Attributes { size: Some(size), .. })) if size != length => {
                let found = format!("{length} bytes were written, and the server says {size}");
                self.report.fail(
                    "stat",
                    found,
                    "something alters files on arrival: ask the partner what (a scanner, text mode, a quota)",
                );
            }
            Ok(Some(Attributes { size: Some(_), .. })) => self.report.ok("stat", "the server tells the size"),
            Ok(Some(_)) => {
                self.demanded("stat", ProofPolicy::Size, "the server does not tell the size".into())
            }
            Ok(None) => {
                self.findings.rename = Some(false);
                self.report.warn(
                    "stat",
                    "the file was gone as soon as it was closed: something takes files away on arrival",
                    "it takes partial files, too: nothing is there to be proved or renamed. Files have to be written under their own name (SFTP_PUBLISH=direct), or the partner leaves alone what begins with a dot",
                );
                return Ok(false);
            }
            Err(error) => self.demanded("stat", ProofPolicy::Size, error.to_string()),
        }
        Ok(true)
    }

    async fn read_back(&mut self, sftp: &Sftp, path: &str) -> Step {
        let read = read(sftp, path, content().len() as u64).await;
        let read = self.answer("read-back", read)?;
        self.findings.read = Some(read.is_ok());
        match read {
            Ok(read) if read == content() => self.report.ok("read-back", "what was written is what is read"),
            Ok(_) => self.report.fail(
                "read-back",
                "what is read is not what was written",
                "something alters files on arrival: ask the partner what (a scanner, text mode)",
            ),
            Err(error) => self.demanded("read-back", ProofPolicy::ReadBack, error.to_string()),
        }
        Ok(())
    }

    async fn hash(&mut self, sftp: &Sftp, path: &str) -> Step {
        use sha2::{Digest, Sha256};
        let refused = if sftp.can_hash() {
            match self.answer("hash", sftp.open(path, OpenFlags::READ).await)? {
                Ok(file) => {
                    let hash = sftp.sha256(&file, content().len() as u64, self.configuration.timeout()).await;
                    let hash = self.answer("hash", hash)?;
                    let closed = sftp.close(file).await;
                    let _ = self.answer("hash", closed)?;
                    match hash {
                        Ok(Some(hash)) if hash[..] == Sha256::digest(content())[..] => None,
                        Ok(Some(_)) => {
                            self.findings.hash = Some(false);
                            let found = "the server's SHA-256 is not that of what was written";
                            self.report.fail(
                                "hash",
                                found,
                                "something alters files on arrival: ask the partner what",
                            );
                            return Ok(());
                        }
                        Ok(None) => Some("it hashes, but not with SHA-256".to_owned()),
                        Err(error) => Some(error.to_string()),
                    }
                }
                Err(error) => Some(error.to_string()),
            }
        } else {
            Some("not offered (check-file)".to_owned())
        };
        self.findings.hash = Some(refused.is_none());
        match refused {
            None => self.report.ok("hash", "the server hashes files itself (check-file, SHA-256)"),
            Some(why) if self.configuration.settings.proof == ProofPolicy::Hash => {
                self.demanded("hash", ProofPolicy::Hash, why);
            }
            Some(why) => self.report.absent("hash", why),
        }
        Ok(())
    }

    /// A way of proving that the server does not give.
    fn demanded(&mut self, name: &'static str, policy: ProofPolicy, why: String) {
        if self.configuration.settings.proof == policy {
            let hint = "SFTP_PROOF demands just this: deliveries would fail; see the settings below";
            self.report.fail(name, why, hint);
        } else {
            let hint = "deliveries are proved with what is left, as their receipts say";
            self.report.warn(name, why, hint);
        }
    }

    async fn set_attributes(&mut self, sftp: &Sftp, path: &str) -> Step {
        // A moment that no clock shows by chance.
        let an_hour_ago =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() - 3600) as u32;
        let mode = Attributes { permissions: Some(MODE), ..Attributes::default() };
        let times = Attributes { modified: Some(an_hour_ago), ..Attributes::default() };
        for (name, attributes) in [("chmod", mode), ("mtime", times)] {
            let set = sftp.setstat(path, &attributes).await;
            let set = self.answer(name, set)?;
            let seen = sftp.stat(path).await;
            let seen = self.answer(name, seen)?.ok().flatten().unwrap_or_default();
            let seen = match name {
                "chmod" => seen.permissions.map(|mode| mode & 0o777 == MODE),
                _ => seen.modified.map(|modified| modified == an_hour_ago),
            };
            let works = set.is_ok() && seen != Some(false);
            match name {
                "chmod" => self.findings.chmod = Some(works),
                _ => self.findings.mtime = Some(works),
            }
            let what = if name == "chmod" { "the mode of a file" } else { "the time of a file" };
            match (set, seen) {
                (Ok(()), Some(false)) => {
                    self.report.absent(name, format!("{what} stays what it was, without an error"))
                }
                (Ok(()), Some(true)) => self.report.ok(name, format!("{what} can be set")),
                (Ok(()), None) => {
                    self.report.ok(name, format!("{what} can be set, as far as the server says"))
                }
                (Err(error), _) => self.report.absent(name, error.to_string()),
            }
        }
        Ok(())
    }

    /// Going on where an earlier connection stopped, and writing anew.
    async fn reopen(&mut self, sftp: &Sftp, path: &str) -> Step {
        let length = content().len() as u64;
        let written = self.write(path, length, &content()).await;
        let resumed = match self.answer("resume", written)? {
            Ok(_) => match self.answer("resume", sftp.stat(path).await)? {
                Ok(Some(Attributes { size: Some(size), .. })) if size != 2 * length => {
                    Err(format!("{length} bytes were added to {length}, and the server says {size}"))
                }
                _ => Ok(()),
            },
            Err(error) => Err(error.to_string()),
        };
        self.findings.resume = Some(resumed.is_ok());
        match resumed {
            Ok(()) => self.report.ok("resume", "a file can be gone on with"),
            Err(why) => self.report.warn(
                "resume",
                why,
                "a transfer that is interrupted cannot go on there: large files need a line that holds",
            ),
        }
        let written = self.write(path, 0, &[b'x'; 16]).await;
        match self.answer("overwrite", written)? {
            Ok(_) => {
                self.findings.overwrite = Some(true);
                self.report.ok("overwrite", "a file can be written over");
            }
            Err(error) => {
                self.findings.overwrite = Some(false);
                self.report.warn(
                    "overwrite",
                    error.to_string(),
                    "a delivery that begins again under the same name would be refused",
                );
            }
        }
        Ok(())
    }

    /// Onto a free name. Returns where the file is now.
    async fn rename(&mut self, sftp: &Sftp, partial: String) -> Step<String> {
        let renamed = self.scratch.file("");
        let (mut at, mut other) = (partial, renamed);
        let plain = sftp.rename_new(&at, &other).await;
        let plain = self.answer("rename", plain)?;
        if plain.is_ok() {
            std::mem::swap(&mut at, &mut other);
        }
        let posix = match sftp.can_replace() {
            true => {
                let posix = sftp.rename(&at, &other).await;
                Some(self.answer("rename", posix)?)
            }
            false => None,
        };
        if matches!(posix, Some(Ok(()))) {
            std::mem::swap(&mut at, &mut other);
        }
        self.scratch.renamed(&other, &at);
        let in_words = format!(
            "plain: {}; posix-rename: {}",
            yes_or_why(&plain),
            posix.as_ref().map_or("not offered".into(), yes_or_why)
        );
        // A delivery takes posix-rename where it is offered.
        let works = posix.as_ref().unwrap_or(&plain).is_ok();
        self.findings.rename = Some(works);
        match works {
            true => self.report.ok("rename", in_words),
            false if self.configuration.value("SFTP_PUBLISH") == "direct" => self.report.warn(
                "rename",
                in_words,
                "with SFTP_PUBLISH=direct nothing is renamed; readers see files while they are written",
            ),
            false => self.report.fail(
                "rename",
                in_words,
                "ask the partner to allow it. If it cannot be had, set SFTP_PUBLISH=direct: files are then written under their own name, and readers see them grow",
            ),
        }
        Ok(at)
    }

    /// `false`: what is made cannot be taken away again, so that no more is made.
    async fn delete(&mut self, sftp: &Sftp, path: &str) -> Step<bool> {
        match self.answer("delete", sftp.remove(path).await)? {
            Ok(()) => {
                self.scratch.forget(path);
                self.findings.delete = Some(true);
                self.report.ok("delete", "a file can be removed");
                Ok(true)
            }
            Err(error) if error.is_not_found() => {
                self.scratch.forget(path);
                self.report.warn(
                    "delete",
                    "the file was gone as soon as it had its name: something takes files away on arrival",
                    "nothing to do if it is the partner who collects them",
                );
                Ok(false)
            }
            Err(error) => {
                self.findings.delete = Some(false);
                self.report.warn(
                    "delete",
                    error.to_string(),
                    "deliveries do without; but a partial file that differs, or that a newer upload has overtaken, stays there. Nothing more was tried, so as not to leave more behind",
                );
                Ok(false)
            }
        }
    }

    /// Onto an existing name.
    async fn replace(&mut self, sftp: &Sftp) -> Step {
        let (partial, path) = (self.scratch.file(".partial"), self.scratch.file(""));
        self.write_again(&path).await?;
        self.write_again(&partial).await?;
        let plain = sftp.rename_new(&partial, &path).await;
        let plain = self.answer("replace", plain)?;
        let posix = match sftp.can_replace() {
            true => {
                if plain.is_ok() {
                    self.write_again(&partial).await?;
                }
                let posix = sftp.rename(&partial, &path).await;
                Some(self.answer("replace", posix)?)
            }
            false => None,
        };
        let in_words = format!(
            "onto an existing name, plain: {}; posix-rename: {}",
            yes_or_why(&plain),
            posix.as_ref().map_or("not offered".into(), yes_or_why)
        );
        let works = posix.as_ref().unwrap_or(&plain).is_ok();
        self.findings.replace = Some(works);
        match works {
            true => self.report.ok("replace", in_words),
            false => self.report.warn(
                "replace",
                in_words,
                "a new version of a file is published by removing the old one just before: for a moment there is none",
            ),
        }
        for file in [path, partial] {
            if let Ok(()) = self.answer("replace", sftp.remove(&file).await)? {
                self.scratch.forget(&file);
            }
        }
        Ok(())
    }

    async fn write_again(&mut self, path: &str) -> Step {
        let written = self.write(path, 0, b"x").await;
        match self.answer("replace", written)? {
            Ok(_) => Ok(()),
            Err(error) => {
                self.report.fail(
                    "replace",
                    error.to_string(),
                    "a file could be written once, and not again: ask the partner",
                );
                Err(Stopped)
            }
        }
    }

    async fn make_directory(&mut self, sftp: &Sftp) -> Step {
        let directory = self.scratch.path(".d");
        self.scratch.remember_directory(&directory);
        match self.answer("mkdir", sftp.mkdir(&directory).await)? {
            Ok(()) => {
                self.findings.mkdir = Some(true);
                self.report.ok("mkdir", "directories can be made");
            }
            Err(error) => {
                self.scratch.forget(&directory);
                self.findings.mkdir = Some(false);
                self.report.warn(
                    "mkdir",
                    error.to_string(),
                    "object keys with a slash need directories that are there already: let the partner make them",
                );
            }
        }
        Ok(())
    }

    /// An answer of the server, good or bad; the end of the session is the end of the checks.
    pub(super) fn answer<T>(
        &mut self,
        name: &'static str,
        outcome: sftp::Result<T>,
    ) -> Step<sftp::Result<T>> {
        match outcome {
            Err(error) if !error.is_status() => {
                let error = bridge::Error::from(error);
                let hint = "the session ended with this request; a delivery's would, too, if it makes it. Ask the partner what its log says";
                self.report.fail(name, error.message(), hint);
                Err(Stopped)
            }
            answered => Ok(answered),
        }
    }
}

async fn read(sftp: &Sftp, path: &str, length: u64) -> sftp::Result<Vec<u8>> {
    let file = sftp.open(path, OpenFlags::READ).await?;
    let mut content = Vec::new();
    let mut download = sftp.download(&file, 0, length);
    let outcome = loop {
        match download.next().await {
            Ok(Some(bytes)) => content.extend_from_slice(&bytes),
            Ok(None) => break Ok(content),
            Err(error) => break Err(error),
        }
    };
    let _ = sftp.close(file).await;
    outcome
}

fn yes_or_why(outcome: &Result<(), Error>) -> String {
    match outcome {
        Ok(()) => "yes".into(),
        Err(Error::Status { code, message, .. }) if message.is_empty() => format!("refused, {code}"),
        Err(Error::Status { code, message, .. }) => format!("refused, {code}, {message:?}"),
        Err(error) => error.to_string(),
    }
}

/// As people write it, to three digits.
pub(super) fn bytes_in_words(bytes: f64) -> String {
    let mut amount = bytes;
    let mut unit = "bytes";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if amount < 1000.0 {
            break;
        }
        amount /= 1000.0;
        unit = larger;
    }
    let digits = if amount < 10.0 && unit != "bytes" { 1 } else { 0 };
    format!("{amount:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        for (bytes, words) in [
            (17.0, "17 bytes"),
            (1500.0, "1.5 kB"),
            (45_000_000.0, "45 MB"),
            (2e12, "2.0 TB"),
            (2e19, "20000 PB"),
        ] {
            assert_eq!(bytes_in_words(bytes), words);
        }
    }

    #[test]
    fn a_translation_of_any_byte_shows() {
        for byte in 0..=255 {
            assert!(content().contains(&byte));
        }
    }
}
