//! The other direction: what partners leave on their servers.

mod command_line;
mod desk;
mod directories;
mod doctor;
mod existing;
mod looks;
mod loops;
mod order;
mod reading;
mod records;
mod replaced;
mod servers;
mod settling;
mod shelf;
mod versions;
mod watching;
