//! How handlers report their progress.

use std::sync::Arc;

/// Called with the bytes that are done and the bytes in total.
pub type OnProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;
