//! What a process knows of the way to the partner's server. For metrics and alarms.

use std::time::SystemTime;

/// Whether the partner's server could be reached when this process last tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// This process has not tried yet.
    Unknown,
    /// The last connection worked, or the server refused our login.
    Reachable,
    /// No connection has worked since.
    Unreachable {
        /// The first failure after the last connection that worked.
        since: SystemTime,
        /// How many connections failed since then. Calls that were not allowed to connect are not counted.
        attempts: u64,
    },
}
