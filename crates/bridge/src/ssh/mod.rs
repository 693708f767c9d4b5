//! What the settings and the SFTP client both say about SSH: algorithms, host keys, login methods.

pub(crate) mod algorithms;
pub(crate) mod methods;
pub(crate) mod trusted_host_keys;
