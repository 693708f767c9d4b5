//! Where receipts and failure records lie in the record bucket. The keys answer the usual questions, so that a LIST is
//! enough:
//!
//! ```text
//! receipts/objects/{object key}/{version}/{outcome}.json     was this version delivered?
//! receipts/days/{day}/{time},{outcome},{bytes},{execution}.json     what was delivered on this day?
//! receipts/collected/{day}/…     what was collected on this day?
//! failures/open/{object key}/{version}/{time},{error},{cause},{execution},{redrive count}.json     what is owed?
//! failures/settled/…     the same, once a later delivery made good for it
//! ```
//!
//! In the other direction, `sftp://{host}/{path}` is in the place of the object key, and size and time of the file in that
//! of the version.

mod collected;
mod failure;
mod receipt;
mod segments;
mod settling;
mod version;

pub use collected::{CollectReceiptKey, DayCollectReceiptKey};
pub use failure::{FailureKey, FailureState};
pub use receipt::{DayReceiptKey, ReceiptKey};
pub use segments::object_part;
pub use settling::MakesGood;
pub use version::VersionMark;
