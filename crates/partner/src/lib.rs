//! The partner's server, as the settings describe it: logging in with the pinned credential, sharing a session between
//! files, and what deliveries do with files on it. Both steps use this crate, and so does the doctor.

pub mod files;
mod learned;
mod login;
mod manners;
mod persistence;
mod reachability;
mod refusals;
mod remedy;
mod session;
mod spacing;
mod told;
mod watch;

pub use learned::Learned;
#[cfg(feature = "internals")]
pub use login::Connector;
pub use login::{Server, login};
pub use manners::Manners;
pub use persistence::Persistence;
pub use reachability::Reachability;
pub use remedy::with_setting;
pub use session::Partner;
pub use told::{Answer, Told};
pub use watch::{Begun, Watch};
