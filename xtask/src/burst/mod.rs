//! `cargo xtask burst`: what a burst of files costs, and how fair it is, with the retriers of the state machine. Files that
//! find no free connection are throttled by Lambda and retried after a random delay; each retry is a billed transition.

mod definition;
mod simulation;
#[cfg(test)]
mod tests;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use integration_tests::retrier::Retrier;

use crate::report::{heading, paragraph};
use definition::Definition;
use simulation::{Burst, Outcome, Starts};

/// US dollars for a transition of a Standard workflow.
const PRICE: f64 = 0.025 / 1000.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Files that are uploaded in the same moment.
    #[arg(long, default_value_t = 10_000)]
    files: u32,
    /// How long each file uses a connection, in both steps together.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Connections at once: MaxConnections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    cap: u32,
    /// How the executions start.
    #[arg(long, value_enum, default_value_t = StartsOption::Limited)]
    starts: StartsOption,
    /// Of the random numbers. The same seed gives the same result.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// IntervalSeconds, instead of the definition's.
    #[arg(long)]
    interval: Option<f64>,
    /// BackoffRate, instead of the definition's.
    #[arg(long)]
    rate: Option<f64>,
    /// MaxDelaySeconds, instead of the definition's.
    #[arg(long)]
    max_delay: Option<f64>,
    /// MaxAttempts, instead of the definition's.
    #[arg(long)]
    max_attempts: Option<u32>,
    /// One line instead of a report, to compare many retriers.
    #[arg(long)]
    brief: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StartsOption {
    /// In the same moment.
    AtOnce,
    /// 1,300, then 300 a second: the quota of StartExecution in the large regions.
    Limited,
    /// 800, then 150 a second: the quota elsewhere.
    Elsewhere,
}

impl StartsOption {
    fn starts(self) -> Starts {
        match self {
            Self::AtOnce => Starts::AtOnce,
            Self::Limited => Starts::Limited { bucket: 1300.0, per_second: 300.0 },
            Self::Elsewhere => Starts::Limited { bucket: 800.0, per_second: 150.0 },
        }
    }
}

impl Options {
    fn burst(&self) -> Burst {
        let Self { files, seconds, cap, seed, .. } = *self;
        Burst { files, seconds, cap, starts: self.starts.starts(), seed }
    }

    /// The shipped definition, changed as the options say.
    fn definition(&self) -> Result<Definition> {
        let shipped = Definition::shipped()?;
        let changed = |retrier: Retrier| Retrier {
            interval: self.interval.unwrap_or(retrier.interval),
            rate: self.rate.unwrap_or(retrier.rate),
            delay_max: self.max_delay.unwrap_or(retrier.delay_max),
            attempts: self.max_attempts.unwrap_or(retrier.attempts),
        };
        let (transfer, verify_remote) = (changed(shipped.transfer), changed(shipped.verify_remote));
        Ok(Definition { transfer, verify_remote, ..shipped })
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.seconds > 0.0, "--seconds must be more than 0");
    let (burst, definition) = (options.burst(), options.definition()?);
    let outcome = simulation::run(&burst, &definition);
    if options.brief {
        brief(&burst, &definition.transfer, &outcome);
    } else {
        report(&burst, &definition.transfer, &outcome);
    }
    Ok(())
}

fn brief(burst: &Burst, retrier: &Retrier, outcome: &Outcome) {
    println!(
        "{} s x{} to {} s, {} retries: {:.3} of the ideal, {:.1} retries a file (max {}), peak {}/{}, late {:.0} s, failed {}",
        retrier.interval,
        retrier.rate,
        retrier.delay_max,
        retrier.attempts,
        outcome.finish / burst.ideal(),
        outcome.retries_mean,
        outcome.retries_max,
        outcome.peak_first,
        outcome.peak_later,
        quantile(&outcome.late, 0.99),
        outcome.failed
    );
}

fn report(burst: &Burst, retrier: &Retrier, outcome: &Outcome) {
    let Burst { files, seconds, cap, .. } = burst;
    println!("{files} files, {seconds} s of a connection for each, {cap} connections\n");
    paragraph(&match burst.starts {
        Starts::AtOnce => "All executions start in the same moment, which no region allows.".to_owned(),
        Starts::Limited { bucket, per_second } => format!(
            "EventBridge starts the executions as fast as StartExecution allows: {bucket} at once, then {per_second} a second. \
             On AWS it retries throttled starts after growing pauses and in any order, so the last ones start later than here."
        ),
    });
    heading("Retrier of Lambda.TooManyRequestsException");
    row("delays", &format!("{} s, times {}, up to {} s, full jitter", retrier.interval, retrier.rate, retrier.delay_max));
    row(
        "patience",
        &format!(
            "{} retries: {}, on average {}, practically never less than {}",
            retrier.attempts,
            duration(retrier.at_most()),
            duration(retrier.on_average()),
            duration(retrier.at_least())
        ),
    );
    heading("Result");
    let ideal = burst.ideal();
    row("finished after", &format!("{}: {:.3} of the ideal {}", duration(outcome.finish), outcome.finish / ideal, duration(ideal)));
    row("retries", &format!("{:.1} for each file, at most {}", outcome.retries_mean, outcome.retries_max));
    let transitions = outcome.transitions;
    row("transitions", &format!("{transitions}: ${:.2}", transitions as f64 * PRICE));
    row("most a second", &format!("{}; from a minute after the last start on {}", outcome.peak_first, outcome.peak_later));
    let late = |part| duration(quantile(&outcome.late, part));
    row(
        "later than in order",
        &format!("median {}, 99 of 100 at most {}, worst {}", late(0.5), late(0.99), late(1.0)),
    );
    row("given up", &outcome.failed.to_string());
}

fn row(name: &str, value: &str) {
    println!("  {name:20} {value}");
}

/// The value below which this part of all is.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part) as usize).copied().unwrap_or_default()
}

/// `-12 s`, `17 min`, `2.8 h`
fn duration(seconds: f64) -> String {
    match seconds.abs() {
        0.0..120.0 => format!("{seconds:.0} s"),
        120.0..7200.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}
