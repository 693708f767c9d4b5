//! A burst of files, event by event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use fastrand::Rng;
use integration_tests::retrier::Retrier;

use super::definition::Definition;

/// FetchKey needs this long, and has the account's concurrency for itself.
const FETCH_SECONDS: f64 = 0.1;
const ACCOUNT_CONCURRENCY: u32 = 1000;
/// Step Functions needs about this long from the end of a call to the next state's. With one function for both, another
/// file may take the connection in this time.
const BETWEEN_SECONDS: f64 = 0.05;
/// A step takes between 80 and 120 % of its usual time.
const SPREAD: f64 = 0.2;
/// Transitions apart from retries: the start and FetchKey; Transfer; IsTransferComplete and VerifyRemote; IsVerified and
/// Delivered.
const AT_START: u32 = 2;
const AFTER: [u32; 3] = [1, 2, 2];
/// The rate of the first minute is reported apart.
const FIRST: f64 = 60.0;

/// How the executions start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Starts {
    /// In the same moment.
    AtOnce,
    /// As StartExecution is throttled: a number at once, then a number a second.
    Limited { bucket: f64, per_second: f64 },
}

impl Starts {
    fn of(self, file: u32) -> f64 {
        match self {
            Self::AtOnce => 0.0,
            Self::Limited { bucket, per_second } => (f64::from(file) - bucket).max(0.0) / per_second,
        }
    }
}

/// Which functions the two states that connect have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Functions {
    /// As the template divides the connections: one for each state; Transfer gets the odd connection, and with a single one
    /// there is one function for both.
    AsDeployed,
    /// One for both, whatever the number of connections.
    OneForBoth,
}

impl Functions {
    /// The concurrency of the two functions; the second one is 0 if there is only one.
    fn concurrency(self, cap: u32) -> [u32; 2] {
        match self {
            Self::AsDeployed => [cap.div_ceil(2), cap / 2],
            Self::OneForBoth => [cap, 0],
        }
    }
}

/// A burst of files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) files: u32,
    /// How long Transfer and VerifyRemote use a connection for each file.
    pub(crate) seconds: [f64; 2],
    /// Connections at once: `MaxConnections`.
    pub(crate) cap: u32,
    pub(crate) functions: Functions,
    pub(crate) starts: Starts,
    pub(crate) seed: u64,
}

impl Burst {
    /// The time in which everything could be delivered, if no connection of the slower step was ever idle.
    pub(crate) fn ideal(&self) -> f64 {
        f64::from(self.files) * self.seconds_between()
    }

    /// When this file would be done if files were delivered in the order of their starts.
    fn in_order(&self, file: u32) -> f64 {
        let turn = f64::from(file + 1) * self.seconds_between();
        turn.max(self.starts.of(file)) + self.seconds[1]
    }

    fn seconds_between(&self) -> f64 {
        let [sending, proving] = self.seconds;
        match self.functions.concurrency(self.cap) {
            [one, 0] => (sending + proving) / f64::from(one),
            [transfer, verify_remote] => {
                (sending / f64::from(transfer)).max(proving / f64::from(verify_remote))
            }
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// When the last file was done.
    pub(crate) finish: f64,
    pub(crate) failed: u32,
    pub(crate) transitions: u64,
    /// Of each step, for each file on average.
    pub(crate) retries: [f64; 3],
    pub(crate) retries_max: u32,
    /// Most transitions in a second, until a minute after the last start.
    pub(crate) peak_first: u32,
    /// Most transitions in a second after that.
    pub(crate) peak_later: u32,
    /// How many seconds each file was done later than in order. The smallest first.
    pub(crate) late: Vec<f64>,
    /// How many seconds each file waited for its final name after it was sent. The smallest first.
    pub(crate) unpublished: Vec<f64>,
}

#[derive(Clone, Copy, Default)]
struct File {
    step: usize,
    retries_here: u32,
    retries: u32,
    sent: f64,
    done: f64,
}

impl Outcome {
    pub(crate) fn retries_mean(&self) -> f64 {
        self.retries.iter().sum()
    }
}

/// The concurrency of a function, or of the one function that serves both steps.
struct Lane {
    busy: u32,
    cap: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Attempt,
    Done,
}

struct Simulation<'a> {
    burst: &'a Burst,
    retriers: [Retrier; 3],
    files: Vec<File>,
    lanes: Vec<Lane>,
    /// The lane of each step.
    lane_of: [usize; 3],
    /// In microseconds, so that times have an order.
    queue: BinaryHeap<Reverse<(u64, u32, Event)>>,
    rates: Vec<u32>,
    transitions: u64,
    retries: [u64; 3],
    failed: u32,
    rng: Rng,
}

pub(crate) fn run(burst: &Burst, definition: &Definition) -> Outcome {
    let Definition { fetch_key, transfer, verify_remote } = *definition;
    let (lanes, lane_of) = lanes(burst);
    let mut simulation = Simulation {
        burst,
        retriers: [fetch_key, transfer, verify_remote],
        files: vec![File::default(); burst.files as usize],
        lanes,
        lane_of,
        queue: BinaryHeap::with_capacity(burst.files as usize),
        rates: Vec::new(),
        transitions: 0,
        retries: [0; 3],
        failed: 0,
        rng: Rng::with_seed(burst.seed),
    };
    for file in 0..burst.files {
        let at = burst.starts.of(file);
        simulation.count(at, AT_START);
        simulation.push(at, file, Event::Attempt);
    }
    while let Some(Reverse((at, file, event))) = simulation.queue.pop() {
        let at = at as f64 / 1e6;
        match event {
            Event::Attempt => simulation.attempt(at, file),
            Event::Done => simulation.done(at, file),
        }
    }
    simulation.outcome()
}

fn lanes(burst: &Burst) -> (Vec<Lane>, [usize; 3]) {
    let lane = |cap| Lane { busy: 0, cap };
    let account = lane(ACCOUNT_CONCURRENCY.saturating_sub(burst.cap).max(1));
    match burst.functions.concurrency(burst.cap) {
        [transfer, 0] => (vec![account, lane(transfer)], [0, 1, 1]),
        [transfer, verify_remote] => (vec![account, lane(transfer), lane(verify_remote)], [0, 1, 2]),
    }
}

impl Simulation<'_> {
    fn push(&mut self, at: f64, file: u32, event: Event) {
        self.queue.push(Reverse(((at * 1e6) as u64, file, event)));
    }

    fn count(&mut self, at: f64, transitions: u32) {
        let second = at as usize;
        if second >= self.rates.len() {
            self.rates.resize(second + 1, 0);
        }
        self.rates[second] += transitions;
        self.transitions += u64::from(transitions);
    }

    fn attempt(&mut self, at: f64, file: u32) {
        let step = self.files[file as usize].step;
        if self.files[file as usize].retries_here > 0 {
            self.count(at, 1);
        }
        let lane = &mut self.lanes[self.lane_of[step]];
        if lane.busy < lane.cap {
            lane.busy += 1;
            let [sending, proving] = self.burst.seconds;
            let seconds = [FETCH_SECONDS, sending, proving][step];
            let seconds = seconds * (1.0 - SPREAD + 2.0 * SPREAD * self.rng.f64());
            return self.push(at + seconds, file, Event::Done);
        }
        let (retrier, state) = (self.retriers[step], &mut self.files[file as usize]);
        if state.retries_here == retrier.attempts {
            self.failed += 1;
            return;
        }
        let delay = retrier.longest(state.retries_here) * self.rng.f64();
        state.retries_here += 1;
        state.retries += 1;
        self.retries[step] += 1;
        self.push(at + delay, file, Event::Attempt);
    }

    fn done(&mut self, at: f64, file: u32) {
        let step = self.files[file as usize].step;
        self.lanes[self.lane_of[step]].busy -= 1;
        self.count(at, AFTER[step]);
        let state = &mut self.files[file as usize];
        if step == 2 {
            state.done = at;
            return;
        }
        if step == 1 {
            state.sent = at;
        }
        (state.step, state.retries_here) = (step + 1, 0);
        let between = match self.burst.functions {
            Functions::AsDeployed => 0.0,
            Functions::OneForBoth => BETWEEN_SECONDS,
        };
        self.push(at + between, file, Event::Attempt);
    }

    fn outcome(self) -> Outcome {
        let quiet = self.burst.starts.of(self.burst.files.saturating_sub(1)) + FIRST;
        let first = self.rates.len().min(quiet as usize);
        let peak = |rates: &[u32]| rates.iter().copied().max().unwrap_or_default();
        let (first, later) = self.rates.split_at(first);
        let done = self.files.iter().enumerate().filter(|(_, file)| file.done > 0.0);
        let mut late: Vec<_> =
            done.clone().map(|(index, file)| file.done - self.burst.in_order(index as u32)).collect();
        late.sort_by(f64::total_cmp);
        let mut unpublished: Vec<_> = done.clone().map(|(_, file)| file.done - file.sent).collect();
        unpublished.sort_by(f64::total_cmp);
        Outcome {
            finish: done.map(|(_, file)| file.done).fold(0.0, f64::max),
            failed: self.failed,
            transitions: self.transitions,
            retries: self.retries.map(|retries| retries as f64 / f64::from(self.burst.files.max(1))),
            retries_max: self.files.iter().map(|file| file.retries).max().unwrap_or_default(),
            peak_first: peak(first),
            peak_later: peak(later),
            late,
            unpublished,
        }
    }
}
