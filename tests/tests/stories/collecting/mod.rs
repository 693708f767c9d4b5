//! The other direction: what partners leave on the server lands in S3.

mod loops;
