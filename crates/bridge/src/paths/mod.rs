//! From an object key to a safe path on the partner's server.

mod names;
mod route;
mod template;

pub(crate) use names::{numbered, problem_of_directory, problem_of_location};
pub use route::{NUMBER_MAX, Route};
pub use template::{PartialName, RemotePathTemplate};
