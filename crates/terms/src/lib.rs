#![doc = include_str!("../README.md")]

mod algorithms;
mod error;
mod glob;
mod methods;
mod printable;
mod sync;
mod trusted_host_keys;

pub use algorithms::{Algorithms, Preset};
pub use error::{Error, ErrorKind, HasKind, Result};
pub use glob::Glob;
pub use methods::{Method, Methods};
pub use printable::{is_unprintable, printable};
pub use sync::lock;
pub use trusted_host_keys::{TrustedHostKey, TrustedHostKeys};
