//! How many bytes to keep in flight on one channel: enough to fill the way there and back, and no more.

use std::time::{Duration, Instant};

/// Where a window begins near by, bytes. On a local network it is enough; more only costs the server memory and us time
/// when a connection is cut.
pub(crate) const START: usize = 512 * 1024;

/// Where it begins far away: what OpenSSH takes on a channel, and most others.
const START_FAR: usize = 2 * 1024 * 1024;

/// The largest window, bytes.
const MAX: usize = 8 * 1024 * 1024;

/// From this round trip on, what one channel has in flight limits it.
pub(crate) const FAR: Duration = Duration::from_millis(8);

/// A multiple of the product of the best rate and the shortest round trip, as BBR has it: twice that while it makes the
/// transfer faster, so that the window doubles each round trip; then little more than that, for what lies beyond only
/// waits in our own memory.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    start: usize,
    round_trip: Option<Duration>,
    round_start: Option<Instant>,
    round_bytes: usize,
    /// Bytes a second.
    best_rate: f64,
}

const GROWING: f64 = 2.0;
const GROWN: f64 = 1.25;
/// A rate that is so much better is no accident.
const BETTER: f64 = 1.1;

impl Window {
    /// For a server that answers within `round_trip`.
    pub(crate) fn new(round_trip: Duration) -> Self {
        let start = if round_trip >= FAR { START_FAR } else { START };
        Self { size: start, start, round_trip: None, round_start: None, round_bytes: 0, best_rate: 0.0 }
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
        let rate = self.round_bytes as f64 / seconds;
        let gain = if rate > BETTER * self.best_rate { GROWING } else { GROWN };
        self.best_rate = self.best_rate.max(rate);
        self.round_start = Some(now);
        self.round_bytes = 0;
        self.size = ((gain * self.best_rate * round_trip.as_secs_f64()) as usize).clamp(self.start, MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const WRITE: usize = 255 * 1024;

    /// A server that takes `rate` bytes a second, `round_trip` away, and at most `limit` bytes on their way to it.
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
    fn it_does_not_outgrow_what_the_server_takes() {
        let two_mib = 2 * 1024 * 1024;
        let (window, reached) = simulate(1e9, Duration::from_millis(50), two_mib, 2000);
        assert!(window.size() <= two_mib * 3 / 2, "{}", window.size());
        assert!(reached > 34e6, "{reached}");
    }
}
