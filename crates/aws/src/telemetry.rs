//! Structured logs: one JSON object a line on standard output, which is what CloudWatch Logs Insights reads best.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at `LOG_LEVEL` (default `info`; a filter such as `info,transfer=debug` works, too).
pub fn init() {
    init_to(std::io::stdout);
}

/// The same to another stream: standard output is the receipt's in the command line tool.
pub fn init_to<W>(writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = std::env::var("LOG_LEVEL").unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into());
    // russh logs every packet's kind at debug and never a secret, but it is noise: ask for it by name.
    let filter = filter.parse_lossy(format!("{level},russh=warn").trim_start_matches(','));
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .try_init();
}
