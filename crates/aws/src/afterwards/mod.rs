//! What happens to an object after its delivery. Each operation may be repeated: what is already done stays done.

mod copy;
mod delete;
mod move_to;
mod not_done;
mod older;
mod tag;
mod version;

pub use copy::Copying;
pub use delete::{Removal, delete};
pub use move_to::{Moved, move_to};
pub use not_done::NotDone;
pub use tag::tag;
