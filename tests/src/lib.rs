//! The harness of the integration tests, the demo and the benchmarks: partner SFTP servers, a proxy that breaks
//! connections, a fast source of objects, and the local AWS. Everything listens on loopback on a free port, and ends with
//! its owner.

pub mod backfill;
pub mod cases;
pub mod cli;
pub mod compatibility;
pub mod contract;
pub mod door;
pub mod embedded;
pub mod far;
pub mod fault_proxy;
pub mod flights;
pub mod functions;
pub mod keys;
pub mod lambda_runtime;
pub mod messages;
pub mod ministack;
pub mod object_source;
pub mod package;
pub mod parameters;
pub mod partner;
pub mod pattern;
pub mod process;
pub mod redrive;
pub mod retrier;
pub mod schema;
pub mod servers;
pub mod settings_documents;
pub mod small_stack;
pub mod stack;
pub mod template;
pub mod terraform;
pub mod tools;
pub mod wire;

/// The environment variable that names the file where [`skip`] writes; `cargo xtask test` sets it.
pub const SKIPPED_FILE: &str = "BRIDGE_SKIPPED_TESTS";

/// Says why a test cannot run on this machine. The reason appears in the summary of `cargo xtask test`; a test that only
/// returned would count as passed.
pub fn skip(reason: &str) {
    use std::io::Write;
    println!("skipped: {reason}");
    if let Some(path) = std::env::var_os(SKIPPED_FILE) {
        let mut file = std::fs::File::options().append(true).open(path).unwrap();
        writeln!(file, "{reason}").unwrap();
    }
}
