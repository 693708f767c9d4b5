//! `SFTP_PROOF`: how the contents of a file are proved.

use super::problems::Problems;
use super::read::choice;
use super::table::SFTP_PROOF;
use super::variables::Variables;

/// How the contents of a file are proved before it is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofPolicy {
    /// The best that the server allows: hash, else read back, else size, else nothing.
    Auto,
    /// The server computes a hash of the file.
    Hash,
    /// The file is read back.
    ReadBack,
    /// The file's size is compared.
    Size,
    /// Not at all.
    None,
}

impl ProofPolicy {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let policies = [
            ("auto", Self::Auto),
            ("hash", Self::Hash),
            ("read-back", Self::ReadBack),
            ("size", Self::Size),
            ("none", Self::None),
        ];
        choice(variables, problems, &SFTP_PROOF, &policies)
    }
}
