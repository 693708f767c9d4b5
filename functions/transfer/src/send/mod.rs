//! Sends the object: what one call can do of it.

mod acknowledged;
mod close;
mod direct;
mod found;
mod open;
mod resume;
mod sending;
mod sessions;
mod stream;

pub(crate) use sending::Sending;
