//! One run of one program: its time, its cost, and whether it succeeded.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use integration_tests::process::memory_peak;
use tokio::process::Command;

/// Maximum time of a run. A program that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(600);

/// Interval between two looks at the peak of the memory. The peak never falls, so only the last moments are missed.
const SAMPLING: Duration = Duration::from_millis(10);

/// The cost of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Seconds from its start to its end, or to the awaited event.
    pub(crate) wall: f64,
    /// Seconds of processor time of the program and its children.
    pub(crate) cpu: f64,
    /// Maximum memory of the program without its children, in bytes.
    pub(crate) memory: u64,
}

/// Runs the program to its end. The second value is its output.
pub(crate) async fn run(command: std::process::Command) -> Result<(Sample, String)> {
    let name = command.get_program().display().to_string();
    let mut command = Command::from(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let cpu_before = cpu_of_children()?;
    let start = Instant::now();
    let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
    let id = child.id().unwrap_or_default();
    let mut memory = 0;
    let mut end = Box::pin(tokio::time::timeout(PATIENCE, child.wait_with_output()));
    let output = loop {
        tokio::select! {
            biased;
            output = &mut end => break output,
            () = tokio::time::sleep(SAMPLING) => memory = memory.max(memory_peak(id).unwrap_or(0)),
        }
    };
    let wall = start.elapsed().as_secs_f64();
    let output = output.with_context(|| format!("{name} hangs"))??;
    if !output.status.success() {
        bail!("{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    let cpu = cpu_of_children()? - cpu_before;
    Ok((Sample { wall, cpu, memory }, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Seconds of processor time of all children that have ended, and of their children. Linux counts in hundredths.
fn cpu_of_children() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // After the program's name, which may contain any character: state, ppid, … cutime, cstime.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}
