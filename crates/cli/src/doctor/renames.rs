//! Publishing: renaming onto a free name and onto an existing one, out of the staging directory, and what keeps a file.

use std::time::{Duration, Instant};

use bridge::{IfExists, Marker, ProofPolicy, Publish};
use sftp::{Error, Sftp, Status};

use super::{Doctor, Step, Stopped};

/// Between two tries of a rename that was refused.
const PAUSE: Duration = Duration::from_secs(1);

impl Doctor {
    /// Onto a free name. Returns where the file is now.
    pub(super) async fn rename(&mut self, sftp: &Sftp, partial: String) -> Step<String> {
        let path = self.scratch.path("");
        let free = self.answer("if-exists", sftp.stat(&path).await)?;
        let keeps = self.configuration.settings.policy.if_exists.keeps();
        let (mut renamed, waited) = self.rename_patiently(sftp, partial, path).await?;
        if let Some(directory) = self.scratch.staging() {
            renamed = self.judge_staging(sftp, &directory, renamed).await?;
        }
        self.findings.rename = renamed.replacing();
        self.findings.rename_new = renamed.keeping();
        self.say_renamed(sftp, &renamed, waited, keeps);
        self.say_if_exists(free.err());
        Ok(renamed.at)
    }

    fn say_renamed(&mut self, sftp: &Sftp, renamed: &Renamed, waited: Option<Waited>, keeps: bool) {
        let posix = match sftp.can_replace() {
            true => yes_or_why(renamed.posix.as_ref()),
            false => "not offered".into(),
        };
        let mut in_words = format!("plain: {}; posix-rename: {posix}", yes_or_why(renamed.plain.as_ref()));
        match (renamed.suffices(keeps), waited, &self.configuration.settings.policy.publish) {
            (true, None, _) => self.report.ok("rename", in_words),
            (true, Some(waited), _) => self.report.warn(
                "rename",
                format!("{in_words}; before that it was refused for {:.0} s: {}", waited.time.as_secs_f64(), waited.refusal),
                "something holds a file for some time after it was written, a virus scanner most likely. Nothing is to be changed: deliveries try a refused rename again for at least 30 s",
            ),
            (false, waited, publish) => {
                if let Some(waited) = waited {
                    in_words.push_str(&format!("; refused for {:.0} s", waited.time.as_secs_f64()));
                }
                match publish {
                    Publish::Direct => self.report.warn(
                        "rename",
                        in_words,
                        "with SFTP_PUBLISH=direct nothing is renamed; readers see files while they are written",
                    ),
                    Publish::Rename { .. } => self.report.fail(
                        "rename",
                        in_words,
                        "ask the partner to allow it. Only if that is impossible, set SFTP_PUBLISH=direct: files are then written under their own name, and readers see them grow",
                    ),
                }
            }
        }
    }

    /// A refusal is believed if it lasts, or if the server says that it does not rename at all: something may hold a file
    /// for some time after it was written. A name without a leading dot is tried as well.
    async fn rename_patiently(
        &mut self,
        sftp: &Sftp,
        partial: String,
        path: String,
    ) -> Step<(Renamed, Option<Waited>)> {
        let keeps = self.configuration.settings.policy.if_exists.keeps();
        // With the default time limit of 20 s, as long as a delivery is patient.
        let patience = self.configuration.timeout() * 3 / 2;
        let started = Instant::now();
        let mut renamed = self.rename_both(sftp, partial, path).await?;
        let is_direct = matches!(self.configuration.settings.policy.publish, Publish::Direct);
        let is_final = renamed.suffices(keeps) || !renamed.may_pass() || is_direct;
        let Some(refusal) = renamed.refusal().filter(|_| !is_final) else { return Ok((renamed, None)) };
        while !renamed.suffices(keeps) && renamed.may_pass() && started.elapsed() < patience {
            tokio::time::sleep(PAUSE).await;
            renamed = self.rename_both(sftp, renamed.at, renamed.other).await?;
            if !renamed.is_renamed() {
                let (now, is_the_dot) = self.rename_without_dot(sftp, renamed, keeps).await?;
                if is_the_dot {
                    return Ok((now, None));
                }
                renamed = now;
            }
        }
        Ok((renamed, Some(Waited { time: started.elapsed(), refusal })))
    }

    /// Where a name with a leading dot is refused: whether one without is taken, as a delivery's final name mostly is. Such
    /// names are given from then on.
    async fn rename_without_dot(
        &mut self,
        sftp: &Sftp,
        renamed: Renamed,
        keeps: bool,
    ) -> Step<(Renamed, bool)> {
        if !self.scratch.show() {
            return Ok((renamed, false));
        }
        let (hidden, visible) = (renamed.other, self.scratch.path(""));
        let renamed = self.rename_both(sftp, renamed.at, visible).await?;
        if !renamed.suffices(keeps) {
            self.scratch.hide();
            return Ok((Renamed { other: hidden, ..renamed }, false));
        }
        // A lock may just have passed: then the dot is taken, too.
        let again = self.rename_both(sftp, renamed.at, hidden).await?;
        if again.suffices(keeps) {
            self.scratch.hide();
            return Ok((again, false));
        }
        Ok((Renamed { plain: renamed.plain, posix: renamed.posix, ..again }, true))
    }

    /// In both ways, first in that of a delivery: a drop box may take the file away behind it.
    async fn rename_both(&mut self, sftp: &Sftp, from: String, to: String) -> Step<Renamed> {
        let mut renamed = Renamed { at: from, other: to, plain: None, posix: None };
        self.scratch.remember(&renamed.other);
        let ways = match (sftp.can_replace(), self.configuration.settings.policy.if_exists.keeps()) {
            (false, _) => &[Way::Plain][..],
            (true, false) => &[Way::Posix, Way::Plain],
            (true, true) => &[Way::Plain, Way::Posix],
        };
        for way in ways {
            let outcome = match way {
                Way::Plain => sftp.rename_noreplace(&renamed.at, &renamed.other).await,
                Way::Posix => sftp.rename(&renamed.at, &renamed.other).await,
            };
            let outcome = self.answer("rename", outcome)?;
            let is_gone = renamed.is_renamed() && outcome.as_ref().is_err_and(Error::is_not_found);
            if outcome.is_ok() {
                std::mem::swap(&mut renamed.at, &mut renamed.other);
            }
            let outcome = (!is_gone).then_some(outcome);
            match way {
                Way::Plain => renamed.plain = outcome,
                Way::Posix => renamed.posix = outcome,
            }
        }
        self.scratch.renamed(&renamed.other, &renamed.at);
        Ok(renamed)
    }

    /// Whether the staging directory is to blame where nothing can be renamed out of it: then it goes on without.
    async fn judge_staging(&mut self, sftp: &Sftp, directory: &str, renamed: Renamed) -> Step<Renamed> {
        let keeps = self.configuration.settings.policy.if_exists.keeps();
        if renamed.suffices(keeps) {
            self.findings.staging = Some(true);
            let found = format!("partial files can lie in {directory:?}, and be renamed from there");
            match self.scratch.has_made(directory) {
                false => self.report.ok("staging", found),
                true => self.report.warn(
                    "staging",
                    format!("{found}; it was not there: deliveries make it, as this check did (and takes it away again)"),
                    "check that SFTP_STAGING_DIRECTORY is spelled as the partner has it",
                ),
            }
            return Ok(renamed);
        }
        let beside = self.scratch.partial_beside();
        let written = self.write(&beside, b"x").await;
        if self.answer("staging", written)?.is_err() {
            self.scratch.forget(&beside);
            return Ok(renamed);
        }
        let path = self.scratch.path("");
        let again = self.rename_both(sftp, beside, path).await?;
        if !again.suffices(keeps) {
            return Ok(again);
        }
        let refused = renamed.refusal().map(|error| error.to_string()).unwrap_or_default();
        self.unstage(format!(
            "nothing can be renamed out of {directory:?}, which may be another file system: {refused}"
        ));
        Ok(again)
    }

    /// Onto an existing name.
    pub(super) async fn replace(&mut self, sftp: &Sftp) -> Step {
        let (partial, path) = (self.scratch.partial(), self.scratch.file(""));
        self.write_again(&path).await?;
        self.write_again(&partial).await?;
        let plain = sftp.rename_noreplace(&partial, &path).await;
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
            yes_or_why(Some(&plain)),
            posix.as_ref().map_or("not offered".into(), |posix| yes_or_why(Some(posix)))
        );
        let in_one_step = posix.as_ref().unwrap_or(&plain).is_ok();
        self.findings.replace = Some(in_one_step);
        match in_one_step {
            true => self.report.ok("replace", in_words),
            false => {
                let hint = self.replace_in_two_steps(sftp, &partial, &path).await?;
                self.report.warn("replace", in_words, hint);
            }
        }
        for file in [path, partial] {
            match self.answer("replace", sftp.remove(&file).await)? {
                Err(error) if !error.is_not_found() => {}
                _ => self.scratch.forget(&file),
            }
        }
        Ok(())
    }

    /// By moving the former file aside. Returns what that means.
    async fn replace_in_two_steps(&mut self, sftp: &Sftp, partial: &str, path: &str) -> Step<&'static str> {
        let aside = self.scratch.file(".aside");
        let moved = sftp.rename_noreplace(path, &aside).await;
        if self.answer("replace", moved)?.is_err() {
            self.scratch.forget(&aside);
            return Ok(
                "a new version of a file is published by removing the former one just before: for a moment there is no file of that name, and if publishing then fails, the former one is gone",
            );
        }
        let published = sftp.rename_noreplace(partial, path).await;
        let published = self.answer("replace", published)?;
        if let Ok(()) = self.answer("replace", sftp.remove(&aside).await)? {
            self.scratch.forget(&aside);
        }
        Ok(match published {
            Ok(()) => {
                "a new version of a file is published by moving the former one aside: for a moment there is no file of that name"
            }
            Err(_) => {
                "a new version of a file cannot be published, although the former one can be moved aside: ask the partner to allow it"
            }
        })
    }

    async fn write_again(&mut self, path: &str) -> Step {
        let written = self.write(path, b"x").await;
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

    /// What `fail` and `keep-both` need: to see what is there, to compare it, and a rename that does not replace.
    fn say_if_exists(&mut self, unseen: Option<Error>) {
        let settings = &self.configuration.settings;
        let knows_hash = matches!(settings.proof, ProofPolicy::Auto | ProofPolicy::Hash)
            || settings.marker == Marker::Sha256;
        let hashes = self.findings.hash == Some(true) && knows_hash;
        let problem = match unseen {
            Some(error) => Some(format!("whether a name is free cannot be seen: {error}")),
            None if self.findings.read != Some(true) && !hashes => {
                Some("what is there cannot be read to compare it".into())
            }
            None if self.findings.rename_new == Some(false) => {
                Some("the rename that does not replace is refused".into())
            }
            None => None,
        };
        self.findings.keep = Some(problem.is_none());
        let if_exists = settings.policy.if_exists;
        match (problem, if_exists) {
            (None, _) => self.report.ok("if-exists", "what is there can be seen, compared and kept"),
            (Some(problem), IfExists::Replace | IfExists::Skip) => {
                self.report.absent("if-exists", format!("no `fail` and no `keep-both`: {problem}"));
            }
            (Some(problem), IfExists::Fail | IfExists::KeepBoth) => self.report.fail(
                "if-exists",
                problem,
                format!(
                    "SFTP_IF_EXISTS={} needs that, and deliveries would fail: ask the partner to allow it, or set SFTP_IF_EXISTS=replace",
                    if_exists.as_str()
                ),
            ),
        }
    }
}

/// How long a rename was refused, and how at first.
struct Waited {
    time: Duration,
    refusal: Error,
}

/// How a file was renamed; `None`: it was not tried, or the file had been taken away by then.
struct Renamed {
    /// Where it is now.
    at: String,
    /// The other of the two names.
    other: String,
    plain: Option<sftp::Result<()>>,
    posix: Option<sftp::Result<()>>,
}

impl Renamed {
    fn is_renamed(&self) -> bool {
        [&self.plain, &self.posix].into_iter().flatten().any(Result::is_ok)
    }

    fn refusals(&self) -> impl Iterator<Item = &Error> {
        [&self.posix, &self.plain].into_iter().flatten().filter_map(|outcome| outcome.as_ref().err())
    }

    /// The one that says most.
    fn refusal(&self) -> Option<Error> {
        self.refusals().find(|error| !error.is_unsupported()).or(self.refusals().next()).cloned()
    }

    /// Whether the server refused, and did not say that it does not rename at all.
    fn may_pass(&self) -> bool {
        self.refusals().any(|error| !error.is_unsupported())
    }

    /// Whether a delivery's rename works that may replace a file.
    fn replacing(&self) -> Option<bool> {
        works(self.posix.as_ref(), self.plain.as_ref())
    }

    /// Whether one works that may not.
    fn keeping(&self) -> Option<bool> {
        works(self.plain.as_ref(), self.posix.as_ref())
    }

    /// Whether one of those works that the settings allow, or would with another `SFTP_IF_EXISTS`.
    fn suffices(&self, keeps: bool) -> bool {
        self.replacing() != Some(false) || keeps && self.keeping() == Some(true)
    }
}

enum Way {
    Plain,
    Posix,
}

/// Whether a delivery's rename works that asks for the one way, and for the other where the server does not know it.
fn works(first: Option<&sftp::Result<()>>, second: Option<&sftp::Result<()>>) -> Option<bool> {
    match first {
        Some(Ok(())) => Some(true),
        Some(Err(error)) if !error.is_unsupported() => Some(false),
        Some(Err(_)) => Some(second.is_some_and(Result::is_ok)),
        None => second.map(Result::is_ok),
    }
}

fn yes_or_why(outcome: Option<&sftp::Result<()>>) -> String {
    match outcome {
        Some(Ok(())) => "yes".into(),
        Some(Err(Error::Refused(Status { code, message, .. }))) if message.is_empty() => {
            format!("refused, {code}")
        }
        Some(Err(Error::Refused(Status { code, message, .. }))) => format!("refused, {code}, {message:?}"),
        Some(Err(error)) => error.to_string(),
        None => "the file was taken away before".into(),
    }
}
