//! The other direction: what partners leave on their servers.

mod directories;
mod looks;
mod loops;
mod records;
mod servers;
mod settling;
mod shelf;
mod watching;
