//! How the handlers tell of their progress while they run.

use std::sync::Arc;

/// Told of progress: bytes done, bytes in all.
pub type OnProgress = Arc<dyn Fn(u64, u64) + Send + Sync>;
