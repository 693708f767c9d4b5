//! What is known about the server after the checks.

use std::time::Duration;

use serde_json::{Value, json};
use sftp::probe::Offer;

/// What is known about the server. The recommended settings depend on it. `None`: it was not found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) software: Option<String>,
    pub(super) offer: Option<Offer>,
    /// All host keys that the server presents, if none of them is trusted.
    pub(super) presented: Vec<String>,
    /// The trusted host key that the server presented, `ssh-ed25519 AAAA…`.
    pub(super) host_key: Option<String>,
    /// Whether the session uses algorithms that only old servers need.
    pub(super) legacy: Option<bool>,
    pub(super) key_exchange: Option<String>,
    pub(super) cipher: Option<String>,
    pub(super) methods: Vec<String>,
    pub(super) extensions: Vec<String>,
    /// Files can be synced to the disk.
    pub(super) fsync: Option<bool>,
    /// A name for partial files that the server accepts, if it refuses the one that is set.
    pub(super) partial_name: Option<String>,
    /// The directory that was checked, if it is not the one of the settings.
    pub(super) other_location: Option<String>,
    /// Whether a private key may have signed with SHA-1, which the negotiated algorithms do not show.
    pub(super) signs_with_sha1: Option<bool>,
    pub(super) write: Option<bool>,
    /// The directory that is collected can be listed.
    pub(super) listing: Option<bool>,
    /// Why files that were collected should stay where they are, though nobody has asked for it.
    pub(super) stay: Option<&'static str>,
    /// Files are taken away as soon as they are closed.
    pub(super) swept: Option<bool>,
    /// The server tells the size of a file.
    pub(super) stat: Option<bool>,
    pub(super) read: Option<bool>,
    pub(super) hash: Option<bool>,
    pub(super) chmod: Option<bool>,
    pub(super) mtime: Option<bool>,
    pub(super) resume: Option<bool>,
    pub(super) overwrite: Option<bool>,
    /// Partial files can be in the staging directory.
    pub(super) staging: Option<bool>,
    /// The rename of a delivery that may replace a file, onto a free name.
    pub(super) rename: Option<bool>,
    /// The rename of a delivery that must not replace a file.
    pub(super) rename_new: Option<bool>,
    /// An existing file can be seen and compared, so that it can be kept.
    pub(super) keep: Option<bool>,
    /// A rename onto an existing name in one step.
    pub(super) replace: Option<bool>,
    pub(super) delete: Option<bool>,
    pub(super) mkdir: Option<bool>,
    pub(super) chmod_dir: Option<bool>,
    pub(super) round_trip: Option<Duration>,
    pub(super) connect: Option<Duration>,
    /// Bytes a second.
    pub(super) write_rate: Option<f64>,
    /// Bytes a second.
    pub(super) read_rate: Option<f64>,
    pub(super) free_bytes: Option<u64>,
    pub(super) second_channel: Option<bool>,
    pub(super) second_connection: Option<bool>,
}

impl Facts {
    pub(super) fn to_json(&self) -> Value {
        let milliseconds = |duration: Option<Duration>| duration.map(|it| it.as_micros() as f64 / 1000.0);
        let rate = |rate: Option<f64>| rate.map(|rate| rate.round() as u64);
        json!({
            "software": self.software,
            "offers": self.offer.as_ref().map(|offer| json!({
                "key_exchanges": offer.key_exchanges,
                "host_keys": offer.host_keys,
                "ciphers": offer.ciphers,
                "macs": offer.macs,
            })),
            "presented_host_keys": self.presented,
            "host_key": self.host_key,
            "key_exchange": self.key_exchange,
            "cipher": self.cipher,
            "methods": self.methods,
            "extensions": self.extensions,
            "partial_name": self.partial_name,
            "can": {
                "write": self.write,
                "stat": self.stat,
                "fsync": self.fsync,
                "read": self.read,
                "hash": self.hash,
                "chmod": self.chmod,
                "mtime": self.mtime,
                "resume": self.resume,
                "overwrite": self.overwrite,
                "staging": self.staging,
                "rename": self.rename,
                "rename_new": self.rename_new,
                "keep": self.keep,
                "replace": self.replace,
                "delete": self.delete,
                "mkdir": self.mkdir,
                "chmod_dir": self.chmod_dir,
                "second_channel": self.second_channel,
                "second_connection": self.second_connection,
            },
            "connect_ms": milliseconds(self.connect),
            "round_trip_ms": milliseconds(self.round_trip),
            "write_bytes_per_second": rate(self.write_rate),
            "read_bytes_per_second": rate(self.read_rate),
            "free_bytes": self.free_bytes,
        })
    }
}
