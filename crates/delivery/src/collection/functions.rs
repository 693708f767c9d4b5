//! The functions that the states call.

use bridge::collect::{CollectInput, CollectProgress, SettleRemoteInput};
use bridge::{FetchKeyInput, FetchKeyOutput, Result};

use super::document::CollectDocument;

/// Calls the functions. An implementation may retry a call, and may look at what passes.
pub trait CollectFunctions {
    /// Calls `fetch-key`.
    fn fetch_key(&mut self, input: FetchKeyInput) -> impl Future<Output = Result<FetchKeyOutput>> + Send;

    /// Waits as the state `Settle` does.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;

    /// Calls `collect` once, for either of its states.
    fn collect(&mut self, input: CollectInput) -> impl Future<Output = Result<CollectProgress>> + Send;

    /// Calls `settle-remote` once.
    fn settle_remote(
        &mut self,
        input: SettleRemoteInput,
    ) -> impl Future<Output = Result<CollectProgress>> + Send;

    /// Hears of the document after each change.
    fn document_changed(&mut self, document: &CollectDocument) {
        let _ = document;
    }
}
