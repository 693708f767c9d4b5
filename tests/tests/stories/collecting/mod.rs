//! The other direction: what partners leave on their servers.

mod directories;
mod existing;
mod looks;
mod reading;
mod records;
mod servers;
mod settling;
mod shelf;
mod versions;
mod watching;
