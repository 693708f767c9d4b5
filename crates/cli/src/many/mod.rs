//! What commands share that work on many files at the same time, over one connection.

mod in_progress;
mod open_files;
mod retries;
mod server_facts;
mod tasks;

pub(crate) use in_progress::InProgress;
pub(crate) use retries::{Attempt, Retries};
pub(crate) use server_facts::ServerFacts;
pub(crate) use tasks::Tasks;
