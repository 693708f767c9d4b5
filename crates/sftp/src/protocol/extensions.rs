//! Extensions of the protocol: their names and their replies.

use bytes::Bytes;

use crate::protocol::decode::{string_of, u64_of};

pub(super) const POSIX_RENAME: &str = "posix-rename@openssh.com";
pub(super) const LIMITS: &str = "limits@openssh.com";
pub(super) const STATVFS: &str = "statvfs@openssh.com";
pub(super) const CHECK_FILE: &str = "check-file";
pub(super) const CHECK_FILE_HANDLE: &str = "check-file-handle";
pub(super) const FSYNC: &str = "fsync@openssh.com";

/// Length of the data in one READ or WRITE, in bytes, unless the server announces more (draft 02, section 3: every
/// server accepts packets of 34,000 bytes).
pub(super) const DATA_DEFAULT: u32 = 32 * 1024;
/// Maximum length of the data in one READ or WRITE, in bytes. OpenSSH accepts 255 KiB.
const DATA_MAX: u32 = 255 * 1024;

/// The limits that a server announces (`limits@openssh.com`). 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Maximum length of a packet, in bytes.
    pub packet: u64,
    /// Maximum length of the data in one READ, in bytes.
    pub read: u64,
    /// Maximum length of the data in one WRITE, in bytes.
    pub write: u64,
    /// Maximum number of open files.
    pub handles: u64,
}

/// Length of the data in one request, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DataLengths {
    pub(crate) read: u32,
    pub(crate) write: u32,
}

/// `uint64 max-packet-length, max-read-length, max-write-length, max-open-handles`.
pub(crate) fn data_lengths(mut limits: Bytes) -> Option<DataLengths> {
    let [Ok(packet), Ok(read), Ok(write)] = [(); 3].map(|()| u64_of(&mut limits)) else { return None };
    let data = |length: u64| {
        let head = 1024;
        let longest = if packet == 0 { u64::MAX } else { packet.saturating_sub(head) };
        let length = if length == 0 { longest } else { length.min(longest) };
        u32::try_from(length).unwrap_or(DATA_MAX).clamp(1024, DATA_MAX)
    };
    Some(DataLengths { read: data(read), write: data(write) })
}

pub(super) fn server_limits(mut limits: Bytes) -> Option<ServerLimits> {
    match [(); 4].map(|()| u64_of(&mut limits)) {
        [Ok(packet), Ok(read), Ok(write), Ok(handles)] => Some(ServerLimits { packet, read, write, handles }),
        _ => None,
    }
}

/// Free bytes. `uint64 f_bsize, f_frsize, f_blocks, f_bfree, f_bavail` and more.
pub(crate) fn available(mut fields: Bytes) -> Option<u64> {
    match [(); 5].map(|()| u64_of(&mut fields)) {
        [Ok(_), Ok(fragment), Ok(_), Ok(_), Ok(available)] => fragment.checked_mul(available),
        _ => None,
    }
}

/// `string hash-algorithm, byte hash[]`, as ProFTPD sends it. Paramiko puts the name of the extension before it.
pub(crate) fn server_hash(mut reply: Bytes) -> Option<[u8; 32]> {
    let mut algorithm = string_of(&mut reply).ok()?;
    if algorithm == CHECK_FILE {
        algorithm = string_of(&mut reply).ok()?;
    }
    if algorithm != "sha256" {
        return None;
    }
    reply.as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::encode::Body;

    #[test]
    fn a_hash_follows_its_algorithm_with_or_without_the_name_of_the_extension() {
        let hash: [u8; 32] = std::array::from_fn(|index| index as u8);
        let reply = |strings: &[&str], hash: &[u8]| {
            let head = strings.iter().fold(Body::default(), |body, one| body.string(one.as_bytes())).finish();
            server_hash([&head, hash].concat().into())
        };
        assert_eq!(reply(&["sha256"], &hash), Some(hash));
        assert_eq!(reply(&["check-file", "sha256"], &hash), Some(hash));
        assert_eq!(reply(&["md5"], &hash), None);
        assert_eq!(reply(&["sha256"], &hash[1..]), None);
        assert_eq!(reply(&["check-file"], &hash), None);
    }
}
