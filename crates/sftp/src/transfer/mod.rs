//! Sending and reading whole files, with many requests in flight.

pub(crate) mod download;
pub(crate) mod finish;
pub(crate) mod lanes;
pub(crate) mod upload;
pub(crate) mod window;
