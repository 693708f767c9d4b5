//! Structured logs: one JSON object per line, for CloudWatch Logs Insights.

use bridge::{LogLevel, Variables};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging to standard output at `LOG_LEVEL`.
pub fn init() {
    init_to(std::io::stdout);
}

/// Starts logging to another stream. The command line prints receipts to standard output.
pub fn init_to<W>(writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter(&Variables::from_environment()))
        .with_writer(writer)
        .try_init();
}

fn filter(variables: &Variables) -> EnvFilter {
    // `Settings::parse` reports a wrong level. Until then, the default applies.
    let level = LogLevel::of(variables).unwrap_or_default();
    // russh logs every packet, possibly with secrets. This directive is the last, so that no setting overrides it.
    EnvFilter::new(format!("{level},russh=warn"))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    #[test]
    fn the_default_is_info_and_a_wrong_level_silences_nothing() {
        for (level, expected) in [
            (None, LevelFilter::INFO),
            (Some(""), LevelFilter::INFO),
            (Some("verbose"), LevelFilter::INFO),
            (Some("ERROR"), LevelFilter::WARN),
            (Some("debug"), LevelFilter::DEBUG),
            (Some("transfer=trace"), LevelFilter::TRACE),
        ] {
            let variables: Variables = level.map(|level| ("LOG_LEVEL", level)).into_iter().collect();
            let filter = filter(&variables);
            assert_eq!(filter.max_level_hint(), Some(expected), "{level:?}");
            assert!(filter.to_string().contains("russh=warn"), "{filter}");
        }
        let parts: Variables = [("LOG_LEVEL", "transfer=trace,russh=trace")].into_iter().collect();
        let parts = filter(&parts).to_string();
        assert!(
            parts.contains("info") && parts.contains("russh=warn") && !parts.contains("russh=trace"),
            "{parts}"
        );
    }
}
