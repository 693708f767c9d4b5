//! The object to deliver: pins one version of it, and tells whether a newer one was uploaded since.

mod pin;
mod standing;
mod stored;
pub(crate) mod unreadable;

pub use pin::{Pin, pin, pin_newer};
pub use standing::{Deliverable, Newer, Standing, standing, superseded_by};
