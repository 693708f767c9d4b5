//! Sends the object: what one call can do of it.

mod acknowledged;
mod direct;
mod found;
mod resume;
mod sending;
mod sessions;
mod stream;

pub(crate) use sending::Sending;
