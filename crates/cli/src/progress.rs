//! Progress on a terminal. A line is at most 79 columns wide.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bridge::{OnProgress, printable};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// How old a transfer must be for an estimate of the time left.
const ESTIMATE_AFTER: Duration = Duration::from_secs(3);

/// Receives the progress of one delivery.
#[derive(Clone)]
pub(crate) struct Observers {
    pub(crate) on_sent: OnProgress,
    pub(crate) on_read_back: OnProgress,
}

/// A bar on standard error for one file. indicatif draws nothing if that is not a terminal.
pub(crate) fn one_file() -> ProgressBar {
    let bar = ProgressBar::no_length().with_message("sending");
    bar.set_style(style(
        "{msg:<9} [{bar:20}] {decimal_bytes:>10} of {decimal_total_bytes:>10} {decimal_bytes_per_sec:>12} {left:>8}",
    ));
    bar
}

/// A bar for many files: how many are finished, and below it the file that was started last.
pub(crate) fn many_files() -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_style(style(
        "{prefix} [{bar:8}] {decimal_bytes:>10} of {decimal_total_bytes:>10} {decimal_bytes_per_sec:>12} {left:>8}\n{wide_msg}",
    ));
    bar
}

/// Shows the file that was started last.
pub(crate) fn started(bar: &ProgressBar, object_key: &str) {
    bar.set_message(printable(object_key).into_owned());
}

/// Shows how many files are finished.
pub(crate) fn finished(bar: &ProgressBar, files: usize, total: usize) {
    bar.set_prefix(format!("{files}/{total} files"));
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("left", left).progress_chars("=> ")
}

/// Writes the time left, once it can be estimated.
fn left(state: &ProgressState, text: &mut dyn Write) {
    if state.elapsed() >= ESTIMATE_AFTER && state.pos() > 0 {
        let _ = text.write_str(&in_words(state.eta()));
    }
}

fn in_words(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..120 => format!("{seconds}s left"),
        seconds @ 120..7200 => format!("{}m left", seconds / 60),
        seconds @ 7200..360_000 => format!("{}h left", seconds / 3600),
        _ => String::new(),
    }
}

/// For the bar of one file: shows the current step and its progress.
pub(crate) fn observers(bar: &ProgressBar) -> Observers {
    let showing = |step: &'static str| -> OnProgress {
        let bar = bar.clone();
        Arc::new(move |done, total| {
            if bar.message() != step {
                bar.reset();
                bar.set_message(step);
            }
            let is_first = bar.length().is_none();
            bar.set_length(total);
            bar.set_position(done);
            if is_first {
                // An earlier run sent these bytes: they say nothing about the speed of this run.
                bar.reset_eta();
            }
        })
    };
    Observers { on_sent: showing("sending"), on_read_back: showing("verifying") }
}

/// For the bar of many files: adds what this file has sent, and counts it in `sent`.
pub(crate) fn adding(bar: &ProgressBar, sent: &Arc<AtomicU64>) -> Observers {
    let (bar, sent) = (bar.clone(), Arc::clone(sent));
    let on_sent: OnProgress = Arc::new(move |done, _| {
        let before = sent.fetch_max(done, Ordering::Relaxed);
        bar.inc(done.saturating_sub(before));
    });
    Observers { on_sent, on_read_back: Arc::new(|_, _| {}) }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// A wide terminal that keeps what is drawn.
    #[derive(Clone, Debug, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            200
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().extend(text.lines().map(|line| line.trim_end().to_owned()));
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn drawn(bar: &ProgressBar, draw: impl FnOnce(&ProgressBar)) -> Vec<String> {
        let screen = Screen::default();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        draw(bar);
        bar.tick();
        let lines = screen.0.lock().unwrap().clone();
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn story_52_a_line_fits_the_terminal() {
        let most = 999_999_999_999;
        let one = drawn(&one_file(), |bar| {
            bar.set_message("verifying");
            bar.set_length(most);
            bar.set_position(most - 1);
        });
        let many = drawn(&many_files(), |bar| {
            finished(bar, 123_456, 200_000);
            started(bar, "in/\u{1b}[2Jräksmörgås.csv");
            bar.set_length(most);
            bar.set_position(most - 1);
        });
        assert!(one.iter().any(|line| line.starts_with("verifying")), "{one:?}");
        assert!(many.iter().any(|line| line.starts_with("123456/200000 files")), "{many:?}");
        assert!(many.iter().any(|line| line == r"in/\u{1b}[2Jräksmörgås.csv"), "{many:?}");
        for line in one.iter().chain(&many) {
            assert!(line.chars().count() < 80, "{}: {line}", line.chars().count());
        }
    }

    #[test]
    fn an_estimate_is_short_or_missing() {
        for (seconds, words) in
            [(5, "5s left"), (119, "119s left"), (600, "10m left"), (86_400, "24h left"), (u64::MAX, "")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
