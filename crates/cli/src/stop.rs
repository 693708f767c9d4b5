//! Requests to end the command: signals, and output that nobody reads any more.

use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::output;

/// How long files in progress may take after the first request.
const GRACE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Request {
    #[default]
    None,
    /// Start nothing new, and end soon.
    Stop,
    /// End at once.
    StopNow,
}

/// Receives the requests.
#[derive(Clone)]
pub(crate) struct Stop {
    request: watch::Receiver<Request>,
}

impl Stop {
    /// Listens for SIGTERM, SIGINT, SIGHUP and closed output, instead of their default effects. A signal that was ignored
    /// when the command started (`nohup`) stays ignored.
    pub(crate) fn listen() -> Self {
        let (sender, request) = watch::channel(Request::None);
        let mut signals =
            [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()].map(listen);
        tokio::spawn(async move {
            let [terminate, interrupt, hangup] = &mut signals;
            let mut is_closed = false;
            loop {
                tokio::select! {
                    () = received(terminate) => {}
                    () = received(interrupt) => {}
                    () = received(hangup) => {}
                    () = output::closed(), if !is_closed => is_closed = true,
                }
                sender.send_modify(|request| {
                    *request = if *request == Request::None { Request::Stop } else { Request::StopNow };
                });
            }
        });
        Self { request }
    }

    /// Returns after the first request.
    pub(crate) async fn requested(&self) {
        self.reaches(Request::Stop).await;
    }

    /// Returns some seconds after the first request, or after the second one.
    pub(crate) async fn due(&self) {
        self.requested().await;
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = self.reaches(Request::StopNow) => {}
        }
    }

    async fn reaches(&self, least: Request) {
        let mut request = self.request.clone();
        // The sender lives as long as the process.
        if request.wait_for(|request| *request >= least).await.is_err() {
            pending::<()>().await;
        }
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    if is_ignored(kind) { None } else { signal(kind).ok() }
}

async fn received(signal: &mut Option<Signal>) {
    let received = match signal {
        Some(signal) => signal.recv().await,
        None => None,
    };
    if received.is_none() {
        pending::<()>().await;
    }
}

/// Whether the signal was ignored when this process started. `false` if that cannot be read.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
