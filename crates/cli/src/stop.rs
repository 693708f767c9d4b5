//! Someone wants the command to end: a signal, or nobody reads what it says any more.

use std::future::pending;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::output;

/// For what is nearly done.
const GRACE: Duration = Duration::from_secs(3);

/// How urgent it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    #[default]
    None,
    /// Begin nothing new, and come to an end soon.
    Stop,
    /// At once.
    StopNow,
}

/// Hears of it. Clones hear of the same.
#[derive(Clone)]
pub(crate) struct Stop {
    wish: watch::Receiver<Wish>,
}

impl Stop {
    /// Listens from now on, in place of the signals' own effects: SIGTERM, SIGINT and SIGHUP, and output that nobody
    /// reads. A signal that was ignored when the command started (`nohup`) stays ignored. Writing to a closed pipe is
    /// an error and no signal here.
    pub(crate) fn listen() -> Self {
        let (sender, wish) = watch::channel(Wish::None);
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
                sender.send_modify(|wish| {
                    *wish = if *wish == Wish::None { Wish::Stop } else { Wish::StopNow };
                });
            }
        });
        Self { wish }
    }

    /// Returns when it is wanted.
    pub(crate) async fn wanted(&self) {
        self.reaches(Wish::Stop).await;
    }

    /// Returns some seconds after it was wanted, or when it is wanted for the second time.
    pub(crate) async fn due(&self) {
        self.wanted().await;
        tokio::select! {
            () = tokio::time::sleep(GRACE) => {}
            () = self.reaches(Wish::StopNow) => {}
        }
    }

    async fn reaches(&self, least: Wish) {
        let mut wish = self.wish.clone();
        // The sender lives as long as the process.
        if wish.wait_for(|wish| *wish >= least).await.is_err() {
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

/// Whether the signal was ignored when this process started. If that cannot be seen: no.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
