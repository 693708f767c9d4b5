//! What the account may do with files and directories, one request after the other, in files of our own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bridge::{Demand, Mode, ProofPolicy, Publish};
use bytes::Bytes;
use sftp::{Attributes, FileHandle, OpenFlags, Sftp};

use super::names::open_fresh;
use super::{Doctor, Step, Stopped};

/// A line ending, a Control-Z or an umlaut that a server translates shows in this.
pub(super) fn content() -> Vec<u8> {
    let line_endings = b"\r\nline\nline\r\r\n\x1a\xc3\xa4";
    (0..=255).chain(line_endings.iter().copied()).collect()
}

const FSYNC: &str = "fsync@openssh.com";
/// Some servers show a file, or its size, only some time after it was closed.
const LATE_MAX: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What is tried where no mode is set: nothing that a server would rather not have.
const FILE_MODE: u32 = 0o644;
const DIR_MODE: u32 = 0o755;
/// File systems that count in two seconds round.
const ROUNDED: u32 = 2;

/// A mode or a time, as a delivery sets it.
struct Wanted {
    check: &'static str,
    setting: &'static str,
    /// For people.
    what: String,
    attributes: Attributes,
    /// Whether the settings want it, and how much.
    demand: Option<Demand>,
    /// The value of the setting that puts up with a refusal.
    lenient: String,
}

impl Wanted {
    fn mode(
        check: &'static str,
        setting: &'static str,
        of: &str,
        mode: Option<Mode>,
        otherwise: u32,
    ) -> Self {
        let bits = mode.map_or(otherwise, |mode| mode.bits);
        Self {
            check,
            setting,
            what: format!("the mode of a {of} ({bits:04o})"),
            attributes: Attributes { permissions: Some(bits), ..Attributes::default() },
            demand: mode.map(|mode| mode.demand),
            lenient: format!("try:{bits:04o}"),
        }
    }

    /// Of a moment that no clock shows by chance.
    fn time(demand: Option<Demand>) -> Self {
        let an_hour_ago =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() - 3600) as u32;
        Self {
            check: "mtime",
            setting: "SFTP_PRESERVE_MTIME",
            what: "the time of a file".into(),
            attributes: Attributes { modified: Some(an_hour_ago), ..Attributes::default() },
            demand,
            lenient: "try".into(),
        }
    }

    /// Whether it is what was asked for, if the server tells.
    fn is_seen(&self, seen: &Attributes) -> Option<bool> {
        match (self.attributes.permissions, self.attributes.modified) {
            (Some(wanted), _) => seen.permissions.map(|told| told & 0o7777 == wanted),
            (None, wanted) => Some(wanted?.abs_diff(seen.modified?) < ROUNDED),
        }
    }
}

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
        self.say_fsync();
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

    /// A file that was synced survives a power cut at the partner's.
    fn say_fsync(&mut self) {
        let offered = self.findings.extensions.iter().any(|extension| extension == FSYNC);
        self.findings.fsync = Some(offered);
        let demanded = self.configuration.value("SFTP_FSYNC") == "require";
        match (offered, demanded) {
            (true, _) => self.report.ok(
                "fsync",
                "offered (fsync@openssh.com): files can be synced to the disk before they are published",
            ),
            (false, false) => self.report.absent("fsync", "not offered (fsync@openssh.com)"),
            (false, true) => self.report.fail(
                "fsync",
                "not offered (fsync@openssh.com)",
                "SFTP_FSYNC demands it, and every delivery would fail: set SFTP_FSYNC=try",
            ),
        }
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
        if !self.configuration.settings.policy.create_directories {
            let hint = "check SFTP_LOCATION, or let the partner make the directory: SFTP_CREATE_DIRECTORIES=false forbids it to us";
            self.report.fail("directory", format!("{location:?} is not there"), hint);
            return Err(Stopped);
        }
        let slashes = location.match_indices('/').map(|(index, _)| location[..index].to_owned());
        let directories = slashes.chain([location.to_owned()]);
        let directories = directories.filter(|path| !path.is_empty() && !path.ends_with('/')).collect();
        if let Err(error) = self.make_missing(sftp, "directory", directories).await? {
            let found = format!("{location:?} is not there, and cannot be made: {error}");
            self.report.fail(
                "directory",
                found,
                "check SFTP_LOCATION, or let the partner make the directory",
            );
            return Err(Stopped);
        }
        let found = format!(
            "{location:?} was not there; deliveries make it, as this check did (and takes it away again)"
        );
        self.report.warn("directory", found, "check that SFTP_LOCATION is spelled as the partner has it");
        Ok(())
    }

    /// Makes those of the directories that are not there, outermost first.
    async fn make_missing(
        &mut self,
        sftp: &Sftp,
        check: &'static str,
        directories: Vec<String>,
    ) -> Step<sftp::Result<()>> {
        for directory in directories {
            if !matches!(self.answer(check, sftp.stat(&directory).await)?, Ok(None)) {
                continue;
            }
            self.scratch.remember_directory(&directory);
            if let Err(error) = self.answer(check, sftp.mkdir(&directory).await)? {
                self.scratch.forget(&directory);
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// The directory where partial files are to lie. Whether they can be renamed from there, the rename shows.
    async fn examine_staging(&mut self, sftp: &Sftp) -> Step {
        let Some(directory) = self.scratch.staging() else {
            self.report.absent("staging", "not set: partial files lie beside the final ones");
            return Ok(());
        };
        let create = self.configuration.settings.policy.create_directories;
        match self.answer("staging", sftp.stat(&directory).await)? {
            Ok(Some(attributes)) if attributes.is_directory() == Some(false) => {
                self.unstage(format!("{directory:?} is a file"));
            }
            Ok(None) if !create => {
                let why = "is not there, and SFTP_CREATE_DIRECTORIES=false forbids to make it";
                self.unstage(format!("{directory:?} {why}"));
            }
            Ok(None) => {
                if let Err(error) = self.make_missing(sftp, "staging", self.scratch.above()).await? {
                    self.unstage(format!("{directory:?} is not there, and cannot be made: {error}"));
                }
            }
            // Where it cannot be looked at, a file shows whether it is there.
            Ok(Some(_)) | Err(_) => {}
        }
        Ok(())
    }

    /// Goes on with partial files beside the final ones.
    pub(super) fn unstage(&mut self, found: String) {
        self.findings.staging = Some(false);
        self.scratch.unstage();
        let hint = "every delivery would fail: take SFTP_STAGING_DIRECTORY away, so that partial files lie beside the final ones, or let the partner make it a directory of the same file system that this user may write to. The rest is checked without it";
        self.report.fail("staging", found, hint);
    }

    /// Every request that a delivery makes, or could make.
    pub(super) async fn examine_files(&mut self) -> Step {
        let sftp = self.sftp()?;
        self.examine_staging(&sftp).await?;
        let partial = self.create(&sftp).await?;
        if self.look_at(&sftp, &partial).await? {
            self.read_back(&sftp, &partial).await?;
            self.hash(&sftp, &partial).await?;
            self.set_attributes(&sftp, &partial).await?;
            self.reopen(&sftp, &partial).await?;
            let path = self.rename(&sftp, partial).await?;
            if self.delete(&sftp, &path).await? {
                self.replace(&sftp).await?;
                self.make_directory(&sftp).await?;
                self.measure_names(&sftp).await?;
            }
        }
        Ok(())
    }

    /// Writes into a file from its beginning, whether it is there or not, as a delivery does.
    pub(super) async fn write(&self, path: &str, content: &[u8]) -> sftp::Result<Option<Attributes>> {
        let Some(session) = &self.session else { return Ok(None) };
        let file = open_fresh(session.sftp(), path).await?;
        self.fill(file, 0, content).await
    }

    /// Writes from `offset` on, as a delivery does, and closes the file.
    pub(super) async fn fill(
        &self,
        file: FileHandle,
        offset: u64,
        content: &[u8],
    ) -> sftp::Result<Option<Attributes>> {
        let Some(session) = &self.session else { return Ok(None) };
        let mut upload = session.upload(file).offset(offset).held(offset).start();
        let sent = async {
            upload.push(Bytes::copy_from_slice(content)).await?;
            upload.flush().await
        };
        let sent = sent.await;
        let closed = upload.finish(false).await.map(|closed| closed.attributes);
        sent?;
        closed
    }

    /// `false`: the file is gone already.
    async fn look_at(&mut self, sftp: &Sftp, path: &str) -> Step<bool> {
        let length = content().len() as u64;
        let (found, late) = self.told("stat", sftp, path, length).await?;
        let size = found.as_ref().ok().copied().flatten().and_then(|attributes| attributes.size);
        self.findings.stat = Some(size.is_some_and(|size| size > 0));
        match found {
            Ok(Some(Attributes { size: Some(0), .. })) => {
                let found = format!("the server says 0 bytes of a file of {length} bytes");
                self.demanded("stat", ProofPolicy::Size, found);
            }
            Ok(Some(Attributes { size: Some(size), .. })) if size == length && !late.is_zero() => {
                self.report.warn(
                    "stat",
                    format!(
                        "the server tells the size {:.1} s after the file was closed",
                        late.as_secs_f64()
                    ),
                    "nothing to do: deliveries look again for some seconds before they believe a size",
                );
            }
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
                self.say_swept();
                return Ok(false);
            }
            Err(error) => self.demanded("stat", ProofPolicy::Size, error.to_string()),
        }
        Ok(true)
    }

    /// What the server says of a file of ours, as soon as that is right, or has been wrong for some seconds; and how long it
    /// took if it was not right at once.
    async fn told(
        &mut self,
        check: &'static str,
        sftp: &Sftp,
        path: &str,
        length: u64,
    ) -> Step<(sftp::Result<Option<Attributes>>, Duration)> {
        let started = Instant::now();
        let mut late = Duration::ZERO;
        loop {
            let found = self.answer(check, sftp.stat(path).await)?;
            let is_right = match &found {
                Ok(Some(attributes)) => attributes.size.is_none_or(|size| size == length),
                Ok(None) => false,
                Err(_) => true,
            };
            if is_right || late >= LATE_MAX {
                return Ok((found, late));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            late = started.elapsed();
        }
    }

    /// Nothing can be proved or renamed that is gone.
    fn say_swept(&mut self) {
        self.findings.swept = Some(true);
        let settings = &self.configuration.settings;
        let is_direct = matches!(settings.policy.publish, Publish::Direct);
        let needs_no_proof = matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::None);
        let found = "the file was gone as soon as it was closed: something takes files away on arrival";
        match (is_direct, needs_no_proof) {
            (true, true) => self.report.warn(
                "stat",
                found,
                "nothing to do if it is the partner who collects them: deliveries are `unverified`, as their receipts say",
            ),
            (true, false) => self.report.fail(
                "stat",
                found,
                "SFTP_PROOF demands a proof of what is gone by then, and every delivery would fail: set SFTP_PROOF=auto",
            ),
            (false, _) => self.report.fail(
                "stat",
                found,
                "it takes partial files, too, so that every delivery would fail: nothing is there to be proved or renamed. Set SFTP_PUBLISH=direct, and files are written under their own name; or let the partner leave alone what a partial file is called (SFTP_PARTIAL_NAME)",
            ),
        }
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
        let wanted = self.configuration.settings.attributes;
        let mode = Wanted::mode("chmod", "SFTP_FILE_MODE", "file", wanted.file_mode, FILE_MODE);
        self.findings.chmod = Some(self.set(sftp, path, mode).await?);
        self.findings.mtime = Some(self.set(sftp, path, Wanted::time(wanted.mtime)).await?);
        Ok(())
    }

    /// Whether it can be set, as far as the server says.
    async fn set(&mut self, sftp: &Sftp, path: &str, wanted: Wanted) -> Step<bool> {
        let (check, setting, what) = (wanted.check, wanted.setting, &wanted.what);
        let set = sftp.setstat(path, &wanted.attributes).await;
        let set = self.answer(check, set)?;
        let seen = sftp.stat(path).await;
        let seen = self.answer(check, seen)?.ok().flatten().unwrap_or_default();
        let refused = match (set, wanted.is_seen(&seen)) {
            (Ok(()), Some(false)) => format!("{what} stays what it was, without an error"),
            (Err(error), _) => error.to_string(),
            (Ok(()), seen) => {
                let unseen = if seen.is_none() { ", as far as the server says" } else { "" };
                self.report.ok(check, format!("{what} can be set{unseen}"));
                return Ok(true);
            }
        };
        match wanted.demand {
            None => self.report.absent(check, refused),
            Some(Demand::Try) => {
                let hint = format!(
                    "deliveries go through, each with a warning in its receipt; {setting}=off does not ask for it"
                );
                self.report.warn(check, refused, hint);
            }
            Some(Demand::Require) => {
                let hint = format!(
                    "{setting} demands just this, and deliveries would fail: ask the partner to allow it, or set {setting}={}, which is a warning in each receipt",
                    wanted.lenient
                );
                self.report.fail(check, refused, hint);
            }
        }
        Ok(false)
    }

    /// Going on where an earlier connection stopped. The error says what came of it.
    async fn resume(&mut self, sftp: &Sftp, path: &str) -> Step<Result<(), String>> {
        const EMPTIED: &str = "the server empties a file when it is opened (truncates on open)";
        let length = content().len() as u64;
        let opened = sftp.open(path, OpenFlags::WRITE | OpenFlags::CREATE).await;
        let file = match self.answer("resume", opened)? {
            Ok(file) => file,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let told = sftp.fstat(&file).await;
        let is_empty = matches!(self.answer("resume", told)?, Ok(Attributes { size: Some(0), .. }));
        let written = self.fill(file, length, &content()).await;
        if let Err(error) = self.answer("resume", written)? {
            return Ok(Err(error.to_string()));
        }
        if self.findings.stat == Some(true) {
            if is_empty {
                return Ok(Err(EMPTIED.into()));
            }
            let (told, _) = self.told("resume", sftp, path, 2 * length).await?;
            if let Ok(Some(Attributes { size: Some(size), .. })) = told
                && size != 2 * length
            {
                return Ok(Err(format!("{length} bytes were added to {length}, and the server says {size}")));
            }
        }
        if self.findings.read != Some(true) {
            return Ok(Ok(()));
        }
        // The size is right, too, where there is a hole before what was added.
        let read = read(sftp, path, 2 * length).await;
        Ok(match self.answer("resume", read)? {
            Ok(read) if read == content().repeat(2) => Ok(()),
            Ok(read) if read.iter().take(length as usize).all(|byte| *byte == 0) => Err(EMPTIED.into()),
            Ok(_) => Err("what was there before is not what it was".into()),
            Err(error) => Err(error.to_string()),
        })
    }

    /// Going on, and writing anew.
    async fn reopen(&mut self, sftp: &Sftp, path: &str) -> Step {
        let resumed = self.resume(sftp, path).await?;
        self.findings.resume = Some(resumed.is_ok());
        match resumed {
            Ok(()) => self.report.ok("resume", "a file can be continued"),
            Err(why) => self.report.warn(
                "resume",
                why,
                "a transfer that is interrupted begins again from the first byte: large files need a line that holds",
            ),
        }
        let written = self.write(path, &[b'x'; 16]).await;
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

    async fn make_directory(&mut self, sftp: &Sftp) -> Step {
        let directory = self.scratch.path(".d");
        self.scratch.remember_directory(&directory);
        let mode = self.configuration.settings.attributes.dir_mode;
        match self.answer("mkdir", sftp.mkdir(&directory).await)? {
            Ok(()) => {
                self.findings.mkdir = Some(true);
                self.report.ok("mkdir", "directories can be made");
                let mode = Wanted::mode("chmod-dir", "SFTP_DIR_MODE", "directory", mode, DIR_MODE);
                self.findings.chmod_dir = Some(self.set(sftp, &directory, mode).await?);
            }
            Err(error) => {
                self.scratch.forget(&directory);
                self.findings.mkdir = Some(false);
                self.report.warn(
                    "mkdir",
                    error.to_string(),
                    "object keys with a slash need directories that are there already: let the partner make them",
                );
                self.report.absent("chmod-dir", "no directory could be made to try it");
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
