//! The other direction: what partners leave on their servers.

mod directories;
