//! What one look at the server led to.

use aws::Standing;
use bridge::{Outcome, Proof};

/// How finding, proving and publishing ended.
pub(crate) enum End {
    Published(Published),
    /// A newer upload takes the object's place; says which.
    Superseded(String),
    /// The stop came first. The next call continues.
    OutOfTime,
}

/// The file is under its final name.
pub(crate) struct Published {
    pub(crate) outcome: Outcome,
    pub(crate) proof: Proof,
    /// It was not seen there.
    pub(crate) unconfirmed: bool,
    /// What S3 said after that, if it was asked.
    pub(crate) standing: Option<Standing>,
}

impl Published {
    pub(crate) fn new(outcome: Outcome, proof: Proof) -> Self {
        Self { outcome, proof, unconfirmed: false, standing: None }
    }

    /// By us, but not seen.
    pub(crate) fn unconfirmed(proof: Proof) -> Self {
        Self { unconfirmed: true, ..Self::new(Outcome::Delivered, proof) }
    }
}

/// What one look at the server led to.
pub(crate) enum Turn {
    Ended(End),
    /// What is there has changed meanwhile: it is to be found and proved again.
    LookAgain,
}

pub(crate) const LOST_ANSWER: &str = "the server did not answer the rename, and now shows neither the partial file nor the final one: the file was most likely published and then taken away. Ask the partner whether it arrived";
