//! Writes an object: checked by S3, continued after an interruption, visible only when it is whole.

mod layout;
mod object_writer;
mod requests;
mod unwritten;

pub use object_writer::ObjectWriter;
pub use requests::Onto;
pub use unwritten::Unwritten;
