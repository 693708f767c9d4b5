//! The object that a collection has stored, as S3 shows it: its size, its checksum, and what its metadata says of the file.

mod find;
pub mod name;
mod origin;

pub use find::{Found, find};
pub use origin::{Origin, metadata};
