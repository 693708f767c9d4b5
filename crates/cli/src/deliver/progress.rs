//! Progress on a terminal; nothing elsewhere. A line is at most 79 columns wide.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use bridge::{OnProgress, printable};
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::deliver::runner::Observers;

/// An estimate that is younger is a guess.
const GUESSING: Duration = Duration::from_secs(3);

/// A bar on standard error for one file. indicatif draws nothing where that is no terminal.
pub(crate) fn one_file() -> ProgressBar {
    let bar = ProgressBar::no_length().with_message("sending");
    bar.set_style(style(
        "{msg:<9} [{bar:20}] {decimal_bytes:>10} of {decimal_total_bytes:>10} {decimal_bytes_per_sec:>12} {left:>8}",
    ));
    bar
}

/// For many files: how many are done, and below it which one was begun last.
pub(crate) fn many_files() -> ProgressBar {
    let bar = ProgressBar::no_length();
    bar.set_style(style(
        "{prefix} [{bar:8}] {decimal_bytes:>10} of {decimal_total_bytes:>10} {decimal_bytes_per_sec:>12} {left:>8}\n{wide_msg}",
    ));
    bar
}

/// Shows which file was begun last.
pub(crate) fn begun(bar: &ProgressBar, object_key: &str) {
    bar.set_message(printable(object_key).into_owned());
}

/// Shows how many files are done.
pub(crate) fn count(bar: &ProgressBar, done: usize, total: usize) {
    bar.set_prefix(format!("{done}/{total} files"));
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("left", left).progress_chars("=> ")
}

/// The time that is left, as far as it can be known.
fn left(state: &ProgressState, text: &mut dyn Write) {
    if state.elapsed() >= GUESSING && state.pos() > 0 {
        // A line without an estimate is no reason to fail.
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

/// For a single file: the bar shows what is being done with it.
pub(crate) fn observers(bar: &ProgressBar) -> Observers {
    let showing = |what: &'static str| -> OnProgress {
        let bar = bar.clone();
        Arc::new(move |done, all| {
            if bar.message() != what {
                bar.reset();
                bar.set_message(what);
            }
            let is_first = bar.length().is_none();
            bar.set_length(all);
            bar.set_position(done);
            if is_first {
                // What an earlier run has sent says nothing of the speed of this one.
                bar.reset_eta();
            }
        })
    };
    Observers { sending: showing("sending"), verifying: showing("verifying") }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    /// Keeps what is drawn, on a terminal that has room for all of it.
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
            count(bar, 123_456, 200_000);
            begun(bar, "in/\u{1b}[2Jräksmörgås.csv");
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
    fn an_estimate_is_short_or_there_is_none() {
        for (seconds, words) in
            [(5, "5s left"), (119, "119s left"), (600, "10m left"), (86_400, "24h left"), (u64::MAX, "")]
        {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
