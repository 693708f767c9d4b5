//! `deliver --recursive`: all objects below a prefix, many in flight on one connection.

pub(crate) mod batch;
mod open_files;
