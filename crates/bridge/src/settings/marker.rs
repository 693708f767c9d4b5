//! `SFTP_MARKER`: the file beside the file that says that it is there.

use super::{Problems, Variables, choice};
use crate::Hashes;

/// What is published beside a file, after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marker {
    /// Nothing.
    #[default]
    None,
    /// An empty file.
    Done,
    /// The file's SHA-256, as `sha256sum` writes it.
    Sha256,
    /// The file's MD5, as `md5sum` writes it.
    Md5,
}

impl Marker {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let markers =
            [("none", Self::None), ("done", Self::Done), ("sha256", Self::Sha256), ("md5", Self::Md5)];
        choice(variables, problems, "SFTP_MARKER", &markers)
    }

    /// What its name has behind the file's; `None` if there is none.
    pub fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Done => Some(".done"),
            Self::Sha256 => Some(".sha256"),
            Self::Md5 => Some(".md5"),
        }
    }

    /// What has to be computed of the bytes on their way.
    pub fn hashes(self) -> Hashes {
        Hashes { sha256: self == Self::Sha256, md5: self == Self::Md5 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn markers_by_name() {
        let marker = |value: &'static str| parse(&[("SFTP_MARKER", value)]).map(|settings| settings.marker);
        for (value, expected) in
            [("", Marker::None), ("none", Marker::None), ("done", Marker::Done), ("md5", Marker::Md5)]
        {
            assert_eq!(marker(value).unwrap(), expected);
        }
        let error = marker("sha1").unwrap_err();
        assert!(error.message().contains("SFTP_MARKER is \"sha1\": expected none, done"), "{error}");
    }
}
