//! What this process knows of executions, so that a look over files that stay does not ask for each again.

use std::collections::HashSet;

/// Hexadecimal digits of the hash at the end of an execution's name.
const DIGITS: usize = 32;

/// The names of executions, as hashes. Memory is bounded: what no look has met for long is forgotten, and Step
/// Functions is asked again.
#[derive(Debug)]
pub(crate) struct Known {
    half: usize,
    recent: HashSet<u128>,
    older: HashSet<u128>,
}

impl Default for Known {
    fn default() -> Self {
        // 8 MiB for 400,000 names.
        Self::holding(400_000)
    }
}

impl Known {
    fn holding(names: usize) -> Self {
        Self { half: names / 2, recent: HashSet::new(), older: HashSet::new() }
    }

    /// This execution belongs to them.
    pub(crate) fn add(&mut self, name: &str) {
        if let Some(hash) = hash_of(name) {
            self.remember(hash);
        }
    }

    /// Whether it does.
    pub(crate) fn has(&mut self, name: &str) -> bool {
        let Some(hash) = hash_of(name) else { return false };
        if self.recent.contains(&hash) {
            return true;
        }
        let is_older = self.older.contains(&hash);
        if is_older {
            self.remember(hash);
        }
        is_older
    }

    fn remember(&mut self, hash: u128) {
        if self.recent.len() >= self.half.max(1) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(hash);
    }
}

fn hash_of(name: &str) -> Option<u128> {
    let digits = name.get(name.len().checked_sub(DIGITS)?..)?;
    u128::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use bridge::collect::RemoteFile;

    use super::*;

    fn name(number: u64) -> String {
        let (host, directory, path) = ("h".into(), "d".into(), "ä.csv".into());
        RemoteFile { host, directory, path, size: number, modified: None }.execution_name()
    }

    #[test]
    fn a_bounded_number_of_names_is_known_and_those_in_use_stay() {
        let mut known = Known::holding(20);
        known.add(&name(0));
        for number in 1..1_000 {
            known.add(&name(number));
            assert!(known.has(&name(number)) && known.has(&name(0)), "{number}");
            assert!(known.recent.len() + known.older.len() <= 20);
        }
        assert!(!known.has(&name(500)), "nobody asked for it");
        assert!(!known.has("") && !known.has("ä") && !known.has(&"z".repeat(80)));
    }
}
