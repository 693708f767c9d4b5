//! Metrics in CloudWatch's Embedded Metric Format: CloudWatch makes metrics of log lines, so no call is needed. Source: "Specification: Embedded metric format" in the CloudWatch user guide.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use bridge::Variables;
use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "S3SftpBridge";

/// The variable that names the stack. It is no setting: the template sets it, and nothing else does.
pub const STACK_NAME: &str = "STACK_NAME";

macro_rules! metrics {
    ($($(#[$doc:meta])* $name:ident, $unit:literal;)*) => {
        /// The metrics. `docs/operating.md` describes each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric { $($(#[$doc])* $name,)* }

        impl Metric {
            /// Every metric.
            pub const ALL: &[Metric] = &[$(Metric::$name,)*];

            /// The name in CloudWatch.
            pub fn name(self) -> &'static str {
                match self { $(Metric::$name => stringify!($name),)* }
            }

            /// CloudWatch's name of the unit.
            pub fn unit(self) -> &'static str {
                match self { $(Metric::$name => $unit,)* }
            }
        }
    };
}

metrics! {
    /// Files that were published.
    FilesDelivered, "Count";
    /// Their size.
    BytesDelivered, "Bytes";
    /// From the upload to the receipt.
    SecondsToPublish, "Seconds";
    /// Bytes that had to be sent more than once.
    BytesResent, "Bytes";
    /// Calls that found no way to the server.
    ConnectionFailures, "Count";
    /// For how long no connection has worked; 0 after one that did.
    SecondsUnreachable, "Seconds";
    /// Age of a delivery when it gets its first turn, and whenever it could not connect.
    SecondsWaiting, "Seconds";
    /// Failed executions.
    Failures, "Count";
    /// Files that were stored in S3.
    FilesCollected, "Count";
    /// Their size.
    BytesCollected, "Bytes";
    /// From the look that found the file to the receipt.
    SecondsToCollect, "Seconds";
}

/// Values that are written together: a log line that CloudWatch makes metrics of.
///
/// Each combination of the values of dimensions is billed as a separate metric. So object keys and execution names are
/// fields of the line, which the queries find, and never dimensions.
#[derive(Clone, Debug, Default)]
pub struct Line {
    fields: Map<String, Value>,
    directives: Vec<Value>,
}

impl Line {
    /// The same line with a field: a dimension, or something to search for.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// The same line with values that are counted for each of these combinations of dimensions, which are fields of the
    /// line.
    #[must_use]
    pub fn counting(mut self, values: &[(Metric, f64)], dimensions: &[&[&str]]) -> Self {
        let metric = |(metric, _): &(Metric, f64)| json!({"Name": metric.name(), "Unit": metric.unit()});
        self.directives.push(json!({
            "Namespace": NAMESPACE,
            "Dimensions": dimensions,
            "Metrics": values.iter().map(metric).collect::<Vec<_>>(),
        }));
        self.fields.extend(values.iter().map(|(metric, value)| (metric.name().to_owned(), json!(value))));
        self
    }

    /// The log line. Without a metric it is an ordinary one.
    pub fn document(self, now: SystemTime) -> Value {
        let Self { mut fields, directives } = self;
        if !directives.is_empty() {
            let timestamp = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
            fields.insert("_aws".into(), json!({"Timestamp": timestamp, "CloudWatchMetrics": directives}));
        }
        Value::Object(fields)
    }
}

/// Writes the metrics of a stack. Outside of a stack it writes nothing.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    stack: Option<String>,
}

impl Meter {
    /// For the stack that the variables name.
    pub fn new(variables: &Variables) -> Self {
        Self { stack: variables.named(STACK_NAME).map(str::to_owned) }
    }

    /// For the command line, whose standard output is for receipts.
    pub fn off() -> Self {
        Self::default()
    }

    /// The dimension of all metrics but one.
    pub fn stack(&self) -> Option<&str> {
        self.stack.as_deref()
    }

    /// Writes the line to standard output, where Lambda picks it up, with the stack's name in `Stack`.
    pub fn write(&self, line: Line) {
        let Some(stack) = &self.stack else { return };
        let line = line.with("Stack", stack.as_str()).document(SystemTime::now());
        // If standard output is closed, the metric is lost, but the delivery continues.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn story_230_every_name_that_is_declared_is_there() {
        let line = Line::default()
            .with("Stack", "s")
            .with("Proof", "size")
            .counting(&[(Metric::FilesDelivered, 1.0)], &[&["Stack"], &["Stack", "Proof"]])
            .counting(&[(Metric::BytesResent, 0.0)], &[&["Stack"]]);
        let document = line.document(UNIX_EPOCH + std::time::Duration::from_millis(1_234));
        let metrics = &document["_aws"];
        assert_eq!(metrics["Timestamp"], 1_234);
        let [files, bytes] = metrics["CloudWatchMetrics"].as_array().unwrap().as_slice() else {
            panic!("{document}");
        };
        assert_eq!(
            files,
            &json!({
                "Namespace": "S3SftpBridge",
                "Dimensions": [["Stack"], ["Stack", "Proof"]],
                "Metrics": [{"Name": "FilesDelivered", "Unit": "Count"}],
            })
        );
        assert_eq!(bytes["Metrics"], json!([{"Name": "BytesResent", "Unit": "Bytes"}]));
        assert_eq!((&document["FilesDelivered"], &document["BytesResent"]), (&json!(1.0), &json!(0.0)));
        assert_eq!((&document["Stack"], &document["Proof"]), (&json!("s"), &json!("size")));
    }

    #[test]
    fn a_line_without_a_metric_is_an_ordinary_one() {
        let line = Line::default().with("outcome", "skipped");
        assert_eq!(line.document(UNIX_EPOCH), json!({"outcome": "skipped"}));
    }

    #[test]
    fn story_230_there_are_no_metrics_outside_of_a_stack() {
        assert_eq!(Meter::off().stack(), None);
        for (value, expected) in [("", None), ("acme", Some("acme"))] {
            let variables: Variables = [(STACK_NAME, value)].into_iter().collect();
            assert_eq!(Meter::new(&variables).stack(), expected);
        }
    }
}
