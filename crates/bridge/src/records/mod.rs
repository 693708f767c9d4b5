//! Where receipts and failure records lie in the record bucket. The keys answer the usual questions, so that a LIST is
//! enough:
//!
//! ```text
//! receipts/objects/{object key}/{version}/{outcome}.json     was this version delivered?
//! receipts/days/{day}/{time},{outcome},{bytes},{execution}.json     what was delivered on this day?
//! failures/open/{object key}/{version}/{time},{error},{cause},{execution},{redrive count}.json     what is owed?
//! failures/settled/…     the same, once a later delivery made good for it
//! ```

mod failure;
mod receipt;
mod segments;
mod settling;
mod version;

pub use failure::{FailureKey, FailureState};
pub use receipt::{DayReceiptKey, ReceiptKey};
pub use segments::object_part;
pub use settling::MakesGood;
pub use version::VersionMark;
