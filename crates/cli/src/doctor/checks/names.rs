//! Making files: which names the server takes for them.

use bridge::{PartialName, other_partial_names};
use sftp::{Error, FileHandle, OpenFlags, Sftp};

use super::files::content;
use super::{Doctor, Step, Stopped};

/// Of one file name, bytes; nearly every file system takes as many.
const NAME_MAX: usize = 255;

/// As a delivery opens what it sends from the beginning: there are servers that want the flag TRUNC, and servers that refuse
/// it.
pub(super) async fn open_fresh(sftp: &Sftp, path: &str) -> sftp::Result<FileHandle> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    match sftp.open(path, flags | OpenFlags::TRUNCATE).await {
        Err(error) if error.is_status() => match sftp.open(path, flags).await {
            // The first refusal says more of a name or a directory.
            Err(other) if other.is_status() => Err(error),
            other => other,
        },
        other => other,
    }
}

impl Doctor {
    /// Opens a partial file of ours to write to it.
    async fn open_partial(&mut self, sftp: &Sftp) -> Step<(String, sftp::Result<FileHandle>)> {
        let path = self.scratch.partial();
        let opened = self.answer("create", open_fresh(sftp, &path).await)?;
        if opened.is_err() {
            self.scratch.forget(&path);
        }
        Ok((path, opened))
    }

    /// Makes the directories above, where it cannot be seen which of them are there, as a delivery does. Only one that was
    /// made is remembered: another may be the partner's.
    async fn make_unseen(&mut self, sftp: &Sftp) -> Step<Vec<String>> {
        let mut made = Vec::new();
        if !self.configuration.settings.policy.create_directories {
            return Ok(made);
        }
        for directory in self.scratch.above() {
            if self.answer("create", sftp.mkdir(&directory).await)?.is_ok() {
                self.scratch.remember_directory(&directory);
                made.push(directory);
            }
        }
        Ok(made)
    }

    /// Nothing works without this. Returns the partial file.
    pub(super) async fn create(&mut self, sftp: &Sftp) -> Step<String> {
        let (mut path, mut opened) = self.open_partial(sftp).await?;
        let mut made = Vec::new();
        // What the status says does not tell whether a directory is missing.
        if opened.is_err() {
            made = self.make_unseen(sftp).await?;
            if !made.is_empty() {
                (path, opened) = self.open_partial(sftp).await?;
            }
        }
        if let Err(error) = &opened
            && let Some(found) = self.find_name(sftp, error).await?
        {
            (path, opened) = found;
        }
        if let Err(error) = &opened
            && let Some(directory) = self.scratch.staging()
        {
            self.unstage(format!("no file can be made in {directory:?}: {error}"));
            (path, opened) = self.open_partial(sftp).await?;
            if let Err(error) = &opened
                && let Some(found) = self.find_name(sftp, error).await?
            {
                (path, opened) = found;
            }
        }
        match opened {
            Ok(file) => {
                self.say_created(&made);
                self.first_write(file).await?;
                Ok(path)
            }
            Err(error) => {
                self.findings.write = Some(false);
                let hint = match error.is_not_found() {
                    true => "check SFTP_LOCATION: there is no such directory for this user",
                    false => {
                        "ask the partner to let this user write into that directory, or for another one (SFTP_LOCATION)"
                    }
                };
                self.report.fail("create", error.to_string(), hint);
                Err(Stopped)
            }
        }
    }

    fn say_created(&mut self, made: &[String]) {
        if self.report.says("create") {
            return;
        }
        match made.is_empty() {
            true => self.report.ok("create", "a file can be made"),
            false => self.report.warn(
                "create",
                format!("a file can be made; {} was not there: deliveries make it, as this check did (and takes it away again)", made.join(", ")),
                "check that SFTP_LOCATION and SFTP_STAGING_DIRECTORY are spelled as the partner has them",
            ),
        }
    }

    async fn first_write(&mut self, file: FileHandle) -> Step {
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
                self.report.fail("write", error.message(), error.name.hint_for(bridge::Place::CommandLine));
                Err(Stopped)
            }
        }
    }

    /// Another name for the partial file, where the server refuses the one that is set. What is found is open.
    async fn find_name(
        &mut self,
        sftp: &Sftp,
        refused: &Error,
    ) -> Step<Option<(String, sftp::Result<FileHandle>)>> {
        if !self.scratch.has_partial_names() {
            // Ours has a dot that no delivery's has.
            if !self.scratch.show() {
                return Ok(None);
            }
            let (path, opened) = self.open_partial(sftp).await?;
            if opened.is_err() {
                self.scratch.hide();
            }
            return Ok(opened.is_ok().then_some((path, opened)));
        }
        let former = self.scratch.partial_name();
        for template in other_partial_names(&self.scratch.visible_name()) {
            let Ok(name) = PartialName::parse(&template) else { continue };
            self.scratch.call_partial(name);
            let (path, opened) = self.open_partial(sftp).await?;
            if opened.is_ok() {
                self.say_other_name(refused, template);
                return Ok(Some((path, opened)));
            }
        }
        if let Some(former) = former {
            self.scratch.call_partial(former);
        }
        Ok(None)
    }

    fn say_other_name(&mut self, refused: &Error, template: String) {
        let found = format!("the server refuses the name of a partial file, and takes others: {refused}");
        let mut hint = format!(
            "every delivery would fail: set SFTP_PARTIAL_NAME={template}. The rest is checked with it"
        );
        if !template.ends_with(".part") {
            hint.push_str(". Readers may take a partial file of that name for a whole one: ask the partner for a directory on the same file system that they do not look into, and set SFTP_STAGING_DIRECTORY to it");
        }
        self.report.fail("create", found, hint);
        self.findings.partial_name = Some(template);
    }

    /// How long names may be, and what is left of that for final names beside what a partial file's name has more.
    pub(super) async fn measure_names(&mut self, sftp: &Sftp) -> Step {
        // A name that is no longer than others may be refused, too: for what it begins or ends with.
        if !self.takes_name(sftp, 0).await? {
            self.report.absent("names", "how long names may be was not found out");
            return Ok(());
        }
        let longest = self.longest_name(sftp).await?;
        let visible = self.scratch.visible_name();
        let partial = self.scratch.partial();
        self.scratch.forget(&partial);
        let partial = partial.rsplit('/').next().unwrap_or_default();
        let more = partial.len().saturating_sub(visible.len());
        let grows = self.scratch.has_partial_names() && partial.contains(&visible);
        let found = format!("names of up to {longest} bytes are taken");
        if longest >= NAME_MAX || !grows {
            self.report.ok("names", found);
            return Ok(());
        }
        let left = longest.saturating_sub(more);
        self.report.warn(
            "names",
            format!("{found}; a partial file's name is {more} bytes longer than the final name"),
            format!("deliveries whose final name has more than {left} bytes would fail: if there are any, set SFTP_PARTIAL_NAME={{id}}.part"),
        );
        Ok(())
    }

    async fn longest_name(&mut self, sftp: &Sftp) -> Step<usize> {
        let (mut taken, mut refused) = (self.scratch.visible_name().len(), NAME_MAX + 1);
        let mut length = NAME_MAX;
        while taken + 1 < refused {
            if self.takes_name(sftp, length).await? {
                taken = length;
            } else {
                refused = length;
            }
            length = taken.midpoint(refused);
        }
        Ok(taken)
    }

    async fn takes_name(&mut self, sftp: &Sftp, length: usize) -> Step<bool> {
        let path = self.scratch.file_of(length);
        match self.answer("names", open_fresh(sftp, &path).await)? {
            Ok(file) => {
                let closed = sftp.close(file).await;
                let _ = self.answer("names", closed)?;
                match self.answer("names", sftp.remove(&path).await)? {
                    Err(error) if !error.is_not_found() => {}
                    _ => self.scratch.forget(&path),
                }
                Ok(true)
            }
            Err(_) => {
                self.scratch.forget(&path);
                Ok(false)
            }
        }
    }
}
