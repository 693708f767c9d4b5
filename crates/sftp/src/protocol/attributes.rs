//! How files are opened, and their attributes.

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

impl Attributes {
    /// Whether it is a directory; `None` if the server does not say.
    pub fn is_directory(&self) -> Option<bool> {
        self.permissions.map(|mode| mode & 0o170_000 == 0o040_000)
    }
}
