//! A progress bar on a terminal; nothing elsewhere.

use std::sync::Arc;

use bridge::OnProgress;
use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error. indicatif draws nothing where that is no terminal.
pub(crate) fn bar(what: &'static str) -> (ProgressBar, OnProgress) {
    let bar = ProgressBar::no_length().with_message(what);
    let style = ProgressStyle::with_template(
        "{msg:<9} [{bar:30}] {decimal_bytes:>10} of {decimal_total_bytes} {decimal_bytes_per_sec:>12} {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    let on_progress = {
        let bar = bar.clone();
        Arc::new(move |done, all| {
            bar.set_length(all);
            bar.set_position(done);
        })
    };
    (bar, on_progress)
}
