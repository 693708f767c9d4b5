//! The line between two TUN devices.

use std::fs::File;
use std::io::{Read, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What the line does to packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// Half of it each way.
    pub round_trip: Duration,
    /// The percentage of the packets that are lost, each way.
    pub loss: f64,
}

/// A packet, joined segments with their header, or less.
const PACKET_MAX: usize = 1 << 17;

struct Packet {
    due: Instant,
    bytes: Box<[u8]>,
}

/// Carries the packets of one direction until a device is gone. The seed decides which packets are lost.
pub(super) fn carry(from: Arc<File>, to: Arc<File>, distance: Distance, seed: u64) {
    // All packets take equally long, so the first one in the queue is always the next that is due.
    let (queue, packets) = mpsc::channel::<Packet>();
    thread::spawn(move || {
        for packet in packets {
            let early = packet.due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                thread::sleep(early);
            }
            // A device that is down takes nothing.
            let _ = (&*to).write(&packet.bytes);
        }
    });
    thread::spawn(move || {
        let mut luck = fastrand::Rng::with_seed(seed);
        let mut buffer = vec![0; PACKET_MAX];
        while let Ok(length) = (&*from).read(&mut buffer) {
            if luck.f64() * 100.0 < distance.loss {
                continue;
            }
            let due = Instant::now() + distance.round_trip / 2;
            let _ = queue.send(Packet { due, bytes: buffer[..length].into() });
        }
    });
}
