//! Progress bars on a terminal; nothing elsewhere.

use std::sync::Arc;

use bridge::OnProgress;
use indicatif::{ProgressBar, ProgressStyle};

use crate::deliver::Observers;

/// A bar on standard error. indicatif draws nothing where that is no terminal.
pub(crate) fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::no_length().with_message(what);
    let style = ProgressStyle::with_template(
        "{msg:<9} [{bar:30}] {decimal_bytes:>10} of {decimal_total_bytes} {decimal_bytes_per_sec:>12} {eta} left",
    );
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
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
            bar.set_length(all);
            bar.set_position(done);
        })
    };
    Observers { sending: showing("sending"), verifying: showing("verifying") }
}
