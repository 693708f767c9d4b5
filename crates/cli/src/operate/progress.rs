//! Progress of long work, on standard error. indicatif draws nothing if that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// Counts things whose number is not known.
pub(crate) fn counting(what: &'static str) -> ProgressBar {
    with_template(ProgressBar::no_length(), what, "{msg}: {human_pos}")
}

/// Counts `total` things.
pub(crate) fn counting_to(what: &'static str, total: usize) -> ProgressBar {
    let bar = ProgressBar::new(total as u64);
    with_template(bar, what, "{msg} [{bar:20}] {human_pos} of {human_len} {eta:>5} left")
}

fn with_template(bar: ProgressBar, what: &'static str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(what);
    bar
}
