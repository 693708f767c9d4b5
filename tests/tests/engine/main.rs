//! The transfer engine: what it does when connections break, processes die, servers are odd, hostile, far away or
//! slow, and S3 is. Objects come from the object source, whose contents take no room.

mod away;
mod care;
mod channels;
mod collecting;
mod collecting_memory;
#[path = "../shared/collection.rs"]
mod collection;
mod command_line;
mod compatibility;
mod connecting;
mod deadlines;
mod flights;
mod hostile;
mod listing;
mod partners;
mod reading;
mod recursive;
mod rekeying;
mod resuming;
mod reuse;
mod several_connections;
mod support;
mod verifying;
