//! Reads the file into S3.

mod collecting;
mod key;
mod look;
mod outcome;
mod sessions;
mod stream;
mod unreadable;

pub(crate) use collecting::{Collecting, Holder, Mark};
pub(crate) use outcome::Read;
