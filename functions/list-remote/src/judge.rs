//! What becomes of an entry, by its name and its attributes. No I/O: values are enough to decide.

use bridge::CollectSettings;
use bridge::collect::{ListCursor, RemoteFile, plain_name};
use sftp::{Attributes, FileType};

use crate::markers::Markers;
use crate::verdict::{Confirmed, Verdict};

/// Decides by the settings.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    pub(crate) collect: &'a CollectSettings,
    /// The server's host name.
    pub(crate) host: &'a str,
    /// The time that a date in an object key is taken from.
    pub(crate) time: &'a str,
}

/// An entry by its name alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// The path below the directory.
    Plain(String),
    /// The name is no component of a path: the path as it can be printed, and why.
    NotPlain(String, String),
}

/// What an entry is, if it is no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    /// A directory to look into.
    Descend,
    /// Neither.
    Other(Verdict),
}

impl Judge<'_> {
    /// The path of an entry of the directory at `parent`. Names from the server are hostile until they are found plain.
    pub(crate) fn name(&self, parent: &str, name: &[u8]) -> Named {
        match plain_name(name) {
            Ok(name) => Named::Plain(joined(parent, name)),
            Err(reason) => {
                let name = String::from_utf8_lossy(name);
                Named::NotPlain(joined(parent, &bridge::printable(&name)), reason)
            }
        }
    }

    /// Where a path below the directory is on the server.
    pub(crate) fn on_server(&self, path: &str) -> String {
        let (host, directory) = (String::new(), self.collect.directory.clone());
        match path {
            "" => directory,
            path => {
                RemoteFile { host, directory, path: path.to_owned(), size: 0, modified: None }.remote_path()
            }
        }
    }

    /// What the entry is. If the server does not tell its type, it is taken for a file.
    pub(crate) fn kind(&self, path: &str, attributes: &Attributes, depth: u32, depth_max: u32) -> Kind {
        match attributes.file_type() {
            None | Some(FileType::File) => Kind::File,
            Some(FileType::Link) => Kind::Other(Verdict::Link),
            Some(FileType::Other) => Kind::Other(Verdict::Special),
            Some(FileType::Directory) if self.collect.is_archive(path) => Kind::Other(Verdict::Archive),
            Some(FileType::Directory) if !self.collect.recursive => Kind::Other(Verdict::Directory),
            Some(FileType::Directory) => match self.collect.passes_over_directory(path) {
                Some(reason) => Kind::Other(Verdict::Excluded(reason)),
                None if depth >= depth_max => Kind::Other(Verdict::TooDeep),
                None => Kind::Descend,
            },
        }
    }

    /// Where files that are beside `path` are archived, on the server. `None` if nothing is archived.
    pub(crate) fn archive_of(&self, path: &str) -> Option<String> {
        self.collect.afterwards.archive_directory(&self.collect.directory, path)
    }

    /// Why a file is passed over, as far as its name says it.
    pub(crate) fn by_name(&self, path: &str) -> Option<Verdict> {
        if self.collect.marker.as_ref().is_some_and(|marker| marker.file_of(path).is_some()) {
            return Some(Verdict::Marker);
        }
        self.collect.passes_over(path).map(Verdict::Excluded)
    }

    /// What becomes of a file that its name does not leave out.
    pub(crate) fn file(&self, path: String, attributes: &Attributes, markers: Option<&Markers>) -> Verdict {
        let Some(size) = attributes.size else { return Verdict::SizeUnknown };
        if size == 0 && !self.collect.collect_empty {
            return Verdict::Empty;
        }
        if let (Some(pattern), Some(markers)) = (&self.collect.marker, markers)
            && !markers.has(&path)
        {
            return Verdict::MarkerMissing(pattern.of(&path));
        }
        let (host, directory) = (self.host.to_owned(), self.collect.directory.clone());
        let file = RemoteFile { host, directory, path, size, modified: attributes.modified };
        match self.collect.object_key(&file, self.time) {
            Ok(_) => Verdict::Due(file),
            Err(reason) => Verdict::Unnameable(reason),
        }
    }

    /// What becomes of a file that was due when it was listed, if a look at it alone shows this.
    pub(crate) fn confirmed(&self, listed: &RemoteFile, told: &Attributes) -> Confirmed {
        if !matches!(told.file_type(), None | Some(FileType::File)) {
            return Confirmed::PassedOver;
        }
        let told = Attributes {
            size: told.size.or(Some(listed.size)),
            modified: told.modified.or(listed.modified),
            ..*told
        };
        // Its marker was there.
        match self.file(listed.path.clone(), &told, None) {
            Verdict::Due(file) => Confirmed::Due(file),
            _ => Confirmed::PassedOver,
        }
    }
}

/// The newest file of a directory so far.
#[derive(Debug, Default)]
pub(crate) struct Newest(Option<RemoteFile>);

impl Newest {
    /// Adds a file, and returns the one that is not the newest, if there are two. Of two files with the same time the
    /// newest is the last one by path.
    pub(crate) fn add(&mut self, file: RemoteFile) -> Option<RemoteFile> {
        match self.0.take() {
            Some(newest) if ListCursor::of(&newest) > ListCursor::of(&file) => {
                self.0 = Some(newest);
                Some(file)
            }
            former => {
                self.0 = Some(file);
                former
            }
        }
    }

    pub(crate) fn take(&mut self) -> Option<RemoteFile> {
        self.0.take()
    }
}

fn joined(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}
