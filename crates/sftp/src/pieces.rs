//! Data in pieces, which is not copied where it is much.

use bytes::{Bytes, BytesMut};

/// What is no longer is better copied than kept as it is: each piece has its price, however small it is.
const SMALL: usize = 8 * 1024;
/// Small pieces are joined to one of this length at most: what a packet of a channel holds.
const JOINED_MAX: usize = 32 * 1024;

/// Copies small pieces together. Large ones stay as they are.
pub(crate) fn join_small(pieces: impl IntoIterator<Item = Bytes>) -> Vec<Bytes> {
    let mut joined = Vec::new();
    let mut small = BytesMut::new();
    for piece in pieces {
        let is_small = piece.len() <= SMALL;
        if !small.is_empty() && (!is_small || small.len() + piece.len() > JOINED_MAX) {
            joined.push(small.split().freeze());
        }
        match is_small {
            true => small.extend_from_slice(&piece),
            false => joined.push(piece),
        }
    }
    if !small.is_empty() {
        joined.push(small.freeze());
    }
    joined
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_large_pieces_are_not_copied(lengths in prop::collection::vec(0..3 * SMALL, 0..40)) {
            let whole: Bytes = (0..lengths.iter().sum()).map(|index: usize| (index % 251) as u8).collect();
            let mut rest = whole.clone();
            let pieces: Vec<Bytes> = lengths.iter().map(|length| rest.split_to(*length)).collect();
            let joined = join_small(pieces.clone());
            prop_assert_eq!(joined.concat(), whole);
            for large in pieces.iter().filter(|piece| piece.len() > SMALL) {
                prop_assert!(joined.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
            }
            let small = |piece: &Bytes| piece.len() <= SMALL;
            for pair in joined.windows(2) {
                prop_assert!(!pair.iter().all(small));
            }
            prop_assert!(joined.iter().all(|piece| !piece.is_empty() && piece.len() <= JOINED_MAX));
        }
    }
}
