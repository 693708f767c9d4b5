//! How many bytes to keep in flight on one channel: enough to fill the line in both directions, and not more.

use std::time::{Duration, Instant};

/// Initial window for a near server, in bytes. It is enough on a local network. A larger window costs memory on the
/// server, and data that has to be sent again after a lost connection.
pub(crate) const START: usize = 512 * 1024;

/// Initial window for a distant server, in bytes: the window of a channel of OpenSSH, and of most other servers.
pub(crate) const CHANNEL_WINDOW: usize = 2 * 1024 * 1024;

/// Maximum window, in bytes.
const MAX: usize = 8 * 1024 * 1024;

/// Maximum distance between an acknowledged byte and a byte that is sent, in bytes, over all channels.
///
/// Therefore a file of N bytes on the server holds the first N - `AHEAD_MAX` bytes without a gap: all of them were
/// acknowledged before the last byte was sent.
///
/// Eight channels of 2 MiB, and half as much again, so that the others continue while one of them is slow.
pub const AHEAD_MAX: u64 = 24 * 1024 * 1024;

/// Maximum number of bytes that wait in our memory because the channel does not take them, before a grown window counts
/// as its initial one. OpenSSH takes 2 MiB on a channel, so that a larger window only fills our memory.
const UNSENT_MAX: usize = 512 * 1024;

/// Minimum round trip of a distant server. From there on, the window limits the rate of a channel.
pub(crate) const FAR: Duration = Duration::from_millis(8);

/// A window in the manner of BBR: a multiple of the best rate times the shortest round trip. While the transfer gets
/// faster, it is twice that product, so that the window doubles with each round trip. After that it is a little more
/// than the product, because further data would only wait in our own memory.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    start: usize,
    round_trip: Option<Duration>,
    round_start: Option<Instant>,
    round_bytes: usize,
    /// Bytes per second.
    best_rate: f64,
}

const GROWING: f64 = 2.0;
const GROWN: f64 = 1.25;
/// A rate counts as faster from this ratio on.
const BETTER: f64 = 1.1;

impl Window {
    /// For a server with this round trip.
    pub(crate) fn new(round_trip: Duration) -> Self {
        let start = if round_trip >= FAR { CHANNEL_WINDOW } else { START };
        Self { size: start, start, round_trip: None, round_start: None, round_bytes: 0, best_rate: 0.0 }
    }

    /// Maximum number of bytes in flight.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Maximum number of bytes in flight, while `unsent` bytes of them wait for the channel.
    pub(crate) fn size_while(&self, unsent: usize) -> usize {
        if unsent > UNSENT_MAX { self.start } else { self.size }
    }

    /// A request of `bytes`, sent at `sent_at`, was answered at `now`.
    pub(crate) fn answered(&mut self, sent_at: Instant, now: Instant, bytes: usize) {
        let took = now.saturating_duration_since(sent_at);
        let round_trip = self.round_trip.map_or(took, |round_trip| round_trip.min(took));
        self.round_trip = Some(round_trip);
        self.round_bytes += bytes;
        let round_start = *self.round_start.get_or_insert(sent_at);
        if sent_at < round_start {
            return;
        }
        // This request was sent in the current round, so the round is over.
        let seconds = now.saturating_duration_since(round_start).as_secs_f64().max(1e-6);
        let rate = self.round_bytes as f64 / seconds;
        let gain = if rate > BETTER * self.best_rate { GROWING } else { GROWN };
        self.best_rate = self.best_rate.max(rate);
        self.round_start = Some(now);
        self.round_bytes = 0;
        self.size = ((gain * self.best_rate * round_trip.as_secs_f64()) as usize).clamp(self.start, MAX);
    }
}

/// What is in flight on one channel.
#[derive(Debug)]
pub(crate) struct Flow {
    window: Window,
    in_flight: usize,
}

impl Flow {
    /// For a server with this round trip.
    pub(crate) fn new(round_trip: Duration) -> Self {
        Self { window: Window::new(round_trip), in_flight: 0 }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Maximum number of bytes in flight.
    pub(crate) fn size(&self) -> usize {
        self.window.size()
    }

    /// How much room is left after this many more bytes, while `unsent` bytes of those in flight wait for the channel. `None`
    /// if there is not enough.
    pub(crate) fn room_after(&self, length: usize, unsent: usize) -> Option<usize> {
        self.window.size_while(unsent).checked_sub(self.in_flight + length)
    }

    /// How much room is left behind the first byte of a request, if at most `share` bytes may be in flight. `None` if even
    /// that byte has no room. The rest of the request may exceed the limit.
    pub(crate) fn room_within(&self, share: usize) -> Option<usize> {
        self.window.size().min(share).checked_sub(self.in_flight + 1)
    }

    /// A request of this many bytes was sent.
    pub(crate) fn sent(&mut self, length: usize) {
        self.in_flight += length;
    }

    /// A request of `length` bytes, sent at `sent_at`, was answered for `done` of them.
    pub(crate) fn answered(&mut self, sent_at: Instant, length: usize, done: usize) {
        self.in_flight -= length;
        self.window.answered(sent_at, Instant::now(), done);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const WRITE: usize = 255 * 1024;

    /// A server with this round trip that reads `rate` bytes per second, and accepts at most `limit` bytes in flight.
    fn simulate(rate: f64, round_trip: Duration, limit: usize, writes: usize) -> (Window, f64) {
        let mut window = Window::new(round_trip);
        let start = Instant::now();
        let (mut now, mut idle_at) = (start, start);
        let mut in_flight = VecDeque::new();
        for _ in 0..writes {
            while !in_flight.is_empty() && in_flight.len() * WRITE + WRITE > window.size().min(limit) {
                let (sent_at, answered_at) = in_flight.pop_front().unwrap();
                now = now.max(answered_at);
                window.answered(sent_at, now, WRITE);
            }
            let arrives = now + round_trip / 2;
            idle_at = idle_at.max(arrives) + Duration::from_secs_f64(WRITE as f64 / rate);
            in_flight.push_back((now, idle_at + round_trip / 2));
        }
        let reached = (writes * WRITE) as f64 / (now - start).as_secs_f64();
        (window, reached)
    }

    #[test]
    fn on_a_local_network_it_stays_small() {
        let (window, reached) = simulate(400e6, Duration::from_micros(200), usize::MAX, 4000);
        assert!(window.size() <= 2 * START, "{}", window.size());
        assert!(reached > 390e6, "{reached}");
    }

    #[test]
    fn far_away_it_grows_until_the_line_is_full() {
        let (window, reached) = simulate(60e6, Duration::from_millis(50), usize::MAX, 2000);
        assert!((3_000_000..5_000_000).contains(&window.size()), "{}", window.size());
        assert!(reached > 55e6, "{reached}");
    }

    #[test]
    fn a_grown_window_is_not_used_while_the_channel_takes_no_more() {
        let (window, _) = simulate(60e6, Duration::from_millis(50), usize::MAX, 2000);
        assert_eq!(window.size_while(0), window.size());
        assert_eq!(window.size_while(UNSENT_MAX), window.size());
        assert_eq!(window.size_while(UNSENT_MAX + 1), CHANNEL_WINDOW);
    }

    #[test]
    fn it_does_not_outgrow_what_the_server_takes() {
        let two_mib = 2 * 1024 * 1024;
        let (window, reached) = simulate(1e9, Duration::from_millis(50), two_mib, 2000);
        assert!(window.size() <= two_mib * 3 / 2, "{}", window.size());
        assert!(reached > 34e6, "{reached}");
    }
}
