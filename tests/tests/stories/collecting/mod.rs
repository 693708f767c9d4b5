//! The other direction: what partners leave on their servers.

mod directories;
mod looks;
mod records;
mod servers;
mod settling;
mod shelf;
mod watching;
