//! Quotas as AWS documents them: a bucket of tokens that is refilled.

use std::time::Instant;

/// A quota.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quota {
    /// Calls in a second, over a longer time.
    pub per_second: f64,
    /// Calls at once.
    pub bucket: f64,
}

#[derive(Debug)]
pub(super) struct Bucket {
    quota: Quota,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(quota: Quota) -> Self {
        Self { quota, tokens: quota.bucket, at: Instant::now() }
    }

    /// Whether a call is within the quota.
    pub(super) fn take(&mut self) -> bool {
        let now = Instant::now();
        let refilled = self.tokens + now.duration_since(self.at).as_secs_f64() * self.quota.per_second;
        (self.tokens, self.at) = (refilled.min(self.quota.bucket), now);
        let is_within = self.tokens >= 1.0;
        if is_within {
            self.tokens -= 1.0;
        }
        is_within
    }
}
