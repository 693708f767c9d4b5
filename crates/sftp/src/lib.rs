//! An SFTP client made for moving files to partners: SFTP version 3 (draft-ietf-secsh-filexfer-02, the version that
//! OpenSSH and nearly everyone else speaks) over a russh channel.
//!
//! It knows nothing of AWS. What sets it apart from a general client: a window of requests in flight that adapts to the
//! round trip, on several channels and connections where that helps, in which only what the server has acknowledged
//! without a gap counts as sent; handles are opaque bytes; every status code is an
//! answer and keeps the server's message; a host key is always pinned.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bytes::Bytes;
//! let endpoint = sftp::Endpoint { host: "sftp.example.com".into(), port: 22 };
//! let login = sftp::Login {
//!     user_name: "acme".into(),
//!     private_key: Some(sftp::PrivateKey::parse(&std::fs::read_to_string("id_ed25519")?.into(), None)?),
//!     ..Default::default()
//! };
//! let trusted = bridge::TrustedHostKeys::parse("SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ")?;
//! let session = sftp::Session::connect(&endpoint, &login, &trusted, &sftp::Options::default()).await?;
//! let session = std::sync::Arc::new(session);
//! let sftp = session.sftp();
//! let handle = sftp.open("report.csv.partial", sftp::OpenFlags::WRITE | sftp::OpenFlags::CREATE).await?;
//! let report = Bytes::from_static(b"a,b\n1,2\n");
//! let spread = session.spread(report.len() as u64, sftp::Caps::default());
//! let mut upload = session.upload(handle, 0, 0, spread, sftp::Unobserved);
//! upload.push(report).await?;
//! upload.flush().await?;
//! upload.finish().await?;
//! sftp.rename("report.csv.partial", "report.csv").await?;
//! session.disconnect().await;
//! # Ok(())
//! # }
//! ```

mod algorithms;
mod authentication;
mod client;
mod codec;
mod condition;
mod download;
mod error;
mod host_key;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod keeper;
mod lanes;
mod pem;
mod pieces;
mod private_key;
pub mod probe;
mod session;
mod transport;
mod upload;
mod window;

pub use authentication::{Answer, Login};
pub use client::{FileHandle, ServerLimits, Sftp};
pub use codec::{Attributes, OpenFlags};
pub use download::Download;
pub use error::{Error, Result, StatusCode};
pub use keeper::{Keeper, Loan};
pub use lanes::{Caps, Spread};
pub use private_key::{Certificate, PrivateKey};
pub use session::{Endpoint, Options, Session};
pub use upload::{AHEAD_MAX, Journal, Unobserved, Upload};
