//! What a bucket holds against what the records say.

mod failures;
mod judge;
mod ledger;
mod receipts;
mod rule;
mod running;
mod upload;
mod versions;

pub(crate) use failures::{Failed, OpenFailures};
pub(crate) use judge::{Holding, judge};
pub(crate) use ledger::{LISTINGS, Ledger};
pub(crate) use receipts::ReceiptsBuilder;
pub(crate) use rule::Rule;
pub(crate) use running::Unexplained;
pub(crate) use upload::Upload;
pub(crate) use versions::{Content, Currency, Uploads, Version, Versions};

#[cfg(test)]
pub(crate) mod tests {
    pub(crate) use super::rule::tests::settings;
    pub(crate) use super::upload::tests::upload;
}
