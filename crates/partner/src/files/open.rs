//! The partial file on the server, before and after bytes are sent.

use bridge::{ErrorName, Mode, Publish, RemotePaths, Result, Settings, other_partial_names};
use partner::set_attributes;
use sftp::{Attributes, FileHandle, OpenFlags, Sftp};

/// How the partial file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenAs {
    /// The whole object is sent: what is there is cut off.
    Fresh,
    /// The file is continued: what is there stays, whatever the server wants.
    Resume,
}

impl OpenAs {
    fn flags(self) -> OpenFlags {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE;
        match self {
            Self::Fresh => flags | OpenFlags::TRUNCATE,
            Self::Resume => flags,
        }
    }
}

/// Opens the partial file. A status says little of why a server refuses: what is there decides what is tried next.
pub(crate) async fn open_partial(
    sftp: &Sftp,
    remote: &RemotePaths,
    settings: &Settings,
    open_as: OpenAs,
    mut warn: impl FnMut(String),
) -> Result<FileHandle> {
    if matches!(&settings.policy.publish, Publish::Rename { staging_directory: Some(_), .. }) {
        // That the partial file can be opened says nothing of the directory that it is to be renamed into.
        make_directories(sftp, &remote.directories(), settings, &mut warn).await?;
    }
    let mut opened = open(sftp, &remote.partial, open_as).await?;
    if let Opened::Refused(_) = opened
        && let Directories::Made =
            make_directories(sftp, &remote.partial_directories(), settings, &mut warn).await?
    {
        opened = open(sftp, &remote.partial, open_as).await?;
    }
    match (opened, open_as) {
        (Opened::File(file), _) => Ok(file),
        (Opened::Refused(refused), OpenAs::Resume) => Err(refused.into()),
        (Opened::Refused(refused), OpenAs::Fresh) => open_otherwise(sftp, remote, refused).await,
    }
}

/// What came of an OPEN; the loss of the session is an error.
enum Opened {
    File(FileHandle),
    Refused(sftp::Error),
}

async fn open(sftp: &Sftp, path: &str, open_as: OpenAs) -> Result<Opened> {
    match sftp.open(path, open_as.flags()).await {
        Ok(file) => Ok(Opened::File(file)),
        Err(error) => match bridge::Error::from(error.clone()).name {
            // Neither directories nor names are to blame.
            ErrorName::RemoteFull | ErrorName::ConnectionLost => Err(error.into()),
            _ if error.is_status() => Ok(Opened::Refused(error)),
            _ => Err(error.into()),
        },
    }
}

/// There are servers that refuse the flag TRUNC, and servers that refuse the name.
async fn open_otherwise(sftp: &Sftp, remote: &RemotePaths, refused: sftp::Error) -> Result<FileHandle> {
    // Nothing of a longer file may stay behind the end of the new one.
    let may_be_there = match sftp.remove(&remote.partial).await {
        Ok(()) => false,
        Err(error) if error.is_status() => !error.is_not_found(),
        Err(error) => return Err(error.into()),
    };
    if may_be_there && holds_something(sftp, &remote.partial).await? {
        // A name that was taken before is not to blame.
        return Err(refused.into());
    }
    match open(sftp, &remote.partial, OpenAs::Resume).await? {
        Opened::File(file) => Ok(file),
        Opened::Refused(_) if remote.is_direct() => Err(refused.into()),
        Opened::Refused(_) => open_unless_it_is_the_name(sftp, remote, refused).await,
    }
}

/// Whether there is more than an empty file, as far as the server says.
async fn holds_something(sftp: &Sftp, path: &str) -> Result<bool> {
    match sftp.stat(path).await {
        Ok(attributes) => Ok(attributes.is_some_and(|attributes| attributes.size != Some(0))),
        Err(error) if error.is_status() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens what nothing is known of: with the flag TRUNC, or without.
async fn open_either(sftp: &Sftp, path: &str) -> Result<Opened> {
    match open(sftp, path, OpenAs::Fresh).await? {
        Opened::Refused(_) => open(sftp, path, OpenAs::Resume).await,
        opened => Ok(opened),
    }
}

/// Some servers take no names that begin with a dot, none of more than 143 bytes, or only those with a certain ending. If
/// another name is taken where this one is refused, the error says which.
async fn open_unless_it_is_the_name(
    sftp: &Sftp,
    remote: &RemotePaths,
    refused: sftp::Error,
) -> Result<FileHandle> {
    let opened_before = sftp.opened();
    let Some(other) = find_name(sftp, remote).await? else { return Err(refused.into()) };
    // A lock passes, and a server that limits how many files are open refuses one name and takes the next, too.
    for _ in 0..CONFIRMATIONS {
        if let Opened::File(file) = open_either(sftp, &remote.partial).await? {
            return Ok(file);
        }
        if !other.is_taken(sftp).await? {
            return Err(refused.into());
        }
    }
    if sftp.opened() != opened_before + 1 + u64::from(CONFIRMATIONS) {
        // Other files were opened meanwhile: it may be their number, and not the name.
        return Err(refused.into());
    }
    let left = match sftp.stat(&other.path).await {
        Ok(Some(_)) => format!(". {:?} was made to find this out, and could not be removed", other.path),
        _ => String::new(),
    };
    Err(ErrorName::InvalidConfig.error(format!(
        "the server refuses the name of the partial file, and takes others: {refused}; nothing was sent. Set SFTP_PARTIAL_NAME={}{left}",
        other.template
    )))
}

/// How many times more the one name is to be refused and the other one taken.
const CONFIRMATIONS: u32 = 3;

/// Another name for the partial file, and the path that stands for it.
struct OtherName {
    template: String,
    path: String,
}

async fn find_name(sftp: &Sftp, remote: &RemotePaths) -> Result<Option<OtherName>> {
    let name = remote.path.rsplit('/').next().unwrap_or_default();
    let directory = remote.partial.rfind('/').map_or("", |slash| &remote.partial[..=slash]);
    // At least as long as a delivery's.
    let id = format!("{:032x}", fastrand::u128(..));
    for template in other_partial_names(name) {
        let path = format!("{directory}{}", template.replace("{id}", &id).replace("{name}", name));
        let other = OtherName { template, path };
        if other.is_taken(sftp).await? {
            return Ok(Some(other));
        }
    }
    Ok(None)
}

impl OtherName {
    /// Makes an empty file of the name, and removes it.
    async fn is_taken(&self, sftp: &Sftp) -> Result<bool> {
        let Opened::File(file) = open_either(sftp, &self.path).await? else { return Ok(false) };
        for answer in [sftp.close(file).await, sftp.remove(&self.path).await] {
            match answer {
                Err(error) if !error.is_status() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(true)
    }
}

/// What became of the directories that a file needs.
enum Directories {
    WereThere,
    /// They were made, or may have been: it is worth opening the file again.
    Made,
}

/// Makes those that are missing, outermost first.
async fn make_directories(
    sftp: &Sftp,
    directories: &[&str],
    settings: &Settings,
    warn: &mut impl FnMut(String),
) -> Result<Directories> {
    let Some(innermost) = directories.last() else { return Ok(Directories::WereThere) };
    let seen = look(sftp, innermost).await?;
    if let Seen::Directory = seen {
        return Ok(Directories::WereThere);
    }
    if !settings.policy.create_directories {
        return match seen {
            Seen::Hidden => refuse_file_above(sftp, directories).await.map(|()| Directories::WereThere),
            _ => {
                refuse_file_above(sftp, directories).await?;
                Err(ErrorName::RemotePathRejected.error(format!(
                    "the directory {innermost:?} is not there, and SFTP_CREATE_DIRECTORIES is false; nothing was sent"
                )))
            }
        };
    }
    for directory in directories {
        if make_directory(sftp, directory).await?
            && let Some(mode) = settings.attributes.dir_mode
        {
            set_mode(sftp, directory, mode).await?.into_iter().for_each(&mut *warn);
        }
    }
    Ok(Directories::Made)
}

/// A file where the path needs a directory: keys such as `x` and `x/y` cannot both be delivered.
async fn refuse_file_above(sftp: &Sftp, directories: &[&str]) -> Result<()> {
    for directory in directories {
        if let Seen::Another = look(sftp, directory).await? {
            return Err(is_a_file(directory));
        }
    }
    Ok(())
}

fn is_a_file(directory: &str) -> bridge::Error {
    ErrorName::RemotePathRejected.error(format!(
        "{directory:?} is a file on the server, and the path needs a directory of that name; nothing was sent"
    ))
}

/// A directory where the final name is to be: the other way round.
///
/// # Errors
/// `RemotePathRejected` if that is what the server says of the path.
pub(crate) fn refuse_directory(path: &str, attributes: &Attributes) -> Result<()> {
    match attributes.is_directory() {
        Some(true) => Err(ErrorName::RemotePathRejected.error(format!(
            "{path:?} is a directory on the server, and the object would be a file of that name; nothing was sent"
        ))),
        _ => Ok(()),
    }
}

/// The mode of a directory that was just made. One that cannot have the mode it must have is taken away again, or the
/// next try would find it and take it for someone else's.
async fn set_mode(sftp: &Sftp, directory: &str, mode: Mode) -> Result<Option<String>> {
    let wanted = Attributes { permissions: Some(mode.bits), ..Attributes::default() };
    let set = set_attributes(sftp, directory, wanted, mode.demand, "SFTP_DIR_MODE", None).await;
    if let Err(error) = &set
        && error.name == ErrorName::InvalidConfig
        && let Err(error) = sftp.rmdir(directory).await
    {
        tracing::warn!(%error, "the directory could not be removed");
    }
    set
}

enum Seen {
    Directory,
    Another,
    Nothing,
    /// It may not be looked at; it may be there all the same.
    Hidden,
}

async fn look(sftp: &Sftp, path: &str) -> Result<Seen> {
    match sftp.stat(path).await {
        Ok(Some(attributes)) if attributes.is_directory() == Some(false) => Ok(Seen::Another),
        Ok(Some(_)) => Ok(Seen::Directory),
        Ok(None) => Ok(Seen::Nothing),
        Err(error) if error.is_status() => Ok(Seen::Hidden),
        Err(error) => Err(error.into()),
    }
}

/// Returns whether it was made just now, by us. Another execution may make the same directory at the same time;
/// version 3 has no word for "exists".
async fn make_directory(sftp: &Sftp, directory: &str) -> Result<bool> {
    let seen = look(sftp, directory).await?;
    match seen {
        Seen::Directory => return Ok(false),
        Seen::Another => return Err(is_a_file(directory)),
        Seen::Nothing | Seen::Hidden => {}
    }
    match sftp.mkdir(directory).await {
        Ok(()) => Ok(true),
        Err(error) if !error.is_status() => Err(error.into()),
        // Whether it was needed, opening the file will tell.
        Err(error)
            if matches!(seen, Seen::Nothing) && !matches!(look(sftp, directory).await?, Seen::Directory) =>
        {
            Err(error.into())
        }
        Err(_) => Ok(false),
    }
}

/// OpenSSH says no more than `Failure` when the disk is full; ask how much room there is.
pub(crate) async fn explain(sftp: &Sftp, remote: &RemotePaths, error: bridge::Error) -> bridge::Error {
    const NEXT_TO_NOTHING: u64 = 64 * 1024;
    match sftp.free_bytes(&remote.partial).await {
        Some(free) if free < NEXT_TO_NOTHING => {
            ErrorName::RemoteFull.error(format!("{}; {free} bytes are free there", error.message()))
        }
        _ => error,
    }
}
