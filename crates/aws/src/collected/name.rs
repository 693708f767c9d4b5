//! The names of a collected object's metadata, without `x-amz-meta-`. Host, path, size and time together are the file.

/// The server's host name.
pub const HOST: &str = "sftp-host";
/// The path on the server, percent-encoded.
pub const PATH: &str = "sftp-path";
/// Bytes.
pub const SIZE: &str = "sftp-size";
/// Time of the last modification, in seconds since 1970. Absent if the server does not tell it.
pub const MODIFIED: &str = "sftp-modified";
/// The fingerprint of the server's host key.
pub const HOST_KEY: &str = "sftp-host-key";
/// The execution that stored the object.
pub const EXECUTION: &str = "sftp-execution";
/// As Gilt's bridge wrote it; its outbound side skips such objects.
pub const SYNCHED: &str = "synched";
