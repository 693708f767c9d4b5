//! The version.

/// The release that this code belongs to: one for all crates, functions and the template.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
