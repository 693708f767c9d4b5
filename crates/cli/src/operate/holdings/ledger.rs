//! What the records say, read by listings.

use bridge::FailureState;
use indicatif::ProgressBar;

use super::failures::OpenFailures;
use super::receipts::{Receipts, ReceiptsBuilder};
use super::upload::Upload;
use crate::operate::problem::Problem;
use crate::operate::records::{Keys, Records};

/// Receipts and open failures.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) receipts: Receipts,
    pub(crate) failures: OpenFailures,
    /// Number of listings that it took.
    pub(crate) pages: usize,
}

impl Ledger {
    /// Reads all below a prefix of object keys.
    pub(crate) async fn below(records: &Records, prefix: &str, bar: &ProgressBar) -> Result<Self, Problem> {
        let (receipts, failures) = (receipts(records, prefix, bar), Self::owed_below(records, prefix));
        let ((receipts, read), failures) = tokio::try_join!(receipts, failures)?;
        Ok(Self { receipts, pages: read + failures.pages, ..failures })
    }

    /// Reads the open failures below a prefix of object keys, and no receipts.
    pub(crate) async fn owed_below(records: &Records, prefix: &str) -> Result<Self, Problem> {
        let mut failures = OpenFailures::default();
        let pages = add_failures(&mut failures, records.failures(FailureState::Open, prefix)).await?;
        Ok(Self { failures, pages, ..Self::default() })
    }

    /// Reads what there is of these uploads.
    pub(crate) async fn of(records: &Records, uploads: &[Upload]) -> Result<Self, Problem> {
        let (mut builder, mut failures) = (ReceiptsBuilder::default(), OpenFailures::default());
        for upload in uploads {
            let mut receipts = records.receipts_of_object(&upload.object_key);
            while let Some(page) = receipts.page().await? {
                page.iter().for_each(|key| builder.add(key));
            }
            let open = records.failures_of_object(FailureState::Open, &upload.object_key);
            add_failures(&mut failures, open).await?;
        }
        Ok(Self { receipts: builder.build(), failures, pages: uploads.len() * LISTINGS })
    }
}

/// How many listings [`Ledger::of`] makes for an upload.
pub(crate) const LISTINGS: usize = 2;

/// The receipts, and how many listings it took to read them.
async fn receipts(records: &Records, prefix: &str, bar: &ProgressBar) -> Result<(Receipts, usize), Problem> {
    let (mut builder, mut pages, mut keys) = (ReceiptsBuilder::default(), 0, records.receipts(prefix));
    while let Some(page) = keys.page().await? {
        pages += 1;
        bar.inc(page.len() as u64);
        page.iter().for_each(|key| builder.add(key));
    }
    Ok((builder.build(), pages))
}

async fn add_failures(
    failures: &mut OpenFailures,
    mut keys: Keys<bridge::FailureKey>,
) -> Result<usize, Problem> {
    let mut pages = 0;
    while let Some(page) = keys.page().await? {
        pages += 1;
        page.iter().for_each(|key| failures.add(key));
    }
    Ok(pages)
}
