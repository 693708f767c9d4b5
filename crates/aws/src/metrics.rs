//! Metrics in CloudWatch's Embedded Metric Format: CloudWatch makes metrics of log lines, so no call is needed. Source: "Specification: Embedded metric format" in the CloudWatch user guide.

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

/// The namespace of all metrics.
pub const NAMESPACE: &str = "S3SftpBridge";

/// One value.
pub struct Metric {
    /// The name.
    pub name: &'static str,
    /// CloudWatch's name of the unit: `Count`, `Bytes`, `Seconds`.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
}

/// Writes metrics with these dimensions. Do not use object keys or execution names as dimensions: each combination of
/// values is billed as a separate metric.
pub fn emit(dimensions: &[(&str, &str)], metrics: &[Metric]) {
    let line = document(dimensions, metrics).to_string();
    // If standard output is closed, the metric is lost, but the delivery continues.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

fn document(dimensions: &[(&str, &str)], metrics: &[Metric]) -> Value {
    let timestamp = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map(|since| since.as_millis() as u64)
        .unwrap_or_default();
    let definitions: Vec<Value> =
        metrics.iter().map(|metric| json!({"Name": metric.name, "Unit": metric.unit})).collect();
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut fields = Map::new();
    fields.insert(
        "_aws".into(),
        json!({
            "Timestamp": timestamp,
            "CloudWatchMetrics": [{"Namespace": NAMESPACE, "Dimensions": [names], "Metrics": definitions}],
        }),
    );
    fields.extend(dimensions.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    fields.extend(metrics.iter().map(|metric| (metric.name.to_owned(), json!(metric.value))));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_declared_is_there() {
        let document =
            document(&[("StateMachine", "s")], &[Metric { name: "Failures", unit: "Count", value: 1.0 }]);
        let declared = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(declared["Namespace"], NAMESPACE);
        assert_eq!(declared["Dimensions"], json!([["StateMachine"]]));
        assert_eq!(declared["Metrics"], json!([{"Name": "Failures", "Unit": "Count"}]));
        assert_eq!((&document["StateMachine"], &document["Failures"]), (&json!("s"), &json!(1.0)));
    }
}
