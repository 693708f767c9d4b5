//! Mode and modification time of files and directories.

use bridge::{AttributeSettings, Demand, ErrorName, Result};
use sftp::{Attributes, FileHandle, Sftp, Status};

use super::look::{Seen, look};
use super::reply::Reply;

/// Smallest difference of two times that is not due to rounding, in seconds. Some file systems store even seconds only.
const TIME_DIFFERENCE_MIN: u32 = 2;

/// What the attributes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributesOf {
    /// A directory that was just made.
    Directory,
    /// A partial file.
    PartialFile {
        /// This delivery has asked the server to rename it, so it may have the final name by now.
        rename_requested: bool,
    },
    /// A file that is written under its final name.
    FinalFile,
}

/// What the settings ask for a delivered file.
#[derive(Clone, Debug)]
pub struct FileAttributes(Vec<Wanted>);

/// What one setting asks for.
#[derive(Clone, Debug)]
struct Wanted {
    setting: &'static str,
    demand: Demand,
    attributes: Attributes,
}

impl FileAttributes {
    /// `last_modified` is when S3 stored the object, in seconds since 1970.
    pub fn wanted(settings: AttributeSettings, last_modified: Option<i64>) -> Self {
        let mode = settings.file_mode.map(|mode| Wanted {
            setting: "SFTP_FILE_MODE",
            demand: mode.demand,
            attributes: Attributes { permissions: Some(mode.bits), ..Attributes::default() },
        });
        // The times of SFTP end in 2106.
        let modified = last_modified.and_then(|seconds| u32::try_from(seconds).ok());
        let time = settings.mtime.zip(modified).map(|(demand, seconds)| Wanted {
            setting: "SFTP_PRESERVE_MTIME",
            demand,
            attributes: Attributes { modified: Some(seconds), ..Attributes::default() },
        });
        Self(mode.into_iter().chain(time).collect())
    }

    /// What is left to set on a file that has these attributes.
    #[must_use]
    pub fn missing_from(mut self, shown: &Attributes) -> Self {
        let mode = shown.permissions.map(|mode| mode & 0o7777);
        self.0.retain(|Wanted { attributes: wanted, .. }| {
            let has_mode = wanted.permissions.is_none() || wanted.permissions == mode;
            let has_time = wanted.modified.is_none() || wanted.modified == shown.modified;
            !(has_mode && has_time)
        });
        self
    }

    /// All of them, unless there are none.
    pub fn together(&self) -> Option<Attributes> {
        let both = |both: Attributes, one: Attributes| Attributes {
            permissions: both.permissions.or(one.permissions),
            modified: both.modified.or(one.modified),
            ..both
        };
        self.0.iter().map(|wanted| wanted.attributes).reduce(both)
    }
}

/// Sets what is wanted of a delivered file, and closes it if it was still open to be `read`: all in one flight. If the
/// server does not do it, and an open file or another attribute may be the reason, each attribute is set once more
/// alone, before it becomes a warning or an error. Returns warnings.
///
/// # Errors
/// `InvalidConfig` if the settings require something that the server does not do, or the session was lost.
pub async fn set_file_attributes(
    sftp: &Sftp,
    path: &str,
    wanted: FileAttributes,
    of: AttributesOf,
    read: Option<FileHandle>,
) -> Result<Vec<String>> {
    let Some(together) = wanted.together() else { return Ok(Vec::new()) };
    let was_open = read.is_some();
    let (closed, set) = tokio::join!(biased; close_read(sftp, read), try_attributes(sftp, path, together));
    closed?;
    let set = set?;
    if matches!(set, AttributesSet::Shown | AttributesSet::NotShown) {
        return Ok(Vec::new());
    }
    if let [only] = &wanted.0[..]
        && !was_open
    {
        // Neither an open file nor another attribute explains it.
        let warning = judge(sftp, path, set, only.demand, only.setting, of).await?;
        return Ok(warning.into_iter().collect());
    }
    // Some servers refuse to change a file that is still open. Of two attributes, only one may be refused.
    let mut warnings = Vec::new();
    for Wanted { setting, demand, attributes } in wanted.0 {
        warnings.extend(set_attributes(sftp, path, attributes, demand, setting, of).await?);
    }
    Ok(warnings)
}

/// Closes a file that was only read: a refusal does not matter.
async fn close_read(sftp: &Sftp, file: Option<FileHandle>) -> Result<()> {
    if let Some(file) = file {
        Reply::of(sftp.close(file).await)?;
    }
    Ok(())
}

/// Sets the `wanted` mode or time of `path`. If the server does not do it, the outcome depends on the `demand` of
/// `setting`: a warning, or an error.
///
/// # Errors
/// `InvalidConfig` if it is required and the server does not do it, or the session was lost.
pub async fn set_attributes(
    sftp: &Sftp,
    path: &str,
    wanted: Attributes,
    demand: Demand,
    setting: &str,
    of: AttributesOf,
) -> Result<Option<String>> {
    let set = try_attributes(sftp, path, wanted).await?;
    judge(sftp, path, set, demand, setting, of).await
}

/// What it means for the `demand` of `setting` that the attributes were set or not.
async fn judge(
    sftp: &Sftp,
    path: &str,
    set: AttributesSet,
    demand: Demand,
    setting: &str,
    of: AttributesOf,
) -> Result<Option<String>> {
    let why = match set {
        AttributesSet::Shown | AttributesSet::NotShown => return Ok(None),
        AttributesSet::Refused(status) if status.is_not_found() && is_gone(sftp, path, of).await? => {
            return Ok(None);
        }
        AttributesSet::Refused(status) => status.to_string(),
        AttributesSet::Ignored(difference) => difference,
    };
    match demand {
        Demand::Try => {
            tracing::warn!(setting, why, "the server did not set an attribute");
            Ok(Some(format!("{setting}: {why}")))
        }
        Demand::Require => {
            let stands = match of {
                AttributesOf::FinalFile => "the file is there without it",
                AttributesOf::Directory | AttributesOf::PartialFile { .. } => "nothing was published",
            };
            Err(ErrorName::InvalidConfig.error(format!(
                "{setting} requires what the server does not do: {why}; {stands}. Use try, or off"
            )))
        }
    }
}

/// Whether the file is gone because another execution of the same version was faster: it has set the attributes and
/// renamed the file. If the server shows nothing, "no such file" may mean a missing permission, so only a rename that we
/// requested ourselves explains it.
async fn is_gone(sftp: &Sftp, path: &str, of: AttributesOf) -> Result<bool> {
    match look(sftp, path).await? {
        Seen::File(_) | Seen::Directory => Ok(false),
        Seen::Nothing => Ok(true),
        Seen::Hidden => Ok(matches!(of, AttributesOf::PartialFile { rename_requested: true })),
    }
}

/// Outcome of [`try_attributes`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributesSet {
    /// The server shows the attributes that it was asked to set.
    Shown,
    /// The server said OK, and does not show these attributes.
    NotShown,
    /// The server said OK, and shows other attributes: says which.
    Ignored(String),
    /// The server refused.
    Refused(Status),
}

/// Asks the server to set a mode or a time, and looks in the same flight whether it did.
///
/// # Errors
/// The session was lost.
pub async fn try_attributes(sftp: &Sftp, path: &str, wanted: Attributes) -> Result<AttributesSet> {
    let (set, shown) = tokio::join!(biased; sftp.setstat(path, &wanted), sftp.stat(path));
    if let Reply::Refused(status) = Reply::of(set)? {
        return Ok(AttributesSet::Refused(status));
    }
    Ok(match compare(path, wanted, shown)? {
        // The server may have looked before.
        AttributesSet::Ignored(_) => compare(path, wanted, sftp.stat(path).await)?,
        set => set,
    })
}

/// Whether a STAT shows what was asked for.
fn compare(path: &str, wanted: Attributes, shown: sftp::Result<Option<Attributes>>) -> Result<AttributesSet> {
    let shown = Reply::of(shown)?.done().flatten().unwrap_or_default();
    let mode = wanted.permissions.zip(shown.permissions.map(|mode| mode & 0o7777));
    let time = wanted.modified.zip(shown.modified);
    Ok(match (mode, time) {
        (Some((wanted, shown)), _) if wanted != shown => AttributesSet::Ignored(format!(
            "{path:?} has the mode {shown:04o} after it was set to {wanted:04o}"
        )),
        (_, Some((wanted, shown))) if wanted.abs_diff(shown) >= TIME_DIFFERENCE_MIN => {
            AttributesSet::Ignored(format!(
                "{path:?} has the time {shown} (seconds since 1970) after it was set to {wanted}"
            ))
        }
        (None, None) => AttributesSet::NotShown,
        _ => AttributesSet::Shown,
    })
}

#[cfg(test)]
mod tests {
    use bridge::Mode;
    use sftp::OpenFlags;

    use super::super::script::{Answer, Ask, Server};
    use super::*;

    const FLIGHT: [Ask; 2] = [Ask::Setstat, Ask::Stat];
    const PARTIAL: AttributesOf = AttributesOf::PartialFile { rename_requested: false };

    fn settings(file_mode: Option<Mode>) -> AttributeSettings {
        AttributeSettings { file_mode, mtime: Some(Demand::Try), ..AttributeSettings::default() }
    }

    /// Sets the time 900, and this mode, while the server does as it is told.
    async fn set(
        session: &sftp::Session,
        file_mode: Option<Mode>,
        read: Option<FileHandle>,
        serving: impl Future<Output = ()>,
    ) -> Vec<String> {
        let wanted = FileAttributes::wanted(settings(file_mode), Some(900));
        let setting = set_file_attributes(session.sftp(), "path", wanted, PARTIAL, read);
        let (warnings, ()) = tokio::join!(setting, serving);
        warnings.unwrap()
    }

    #[test]
    fn what_a_file_has_already_is_not_missing() {
        let mode = Some(Mode { bits: 0o600, demand: Demand::Try });
        let missing = |permissions, modified| {
            let shown = Attributes { permissions, modified, ..Attributes::default() };
            let left = FileAttributes::wanted(settings(mode), Some(900)).missing_from(&shown).together();
            left.map(|left| (left.permissions, left.modified))
        };
        assert_eq!(missing(Some(0o100_600), Some(900)), None);
        assert_eq!(missing(Some(0o100_644), Some(900)), Some((Some(0o600), None)));
        assert_eq!(missing(Some(0o100_600), Some(901)), Some((None, Some(900))), "not even a second");
        assert_eq!(missing(None, None), Some((Some(0o600), Some(900))), "the server does not tell them");
    }

    #[tokio::test]
    async fn mode_and_time_are_set_and_looked_at_in_one_flight() {
        let (mut server, session) = Server::start().await;
        let mode = Some(Mode { bits: 0o600, demand: Demand::Try });
        let answers = [(0, Answer::Ok), (1, Answer::File(5, 0o600, 900))];
        assert_eq!(set(&session, mode, None, server.flight(&FLIGHT, &answers)).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_server_that_looks_before_it_sets_is_looked_at_again() {
        for (time, warnings_expected) in [(900, 0), (8, 1)] {
            let (mut server, session) = Server::start().await;
            let serving = async {
                server.flight(&FLIGHT, &[(1, Answer::File(5, 0o644, 7)), (0, Answer::Ok)]).await;
                server.flight(&[Ask::Stat], &[(0, Answer::File(5, 0o644, time))]).await;
            };
            let warnings = set(&session, None, None, serving).await;
            assert_eq!(warnings.len(), warnings_expected, "{warnings:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_that_nothing_else_explains_is_believed_at_once() {
        let (mut server, session) = Server::start().await;
        let answers = [(0, Answer::Failure), (1, Answer::File(5, 0o644, 7))];
        let warnings = set(&session, None, None, server.flight(&FLIGHT, &answers)).await;
        assert!(warnings[0].starts_with("SFTP_PRESERVE_MTIME"), "{warnings:?}");
    }

    #[tokio::test]
    async fn a_file_that_was_still_open_is_asked_for_once_more() {
        let (mut server, session) = Server::start().await;
        let flags = OpenFlags::READ;
        let (file, ()) = tokio::join!(
            session.sftp().open("path", flags),
            server.flight(&[Ask::Open], &[(0, Answer::Handle)])
        );
        let serving = async {
            let asks = [Ask::Close, Ask::Setstat, Ask::Stat];
            let seen = Answer::File(5, 0o644, 7);
            // That the CLOSE is refused does not matter.
            server.flight(&asks, &[(1, Answer::Failure), (2, seen), (0, Answer::Failure)]).await;
            server.flight(&FLIGHT, &[(0, Answer::Ok), (1, Answer::File(5, 0o644, 900))]).await;
        };
        assert_eq!(set(&session, None, Some(file.unwrap()), serving).await, [""; 0]);
    }

    #[tokio::test]
    async fn of_two_attributes_the_refused_one_is_named() {
        let (mut server, session) = Server::start().await;
        let seen = Answer::File(5, 0o600, 7);
        let serving = async {
            server.flight(&FLIGHT, &[(0, Answer::Failure), (1, seen)]).await;
            server.flight(&FLIGHT, &[(0, Answer::Ok), (1, seen)]).await;
            server.flight(&FLIGHT, &[(0, Answer::Failure), (1, seen)]).await;
        };
        let mode = Some(Mode { bits: 0o600, demand: Demand::Try });
        let warnings = set(&session, mode, None, serving).await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].starts_with("SFTP_PRESERVE_MTIME"), "{warnings:?}");
    }
}
