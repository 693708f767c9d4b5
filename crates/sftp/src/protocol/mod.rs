//! SFTP version 3 on one channel: packets, the requests in flight, and the client's methods.

pub(crate) mod attributes;
pub(crate) mod channel;
pub(crate) mod decode;
pub(crate) mod directory;
pub(crate) mod encode;
pub(crate) mod extensions;
pub(crate) mod handle;
pub(crate) mod line;
pub(crate) mod link;
pub(crate) mod packet;
pub(crate) mod pieces;
pub(crate) mod requests;
mod tasks;
mod version;
