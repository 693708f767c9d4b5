//! How many bytes to keep in flight on one channel: enough to fill the way there and back, and no more.

use std::time::{Duration, Instant};

/// Where a window begins, bytes. On a local network it is enough; more only costs the server memory and us time when
/// a connection is cut.
pub(crate) const START: usize = 512 * 1024;

/// The largest window, bytes. OpenSSH takes 2 MiB a channel; some servers take more.
const MAX: usize = 8 * 1024 * 1024;

/// Twice the product of the best rate and the shortest round trip, as BBR does it while it starts: the window doubles
/// each round trip for as long as that makes the transfer faster, and stays where it does not.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    round_trip: Option<Duration>,
    round_start: Option<Instant>,
    round_bytes: usize,
    /// Bytes a second.
    best_rate: f64,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { size: START, round_trip: None, round_start: None, round_bytes: 0, best_rate: 0.0 }
    }

    /// Bytes that may be in flight.
    pub(crate) fn size(&self) -> usize {
        self.size
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
        // What was sent in this round is coming back: the round is over.
        let seconds = now.saturating_duration_since(round_start).as_secs_f64().max(1e-6);
        self.best_rate = self.best_rate.max(self.round_bytes as f64 / seconds);
        self.round_start = Some(now);
        self.round_bytes = 0;
        self.size = ((2.0 * self.best_rate * round_trip.as_secs_f64()) as usize).clamp(START, MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const WRITE: usize = 255 * 1024;

    /// A server that takes `rate` bytes a second, `round_trip` away, and at most `limit` bytes on their way to it.
    fn simulate(rate: f64, round_trip: Duration, limit: usize, writes: usize) -> (Window, f64) {
        let mut window = Window::new();
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
        assert!((3_000_000..7_000_000).contains(&window.size()), "{}", window.size());
        assert!(reached > 55e6, "{reached}");
    }

    #[test]
    fn it_does_not_outgrow_what_the_server_takes() {
        let two_mib = 2 * 1024 * 1024;
        let (window, reached) = simulate(1e9, Duration::from_millis(50), two_mib, 2000);
        assert!(window.size() <= 2 * two_mib + WRITE, "{}", window.size());
        assert!(reached > 34e6, "{reached}");
    }
}
