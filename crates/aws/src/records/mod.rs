//! The record bucket: receipts and failure records. Nothing here can make a delivery or a collection fail.

mod bucket;
mod ended;
mod look;
mod receipt;
mod settle;

pub use bucket::RecordBucket;
pub use look::conclude_look;
pub use receipt::{conclude, conclude_collection};
pub use settle::{FAILED_AGAIN, Settlement};
