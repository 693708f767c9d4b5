//! What both steps, and the doctor, do with files on the partner's server.
//!
//! A status code of SFTP says little: servers refuse what they have done, and answer a missing file with the code of a
//! missing permission. So these functions look at the server before and after a request, and decide by what they see.

mod attributes;
mod directories;
mod discard;
mod look;
mod open;
mod rename;
mod reply;
#[cfg(test)]
mod script;

pub use attributes::{
    AttributesOf, AttributesSet, FileAttributes, set_attributes, set_file_attributes, try_attributes,
};
pub use directories::{Directories, Made, make_directories, make_directory, refuse_directory};
pub use discard::{Discarded, discard};
pub use look::{Patience, Seen, look, look_closely, look_for_directory, look_on, look_until};
pub use open::{OpenAs, PartialFile, explain, open_fresh};
pub use rename::{Attempt, Onto, RenameRequest, Swap, attempt, attempt_and_look, put_back, request, swap};
pub use reply::Reply;
