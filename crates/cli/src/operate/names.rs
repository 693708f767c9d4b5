//! Names of executions that the operator's commands start. Step Functions refuses a name that was used in the last 90
//! days, so a name that is made of what is delivered starts nothing twice.

use sha2::{Digest as _, Sha256};

/// Who starts an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `backfill`: the parts are bucket, object key, version mark.
    Backfill,
    /// `redrive`, for what cannot be redriven: the failed execution and its redrive count are further parts.
    Rerun,
}

/// Length of the hash, in hexadecimal digits. A name has at most 80 characters.
const DIGITS: usize = 40;

/// The name of the execution for these parts, always the same.
pub(crate) fn execution_name(origin: Origin, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With the length, so that no two lists of parts look the same.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let origin = match origin {
        Origin::Backfill => "backfill",
        Origin::Rerun => "rerun",
    };
    format!("{origin}-{}", &hex::encode(hash.finalize())[..DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_have_the_same_name() {
        let name = execution_name(Origin::Backfill, &["b", "k", "v"]);
        assert_eq!(name, execution_name(Origin::Backfill, &["b", "k", "v"]));
        assert_ne!(name, execution_name(Origin::Backfill, &["b", "kv", ""]));
        assert!(name.len() <= 80 && name.starts_with("backfill-"), "{name}");
        assert!(execution_name(Origin::Rerun, &[]).starts_with("rerun-"));
    }
}
