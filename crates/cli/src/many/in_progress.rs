//! The files that are in progress at the same time.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Maximum number of files to a near server. More would only wait for the processor.
const NEAR: u64 = 32;
/// Maximum number of files to a distant server. Each takes 130 KiB of memory, and may be open on the server.
const FAR: u64 = 64;
/// One more file for each of these in a round trip. Client and server work on a small file for about 0.3 ms, and it takes at
/// most five round trips. This number of files keeps both busy.
const ROUND_TRIP: Duration = Duration::from_micros(64);
/// The size of all files in progress, in bytes, if none of them is large: what S3 delivers waits in memory for its turn on
/// the connection.
const BYTES: u64 = 12 << 20;
/// Number of large files, whose own windows limit what waits.
const LARGE: u64 = 3;

/// The room for files in progress. Each file takes its share of it.
pub(crate) struct InProgress {
    max: u64,
    room: Arc<Semaphore>,
}

impl InProgress {
    /// For a server with this round trip: while a file waits for an answer, others are worked on.
    pub(crate) fn new(round_trip: Duration) -> Self {
        let max = u64::try_from(round_trip.as_micros() / ROUND_TRIP.as_micros()).unwrap_or(FAR);
        let max = max.clamp(NEAR, FAR);
        Self { max, room: Arc::new(Semaphore::new(max as usize)) }
    }

    /// Maximum number of files.
    fn max(&self) -> usize {
        self.max as usize
    }

    /// Maximum number of files that are open at the same time. `announced`: what the server says, if it does.
    pub(crate) fn open_files_max(&self, announced: Option<usize>) -> usize {
        announced.map_or(self.max(), |max| max.clamp(1, self.max()))
    }

    /// Waits until there is room for a file of this many bytes.
    pub(crate) async fn admit(&self, size: u64) -> OwnedSemaphorePermit {
        match Arc::clone(&self.room).acquire_many_owned(self.share(size)).await {
            Ok(permit) => permit,
            // The semaphore is never closed.
            Err(_) => pending().await,
        }
    }

    /// The share of a file: its part of [`BYTES`], within bounds.
    fn share(&self, size: u64) -> u32 {
        let share = size.div_ceil(BYTES / self.max);
        share.clamp(1, self.max / LARGE) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn at(milliseconds: u64) -> InProgress {
        InProgress::new(Duration::from_millis(milliseconds))
    }

    #[test]
    fn the_number_follows_the_round_trip() {
        for (round_trip, max) in [(0, 32), (2, 32), (4, 62), (5, 64), (50, 64), (3000, 64)] {
            assert_eq!(at(round_trip).max(), max, "{round_trip} ms");
        }
    }

    #[test]
    fn large_files_take_the_room_of_several() {
        let (near, far) = (at(0), at(50));
        for (size, share_near, share_far) in [
            (0, 1, 1),
            (10 << 10, 1, 1),
            (128 << 10, 1, 1),
            (384 << 10, 1, 2),
            (MIB, 3, 6),
            (3 * MIB, 8, 16),
            (8 * MIB, 10, 21),
            (u64::MAX, 10, 21),
        ] {
            assert_eq!((near.share(size), far.share(size)), (share_near, share_far), "{size}");
        }
    }

    #[tokio::test]
    async fn a_file_waits_for_its_room() {
        let files = at(0);
        let mut large = Vec::new();
        for _ in 0..LARGE {
            large.push(files.admit(100 * MIB).await);
        }
        let waiting = std::pin::pin!(files.admit(MIB));
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        large.pop();
        drop(files.admit(MIB).await);
    }
}
