//! Sending and reading whole files, with many requests in flight.

pub(crate) mod download;
pub(crate) mod finish;
pub(crate) mod lanes;
#[cfg(feature = "internals")]
#[cfg(test)]
mod scripted;
pub(crate) mod upload;
pub(crate) mod window;
