//! What a package is made of, and for.

use anyhow::{Context, Result};

/// The functions, by the name of their packages and binaries.
pub const FUNCTIONS: [&str; 7] =
    ["collect", "fetch-key", "list-remote", "record-failure", "settle-remote", "transfer", "verify-remote"];
/// The command line, by the name of its package and binary.
pub const COMMAND_LINE: &str = "s3-sftp-bridge";
/// The state machines' definitions.
pub const DEFINITIONS: [&str; 4] =
    ["backfill.asl.json", "bridge.asl.json", "collect.asl.json", "watch.asl.json"];

/// A processor that Lambda has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// AMD's and Intel's.
    X86_64,
    /// AWS's Graviton.
    Arm64,
}

impl Architecture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Arm64];

    /// The processor of this machine.
    pub fn of_this_machine() -> Self {
        if std::env::consts::ARCH == "aarch64" { Self::Arm64 } else { Self::X86_64 }
    }

    /// Lambda's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The processor with this name of Lambda's.
    pub fn parse(name: &str) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.with_context(|| format!("the architecture {name:?} is unknown; take x86_64 or arm64"))
    }

    /// Rust's name for it.
    pub fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The field `e_machine` of its programs.
    pub(super) fn machine(self) -> [u8; 2] {
        match self {
            Self::X86_64 => [0x3e, 0],
            Self::Arm64 => [0xb7, 0],
        }
    }
}

/// The archive of a function.
pub(super) fn zip_of(function: &str) -> String {
    format!("{function}.zip")
}
