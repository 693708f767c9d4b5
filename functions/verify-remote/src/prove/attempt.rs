//! Outcome of one way to prove the file.

use bridge::Proof;

/// Outcome of one way to prove the file.
pub(crate) enum Attempt {
    Proved {
        proof: Proof,
        warnings: Vec<String>,
    },
    /// The server does not offer it, or refuses; says why.
    Refused(String),
    /// It was cut short. The checkpoint says where.
    OutOfTime,
}

impl Attempt {
    pub(super) fn proved(proof: Proof) -> Self {
        Self::Proved { proof, warnings: Vec::new() }
    }
}
