//! `SFTP_MARKER`: a second file that shows that the file is complete.

use super::problems::Problems;
use super::read::choice;
use super::table::SFTP_MARKER;
use super::variables::Variables;
use crate::checksum::Hashes;

/// What is published after the file and in the same directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marker {
    /// Nothing.
    #[default]
    None,
    /// An empty file.
    Done,
    /// The file's SHA-256, in the format of `sha256sum`.
    Sha256,
    /// The file's MD5, in the format of `md5sum`.
    Md5,
}

impl Marker {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let markers =
            [("none", Self::None), ("done", Self::Done), ("sha256", Self::Sha256), ("md5", Self::Md5)];
        choice(variables, problems, &SFTP_MARKER, &markers)
    }

    /// What the marker's name has after the file's name. `None` if there is no marker.
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Done => Some(".done"),
            Self::Sha256 => Some(".sha256"),
            Self::Md5 => Some(".md5"),
        }
    }

    /// The hashes to compute while the bytes are sent.
    pub fn hashes(self) -> Hashes {
        Hashes { sha256: self == Self::Sha256, md5: self == Self::Md5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_by_name() {
        let marker = |value| {
            Problems::of(&[("SFTP_MARKER", value)], |variables, problems| {
                Some(Marker::parse(variables, problems))
            })
        };
        for (value, expected) in
            [("", Marker::None), ("none", Marker::None), ("done", Marker::Done), ("md5", Marker::Md5)]
        {
            assert_eq!(marker(value).unwrap(), expected);
        }
        let error = marker("sha1").unwrap_err();
        assert!(error.message().contains("SFTP_MARKER is \"sha1\": expected none, done"), "{error}");
    }
}
