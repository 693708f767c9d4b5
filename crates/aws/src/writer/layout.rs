//! How an object is cut into parts.

use std::ops::Range;

const MIB: u64 = 1024 * 1024;

/// Size of a part, in bytes, if S3's limit for their number does not demand a larger one.
const PART: u64 = 8 * MIB;
/// Maximum size of an object that is stored with one request, in bytes. It is in memory as a whole, like three parts.
const ONE_REQUEST: u64 = 16 * MIB;
/// Maximum number of parts in one upload, by S3's limits.
const PARTS_MAX: u64 = 10_000;
/// Maximum size of a part, in bytes, by S3's limits.
const PART_MAX: u64 = 5 * 1024 * MIB;
/// Memory for parts, in bytes, as long as they are small enough for several to fit.
const MEMORY: u64 = 24 * MIB;
/// Size of a part, in bytes, from which on one is kept at a time.
const LARGE: u64 = 192 * MIB;

/// How an object of known size is cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) size: u64,
    pub(super) part_size: u64,
}

impl Layout {
    /// The largest object that can be cut like this, in bytes.
    pub(super) const SIZE_MAX: u64 = PARTS_MAX * PART_MAX;

    pub(super) fn of(size: u64) -> Self {
        let part_size = match size {
            0..=ONE_REQUEST => ONE_REQUEST,
            _ => PART.max(size.div_ceil(PARTS_MAX).next_multiple_of(MIB)),
        };
        Self { size, part_size }
    }

    /// Whether the object fits into one request.
    pub(super) fn is_one_request(self) -> bool {
        self.size <= self.part_size
    }

    /// The number of the part that has this byte, from 1 on.
    pub(super) fn part_at(self, offset: u64) -> u64 {
        offset / self.part_size + 1
    }

    /// The bytes of a part.
    pub(super) fn range(self, part: u64) -> Range<u64> {
        let start = (part - 1).saturating_mul(self.part_size).min(self.size);
        start..start.saturating_add(self.part_size).min(self.size)
    }

    /// Whether a part ends here, or the object.
    pub(super) fn is_boundary(self, offset: u64) -> bool {
        offset == self.size || offset < self.size && offset.is_multiple_of(self.part_size)
    }

    /// Memory for parts, in bytes.
    pub(super) fn memory(self) -> u64 {
        if self.is_one_request() {
            return self.size;
        }
        self.part_size.saturating_mul(self.in_memory() as u64)
    }

    /// Maximum number of parts in memory: those on their way to S3, and the one that is being read.
    pub(super) fn in_memory(self) -> usize {
        match MEMORY / self.part_size {
            0 | 1 if self.part_size > LARGE => 1,
            0 | 1 => 2,
            several => several.try_into().unwrap_or(usize::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1024 * MIB;
    const TIB: u64 = 1024 * GIB;

    #[test]
    fn parts_grow_with_the_file_and_their_number_stays_below_s3s_limit() {
        for (size, part_size, in_memory) in [
            (16 * MIB + 1, 8 * MIB, 3),
            (78 * GIB, 8 * MIB, 3),
            (100 * GIB, 11 * MIB, 2),
            (TIB, 105 * MIB, 2),
            (5 * TIB, 525 * MIB, 1),
        ] {
            let layout = Layout::of(size);
            assert_eq!((layout.part_size, layout.in_memory()), (part_size, in_memory), "{size}");
            assert!(size.div_ceil(layout.part_size) <= PARTS_MAX);
        }
    }

    #[test]
    fn what_parts_take_in_memory() {
        let taken = |size| Layout::of(size).memory();
        assert!((0..=78).all(|size| taken(size * GIB) <= MEMORY));
        // docs/collecting.md names these.
        assert_eq!([TIB, 5 * TIB].map(taken), [210 * MIB, 525 * MIB]);
        assert_eq!(taken(Layout::SIZE_MAX), 5 * GIB, "one part of S3's largest size");
    }

    #[test]
    fn every_byte_is_in_one_part() {
        let layout = Layout { size: 20, part_size: 8 };
        assert_eq!([1, 2, 3].map(|part| layout.range(part)), [0..8, 8..16, 16..20]);
        assert_eq!([0, 7, 8, 19].map(|offset| layout.part_at(offset)), [1, 1, 2, 3]);
        assert_eq!(
            [0, 8, 12, 16, 20, 24].map(|offset| layout.is_boundary(offset)),
            [true, true, false, true, true, false]
        );
        assert!(!layout.is_one_request());
        assert!(Layout::of(0).is_one_request() && Layout::of(16 * MIB).is_one_request());
        assert!(!Layout::of(16 * MIB + 1).is_one_request());
        // An upload that an earlier version has begun.
        assert!(!Layout { size: 10 * MIB, part_size: PART }.is_one_request());
        assert_eq!(Layout::of(0).range(1), 0..0);
    }
}
