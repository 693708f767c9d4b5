//! How files are opened, their attributes, and the entries of directories.

use bytes::Bytes;

/// The mode in which a file is opened (`pflags`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFlags(pub(super) u32);

impl OpenFlags {
    /// SSH_FXF_READ
    pub const READ: Self = Self(0x01);
    /// SSH_FXF_WRITE
    pub const WRITE: Self = Self(0x02);
    /// SSH_FXF_CREAT
    pub const CREATE: Self = Self(0x08);
    /// SSH_FXF_TRUNC
    pub const TRUNCATE: Self = Self(0x10);
}

impl std::ops::BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Attributes of a file, as the server reports them or is asked to set them. Each may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Size, in bytes.
    pub size: Option<u64>,
    /// POSIX mode, with the type of the file.
    pub permissions: Option<u32>,
    /// Time of the last modification, in seconds since 1970.
    pub modified: Option<u32>,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Other,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, exactly as the server sent it. It may be anything: not UTF-8, empty, or a path that leads out of the
    /// directory.
    pub name: Bytes,
    /// Its attributes. Those of a symbolic link are the link's own on most servers, and those of its target on others.
    pub attributes: Attributes,
}

impl Attributes {
    /// What it is; `None` if the server does not say. Some servers tell the permissions without the type.
    pub fn file_type(&self) -> Option<FileType> {
        match self.permissions? & 0o170_000 {
            0 => None,
            0o040_000 => Some(FileType::Directory),
            0o100_000 => Some(FileType::File),
            0o120_000 => Some(FileType::Link),
            _ => Some(FileType::Other),
        }
    }

    /// Whether it is a directory; `None` if the server does not say.
    pub fn is_directory(&self) -> Option<bool> {
        self.permissions.map(|mode| mode & 0o170_000 == 0o040_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_in_the_mode() {
        let told = |mode: u32| Attributes { permissions: Some(mode), ..Attributes::default() }.file_type();
        assert_eq!(told(0o100_644), Some(FileType::File));
        assert_eq!(told(0o104_755), Some(FileType::File));
        assert_eq!(told(0o041_777), Some(FileType::Directory));
        assert_eq!(told(0o120_777), Some(FileType::Link));
        for other in [0o010_644, 0o020_666, 0o060_660, 0o140_755, 0o160_000] {
            assert_eq!(told(other), Some(FileType::Other), "{other:o}");
        }
        assert_eq!(told(0o644), None, "permissions only");
        assert_eq!(Attributes::default().file_type(), None);
    }
}
