//! Core dumps, which would contain the private key.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Disables core dumps of this process, and keeps other processes of the same user from reading its memory. Every binary
/// that reads a credential calls this first. Failures are logged and otherwise ignored.
pub fn forbid() {
    // Also the hard limit, so that nothing in this process can raise it again.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be limited");
    }
    // A core pattern that is a pipe (systemd-coredump) ignores the limit.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "the process could not be made undumpable");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn story_42_no_core_dump_holds_the_key() {
        use rustix::process::{DumpableBehavior, dumpable_behavior};

        super::forbid();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
