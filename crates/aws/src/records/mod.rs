//! The record bucket: receipts and failure records. Nothing here can make a delivery fail.

mod bucket;
mod receipt;
mod settle;

pub use bucket::RecordBucket;
pub use receipt::conclude;
pub use settle::{FAILED_AGAIN, Settlement};
