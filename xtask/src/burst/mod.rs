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
use simulation::{Burst, Functions, Outcome, Starts};

/// US dollars for a transition of a Standard workflow.
const PRICE: f64 = 0.025 / 1000.0;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Files that are uploaded in the same moment.
    #[arg(long, default_value_t = 10_000)]
    files: u32,
    /// How long Transfer uses a connection for each file.
    #[arg(long, default_value_t = 0.5)]
    sending: f64,
    /// How long VerifyRemote uses one. As long as Transfer is the worst case: then both steps have a queue.
    #[arg(long, default_value_t = 0.5)]
    proving: f64,
    /// Connections at once: MaxConnections.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    cap: u32,
    /// As if one function served both states, with all connections.
    #[arg(long)]
    one_function: bool,
    /// How the executions start.
    #[arg(long, value_enum, default_value_t = StartsOption::Limited)]
    starts: StartsOption,
    /// Of the random numbers. The same seed gives the same result.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Another retrier of Transfer than the definition's: IntervalSeconds,BackoffRate,MaxDelaySeconds,MaxAttempts.
    #[arg(long, value_parser = retrier)]
    transfer: Option<Retrier>,
    /// The same for VerifyRemote.
    #[arg(long, value_parser = retrier)]
    verify_remote: Option<Retrier>,
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
        let Self { files, sending, proving, cap, seed, .. } = *self;
        let functions = if self.one_function { Functions::OneForBoth } else { Functions::AsDeployed };
        Burst { files, seconds: [sending, proving], cap, functions, starts: self.starts.starts(), seed }
    }

    /// The shipped definition, changed as the options say.
    fn definition(&self) -> Result<Definition> {
        let shipped = Definition::shipped()?;
        Ok(Definition {
            transfer: self.transfer.unwrap_or(shipped.transfer),
            verify_remote: self.verify_remote.unwrap_or(shipped.verify_remote),
            ..shipped
        })
    }
}

/// `5,3,240,800`
fn retrier(text: &str) -> Result<Retrier, String> {
    let numbers: Vec<f64> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let [interval, rate, delay_max, attempts] = numbers[..] else {
        return Err("four numbers are needed: interval, rate, longest delay, attempts".to_owned());
    };
    Ok(Retrier { interval, rate, delay_max, attempts: attempts as u32 })
}

pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(options.sending > 0.0 && options.proving > 0.0, "--sending and --proving must be more than 0");
    let (burst, definition) = (options.burst(), options.definition()?);
    let outcome = simulation::run(&burst, &definition);
    if options.brief {
        brief(&burst, &definition, &outcome);
    } else {
        report(&burst, &definition, &outcome);
    }
    Ok(())
}

fn brief(burst: &Burst, definition: &Definition, outcome: &Outcome) {
    println!(
        "{} | {}: {:.3} of the ideal, {:.1} + {:.1} retries a file (max {}), peak {}/{}, late {:.0} s, failed {}",
        delays(&definition.transfer),
        delays(&definition.verify_remote),
        outcome.finish / burst.ideal(),
        outcome.retries[1],
        outcome.retries[2],
        outcome.retries_max,
        outcome.peak_first,
        outcome.peak_later,
        quantile(&outcome.late, 0.99),
        outcome.failed
    );
}

fn report(burst: &Burst, definition: &Definition, outcome: &Outcome) {
    let Burst { files, seconds: [sending, proving], cap, .. } = burst;
    println!(
        "{files} files, {cap} connections, {sending} s in Transfer and {proving} s in VerifyRemote for each\n"
    );
    paragraph(&match burst.starts {
        Starts::AtOnce => "All executions start in the same moment, which no region allows.".to_owned(),
        Starts::Limited { bucket, per_second } => format!(
            "EventBridge starts the executions as fast as StartExecution allows: {bucket} at once, then {per_second} a second. \
             On AWS it retries throttled starts after growing pauses and in any order, so the last ones start later than here."
        ),
    });
    heading("Retriers of Lambda.TooManyRequestsException");
    for (state, retrier) in [("Transfer", &definition.transfer), ("VerifyRemote", &definition.verify_remote)]
    {
        row(state, &delays(retrier));
        let Retrier { attempts, .. } = retrier;
        let [most, average, least] =
            [retrier.at_most(), retrier.on_average(), retrier.at_least()].map(duration);
        row("", &format!("{attempts} retries: at most {most}, on average {average}, at least {least}"));
    }
    heading("Result");
    let ideal = burst.ideal();
    row(
        "finished after",
        &format!(
            "{}: {:.3} of the ideal {}",
            duration(outcome.finish),
            outcome.finish / ideal,
            duration(ideal)
        ),
    );
    let [_, transfer, verify_remote] = outcome.retries;
    row(
        "retries of a file",
        &format!(
            "{:.1}: {transfer:.1} in Transfer, {verify_remote:.1} in VerifyRemote; at most {}",
            outcome.retries_mean(),
            outcome.retries_max
        ),
    );
    let transitions = outcome.transitions;
    row("transitions", &format!("{transitions}: ${:.2}", transitions as f64 * PRICE));
    row(
        "most a second",
        &format!("{}; from a minute after the last start on {}", outcome.peak_first, outcome.peak_later),
    );
    let late = |part| duration(quantile(&outcome.late, part));
    row(
        "later than in order",
        &format!("median {}, 99 of 100 at most {}, worst {}", late(0.5), late(0.99), late(1.0)),
    );
    let unpublished = |part| duration(quantile(&outcome.unpublished, part));
    row(
        "sent to published",
        &format!("median {}, 99 of 100 at most {}", unpublished(0.5), unpublished(0.99)),
    );
    row("given up", &outcome.failed.to_string());
}

fn delays(retrier: &Retrier) -> String {
    format!("{} s, times {}, up to {} s", retrier.interval, retrier.rate, retrier.delay_max)
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
