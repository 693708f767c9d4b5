//! What a run leaves on this machine for the next run of the same one: its execution, and how far it was. Two
//! runs at the same time never share a state.

mod directory;
mod file;
mod journal;

pub(crate) use self::journal::{Journal, Origin, Resumable, States};
