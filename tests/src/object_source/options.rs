//! What the objects are, and how the store differs from a well-behaved one.

use std::path::PathBuf;
use std::time::Duration;

/// What an object consists of.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file, with the length that it has now.
    File(PathBuf),
    /// This many bytes of the [`pattern`](crate::pattern), which take no memory.
    Pattern(u64),
}

/// What the store says about an object's contents, true or false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The SHA-256 of the whole object, in base64.
    Sha256(String),
    /// The MD5, in hexadecimal: the entity tag, as of every object that was uploaded in one piece.
    Md5(String),
}

/// How the store differs from a well-behaved one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Maximum number of bytes of a body: it breaks off after them.
    pub break_after: Option<u64>,
    /// Range requests get the whole object.
    pub no_ranges: bool,
    /// Maximum number of keys on a page of a listing. S3 sends at most 1,000, and may send fewer.
    pub keys_max: Option<usize>,
    /// Requests that change something get 503.
    pub busy: bool,
    /// Without `s3:ListBucket`: a missing object, and every version that is asked for by its id, is 403.
    pub no_listing: bool,
    /// A listing fails after its first page.
    pub one_page: bool,
    /// The operation that is refused with 403, by S3's name: a listing, or of a writable store what changes something.
    pub denies: Option<&'static str>,
    /// The operation that is carried out and not answered. Of a writable store.
    pub mute: Option<&'static str>,
    /// The operation whose conditional requests get 409, as if another one were under way, and how often. Of a writable
    /// store.
    pub conflicts: Option<(&'static str, u32)>,
    /// An object is stored with other contents than were sent, and with their checksum. Of a writable store.
    pub alters: bool,
    /// Of the objects that are stored, only length and checksum are kept. Of a writable store.
    pub forgets: bool,
    /// Uploads in parts may have any checksum or none, as S3 allows; the store computes its own. Of a writable store.
    pub any_checksum: bool,
    /// The answers to requests that store an object name no checksum. Of a writable store.
    pub tells_no_checksum: bool,
}

/// How slowly it answers. Real S3 takes some 20 ms to the first byte and sends some 90 MB/s a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Time from a request to the first byte of its answer.
    pub first_byte_delay: Duration,
    /// Rate of each body. `None`: no limit.
    pub bytes_per_second: Option<u64>,
}
