//! What the tasks tell the person at the terminal: one line per step, with its time.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

const NAME: usize = 12;
const DETAIL: usize = 66;

/// Does one step and prints what it was and what it took. `work` returns its value and what to say of it.
pub(crate) async fn step<T>(
    name: &str,
    doing: &str,
    work: impl Future<Output = Result<(T, String)>>,
) -> Result<T> {
    let start = Instant::now();
    if stdout().is_terminal() {
        print!("  {name:NAME$} {doing} …");
        stdout().flush()?;
    }
    let result = work.await;
    clear_line()?;
    match result {
        Ok((value, done)) => {
            println!("  {name:NAME$} {done:DETAIL$} {:>8}", seconds(start.elapsed()));
            Ok(value)
        }
        Err(error) => {
            println!("  {name:NAME$} {:DETAIL$} {:>8}", "failed", seconds(start.elapsed()));
            Err(error)
        }
    }
}

fn clear_line() -> Result<()> {
    if stdout().is_terminal() {
        print!("\r\x1b[2K");
        stdout().flush()?;
    }
    Ok(())
}

pub(crate) fn heading(text: &str) {
    println!("\n{text}");
}

/// `0.25 s`, `12 s`, `3 min 05 s`
pub(crate) fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.0} s", duration.as_secs_f64()),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// `5 B`, `12.3 KiB`, `64.0 MiB`
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
