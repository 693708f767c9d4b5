//! An open file.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::protocol::line::Line;

/// An open file on the server. The handle itself is opaque bytes.
///
/// Dropping it sends a CLOSE without waiting for the answer, so the session can be used for other files after an error.
pub struct FileHandle {
    pub(super) handle: Bytes,
    pub(crate) path: String,
    /// Empty once the file is closed.
    open_on: Weak<Line>,
}

impl FileHandle {
    pub(super) fn new(handle: Bytes, path: &str, line: &Arc<Line>) -> Self {
        Self { handle, path: path.to_owned(), open_on: Arc::downgrade(line) }
    }

    /// Does not send a CLOSE when this handle is dropped. Some servers publish a file on CLOSE: there, the session has to
    /// end instead.
    pub fn leave_open_if_dropped(&mut self) {
        self.open_on = Weak::new();
    }
}

impl std::fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileHandle").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        if let Some(line) = self.open_on.upgrade() {
            line.close(&self.handle);
        }
    }
}
