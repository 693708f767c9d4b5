//! The other direction: what partners leave on their servers.

mod existing;
mod reading;
mod versions;
