//! One file for each check.

mod attributes;
mod host_key;
mod renaming;

pub(super) mod algorithms;
pub(super) mod authentication;
pub(super) mod channels;
pub(super) mod chmod;
pub(super) mod chmod_dir;
pub(super) mod clean_up;
pub(super) mod collecting;
pub(super) mod connections;
pub(super) mod create;
pub(super) mod credential;
pub(super) mod delete;
pub(super) mod directory;
pub(super) mod dns;
pub(super) mod free_space;
pub(super) mod fsync;
pub(super) mod hash;
pub(super) mod if_exists;
pub(super) mod latency;
pub(super) mod limits;
pub(super) mod methods;
pub(super) mod mkdir;
pub(super) mod mtime;
pub(super) mod names;
pub(super) mod overwrite;
pub(super) mod read_back;
pub(super) mod rename;
pub(super) mod replace;
pub(super) mod resume;
pub(super) mod settings;
pub(super) mod sftp_version;
pub(super) mod ssh;
pub(super) mod staging;
pub(super) mod stat;
pub(super) mod tcp;
pub(super) mod throughput;
pub(super) mod write;

mod proof;
