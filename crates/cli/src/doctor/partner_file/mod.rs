//! A partner's file: what `sam deploy --config-file acme.toml` reads. One partner has one file, one stack.

mod document;
mod file;
pub(super) mod outcome;
pub(super) mod parameters;
mod sam;
mod target;

pub(super) use self::file::{Parameters, PartnerFile};
pub(super) use self::target::{OtherServer, Target};
