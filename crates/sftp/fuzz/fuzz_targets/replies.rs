//! For any bytes of a server, in any pieces: the client decodes the same replies as a simple reader, at the same byte, and
//! keeps no more than it has to.

#![no_main]

mod reference;

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sftp::internals::{self, Decoder, PIECES_MAX, REPLY_MAX, Seen};
use sftp::{Attributes, FileType};

/// Nine bytes, then the stream: see `examples/seeds.rs`.
#[derive(Arbitrary, Debug)]
struct Input<'a> {
    /// Lengths of the pieces, repeated. A zero stands for an empty piece.
    cuts: [u16; 4],
    /// Number of pieces of zeros after the stream, plus `ZEROS`. With them, a short input makes a long reply. Most inputs
    /// have none.
    zeros: u8,
    stream: &'a [u8],
}

const PIECE_OF_ZEROS: usize = 32 * 1024;
/// The remaining pieces, up to 255, are more than the longest reply.
const ZEROS: u8 = 236;

fuzz_target!(|input: Input<'_>| {
    let zeros = usize::from(input.zeros.saturating_sub(ZEROS)) * PIECE_OF_ZEROS;
    let mut stream = input.stream.to_vec();
    stream.resize(stream.len() + zeros, 0);
    let stream = Bytes::from(stream);
    let mut expected = reference::replies(&stream).into_iter().peekable();
    let mut decoder = Decoder::default();
    let mut cuts = input.cuts.iter().cycle();
    let mut rest = stream.clone();
    let mut read = 0;
    let mut is_joined = false;

    while !rest.is_empty() {
        let cut = match rest.len().checked_sub(zeros) {
            Some(plain @ 1..) => {
                let cut = cuts.next().map_or(1, |cut| usize::from(*cut));
                if cut == 0 {
                    decoder.push(Bytes::new());
                }
                cut.clamp(1, plain)
            }
            _ => PIECE_OF_ZEROS.min(rest.len()),
        };
        let (_, pieces_before) = decoder.kept();
        decoder.push(rest.split_to(cut));
        let sent = stream.len() - rest.len();
        let (kept, pieces) = decoder.kept();
        assert_eq!(kept, sent - read);
        assert!(kept < 4 + REPLY_MAX + cut);
        assert!(pieces <= PIECES_MAX);
        is_joined |= pieces <= pieces_before;

        loop {
            match decoder.next() {
                Ok(Some((id, seen))) => {
                    let (end, expected) = expected.next().expect("nothing more to be read");
                    assert!(end <= sent);
                    read = end;
                    look_into(&seen, &stream);
                    if let Seen::Data(pieces) = &seen
                        && !is_joined
                    {
                        let memory = stream.as_ptr_range();
                        assert!(pieces.iter().all(|piece| memory.contains(&piece.as_ptr())), "copied");
                    }
                    assert_eq!(Ok((id, joined(seen))), expected);
                }
                Ok(None) => {
                    // Every complete reply was decoded.
                    assert!(expected.peek().is_none_or(|(end, _)| *end > sent));
                    break;
                }
                Err(broken) => {
                    let (end, expected) = expected.next().expect("nothing more to be read");
                    assert!(end <= sent);
                    assert_eq!(Err(broken), expected);
                    // Asking again must do no harm.
                    let _ = decoder.next();
                    return;
                }
            }
        }
        assert_eq!(decoder.kept().0, sent - read);
    }
    assert_eq!(expected.next(), None);
});

/// Joins the pieces of data.
fn joined(seen: Seen) -> Seen {
    match seen {
        Seen::Data(pieces) => Seen::Data(vec![pieces.concat().into()]),
        other => other,
    }
}

/// Compares what is decoded from the body of a reply.
fn look_into(seen: &Seen, stream: &[u8]) {
    match seen {
        Seen::Extended(body) => {
            assert_eq!(internals::data_lengths(body.clone()), reference::data_lengths(body));
            assert_eq!(internals::available(body.clone()), reference::available(body));
            assert_eq!(internals::server_hash(body.clone()), reference::server_hash(body));
        }
        Seen::Attributes(attributes) => look_at(attributes),
        Seen::Names(entries) => {
            for entry in entries {
                look_at(&entry.attributes);
                let memory = stream.as_ptr_range();
                assert!(!memory.contains(&entry.name.as_ptr()), "a name keeps its packet in memory");
            }
        }
        _ => {}
    }
}

/// What it is, by its mode.
fn look_at(attributes: &Attributes) {
    let kind = attributes.permissions.map(|mode| mode >> 12 & 0o17);
    assert_eq!(attributes.is_directory(), kind.map(|kind| kind == 0o04));
    let file_type = match kind {
        None | Some(0) => None,
        Some(0o10) => Some(FileType::File),
        Some(0o04) => Some(FileType::Directory),
        Some(0o12) => Some(FileType::Link),
        Some(_) => Some(FileType::Other),
    };
    assert_eq!(attributes.file_type(), file_type);
}
