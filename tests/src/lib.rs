//! What the integration tests, the demo and the benchmarks stand on: partner SFTP servers, a proxy that breaks
//! connections, and the local AWS. Everything listens on loopback on a free port and ends with its owner.

pub mod embedded;
pub mod fault_proxy;
pub mod keys;
pub mod ministack;
pub mod partner;
pub mod process;
pub mod stack;
pub mod tools;
