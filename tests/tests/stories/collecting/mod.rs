//! The other direction: what partners leave on their servers.

mod command_line;
mod directories;
mod doctor;
mod existing;
mod looks;
mod loops;
mod reading;
mod records;
mod servers;
mod settling;
mod shelf;
mod versions;
mod watching;
