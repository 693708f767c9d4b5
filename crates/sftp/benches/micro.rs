//! The cost of a request in the client itself, without SSH, network or server: `cargo xtask bench --micro`.
//!
//! Bytes per second are bytes of the file. Most of them are passed on without being read.

#![allow(missing_docs, reason = "criterion's macros generate no documentation")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use sftp::internals::{Decoder, Window, join_small, write};

const KIB: usize = 1024;
/// As long as a handle of OpenSSH.
const HANDLE: &[u8] = &[0; 4];
/// Maximum length of a packet on a channel, in bytes.
const PIECE: usize = 32 * KIB;
/// Number of replies at once: as many as are in flight with a distant server.
const REPLIES: u32 = 64;

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    for length in [32 * KIB, 255 * KIB] {
        let data = Bytes::from(vec![7; length]);
        // Data comes in pieces that are smaller than a WRITE.
        let parts: Vec<_> =
            (0..length).step_by(PIECE).map(|start| data.slice(start..length.min(start + PIECE))).collect();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(format!("WRITE of {} KiB", length / KIB), |b| {
            b.iter_batched(
                || parts.clone(),
                |parts| write(black_box(7), black_box(HANDLE), black_box(1 << 33), parts),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn join(c: &mut Criterion) {
    let mut group = c.benchmark_group("join");
    for (length, title) in [(10 * KIB, "WRITEs of 10 KiB"), (255 * KIB, "WRITEs of 255 KiB, uncopied")] {
        let data = Bytes::from(vec![7; length]);
        let writes: Vec<_> = (0..3).flat_map(|id| write(id, HANDLE, 0, vec![data.clone()])).collect();
        group.throughput(Throughput::Bytes(3 * length as u64));
        group.bench_function(format!("3 {title}"), |b| {
            b.iter(|| join_small(black_box(writes.iter().cloned())));
        });
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(REPLIES.into()));
    let statuses = stream(|id| [&[101][..], &id, &[0; 4], &string(b"Success"), &string(b"")].concat());
    for (title, piece) in [("in one piece", statuses.len()), ("in pieces of 10 bytes", 10)] {
        let pieces = cut(&statuses, piece);
        group.bench_function(format!("STATUS {title}"), |b| b.iter(|| decode_all(&pieces)));
    }
    group.throughput(Throughput::Bytes(u64::from(REPLIES) * PIECE as u64));
    let data = stream(|id| [&[103][..], &id, &string(&[7; PIECE])].concat());
    // A reply with its head is longer than a piece, so each reply comes in two pieces.
    let pieces = cut(&data, PIECE);
    group.bench_function("DATA of 32 KiB", |b| b.iter(|| decode_all(&pieces)));
    group.finish();
}

fn window(c: &mut Criterion) {
    let mut group = c.benchmark_group("window");
    group.throughput(Throughput::Elements(1));
    let round_trip = Duration::from_millis(50);
    let mut window = Window::new(round_trip);
    let mut now = Instant::now() + round_trip;
    group.bench_function("acknowledged request", |b| {
        b.iter(|| {
            now += Duration::from_millis(1);
            window.answered(black_box(now - round_trip), now, black_box(255 * KIB))
        });
    });
    group.finish();
}

/// Replies to the requests 0, 1, 2, …
fn stream(reply: impl Fn([u8; 4]) -> Vec<u8>) -> Bytes {
    (0..REPLIES).flat_map(|id| string(&reply(id.to_be_bytes()))).collect()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

fn cut(stream: &Bytes, length: usize) -> Vec<Bytes> {
    (0..stream.len())
        .step_by(length)
        .map(|start| stream.slice(start..stream.len().min(start + length)))
        .collect()
}

fn decode_all(pieces: &[Bytes]) {
    let mut decoder = Decoder::default();
    let mut replies = 0;
    for piece in pieces {
        decoder.push(piece.clone());
        while let Ok(Some(reply)) = decoder.next() {
            black_box(reply);
            replies += 1;
        }
    }
    assert_eq!(replies, REPLIES);
}

criterion_group!(benches, encode, join, decode, window);
criterion_main!(benches);
