//! The SSH connection: from TCP to a user who is logged in.

pub(crate) mod algorithms;
pub(crate) mod authentication;
pub(crate) mod certificate;
pub(crate) mod condition;
pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod greeting;
pub(crate) mod handshake;
pub(crate) mod host_key;
pub(crate) mod login;
pub(crate) mod offer;
mod openssh;
mod pem;
pub(crate) mod private_key;
mod questions;
pub(crate) mod send_buffer;
mod transport;
