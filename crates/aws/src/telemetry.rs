//! Structured logs: one JSON object a line on standard output, which is what CloudWatch Logs Insights reads best.

use bridge::{LogLevel, Variables};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Starts logging at `LOG_LEVEL`.
pub fn init() {
    init_to(std::io::stdout);
}

/// The same to another stream: standard output is the receipt's in the command line tool.
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
    // That a level is wrong is for the settings to say. Until then, and where nobody parses them, there are logs.
    let level = LogLevel::of(variables).unwrap_or_default();
    // russh logs every packet, and what it shows of them is not ours to promise. It stands last: nobody gets more of it.
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
