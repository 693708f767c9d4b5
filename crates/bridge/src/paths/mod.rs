//! From an object key to a safe path on the partner's server, and from there to an object key.

mod names;
mod route;
mod template;

pub(crate) use names::{
    COMPONENT_MAX, cut, numbered, problem_of, problem_of_directory, problem_of_location, split,
    split_extension,
};
pub use route::{NUMBER_MAX, Route};
pub use template::{ObjectKeyTemplate, PartialName, RemotePathTemplate};
