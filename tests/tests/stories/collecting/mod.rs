//! The other direction: what partners leave on their servers.

mod looks;
mod records;
mod servers;
mod settling;
mod shelf;
mod watching;
