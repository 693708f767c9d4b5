//! The failures that users of S3-to-SFTP tools reported, each as a test of the handlers against a real OpenSSH server
//! and a local S3. The numbers are those of the project's list of stories.

mod after;
mod algorithms;
mod collecting;
#[path = "../shared/collection.rs"]
mod collection;
mod connection;
mod contracts;
mod credential;
mod deliver;
mod doctor;
mod event;
mod flights;
mod host_key;
mod login;
mod order;
mod partner_file;
mod policy;
mod publishing;
mod races;
mod records;
mod removal;
mod resuming;
mod run;
mod server;
mod settings;
mod support;
mod ways;
