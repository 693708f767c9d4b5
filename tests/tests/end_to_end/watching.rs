//! What the functions write is what the dashboard, the alarms and the saved queries look for.

use std::collections::BTreeSet;
use std::time::Duration;

use aws::metrics::{Metric, NAMESPACE};
use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;
use integration_tests::template::{Query, dashboard, queries, runbook_queries, template};
use serde_json::{Value, json};

use crate::{PATIENCE, receipt};

/// The metrics of the other direction.
const OF_COLLECTIONS: [Metric; 3] =
    [Metric::FilesCollected, Metric::BytesCollected, Metric::SecondsToCollect];

/// The log lines of a stack's functions.
async fn lines(aws: &MiniStack, stack: &str) -> Vec<Value> {
    let logs = aws.logs_below(&format!("/aws/lambda/{stack}/")).await.unwrap();
    let lines = logs.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(_, line)| serde_json::from_str(line).ok()).collect()
}

/// The lines about an object that have a value of this metric.
fn measured<'a>(lines: &'a [Value], object_key: &str, metric: Metric) -> Vec<&'a Value> {
    let of = |line: &&Value| line["span"]["object_key"] == object_key && line[metric.name()].is_number();
    lines.iter().filter(of).collect()
}

/// The names of all fields, as Logs Insights writes them.
fn fields(value: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        fields(value, &format!("{name}."), found);
        found.insert(name);
    }
}

/// The metrics that a line declares, with all that CloudWatch needs to take it.
fn declared(line: &Value) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        assert_eq!(directive["Namespace"], NAMESPACE);
        assert!(line["_aws"]["Timestamp"].as_u64().is_some_and(|at| at > 1_700_000_000_000), "{line}");
        for metric in directive["Metrics"].as_array().unwrap() {
            let known = Metric::ALL.iter().find(|known| metric["Name"] == known.name()).unwrap();
            assert_eq!(metric["Unit"], known.unit());
            assert!(line[known.name()].is_number(), "{line}");
            names.insert(known.name());
        }
        for dimension in
            directive["Dimensions"].as_array().unwrap().iter().flat_map(|set| set.as_array().unwrap())
        {
            assert!(line[dimension.as_str().unwrap()].is_string(), "{dimension} in {line}");
        }
    }
    names
}

/// Metric, threshold, seconds and number of the periods.
async fn assert_alarms(aws: &MiniStack) {
    let alarms = aws.alarms("watching-").await.unwrap();
    for (metric, threshold, period, periods) in [
        ("SecondsUnreachable", 1_800.0, 60, 1),
        ("SecondsWaiting", 43_200.0, 3_600, 1),
        ("Throttles", 1.0, 300, 24),
        ("FilesDelivered", 1.0, 3_600, 24),
    ] {
        let alarm = alarms.iter().find(|alarm| alarm["MetricName"] == metric).unwrap();
        assert_eq!(alarm["Threshold"].as_f64(), Some(threshold), "{alarm}");
        assert_eq!(
            (&alarm["Period"], &alarm["EvaluationPeriods"]),
            (&json!(period), &json!(periods)),
            "{alarm}"
        );
        assert!(alarm["AlarmDescription"].as_str().unwrap().contains("--stack watching"), "{alarm}");
    }
}

#[tokio::test]
async fn story_235_the_metrics_and_the_fields_of_the_queries_are_in_real_log_lines() {
    let aws = ministack::shared().await;
    let mut partner = Partner::start().await.unwrap();
    let more = [("NoDeliveriesHours", "24"), ("UnreachableMinutes", "30")];
    let stack = Stack::deploy_for(aws, "watching", &partner, &more).await.unwrap();
    assert_alarms(aws).await;
    stack.deliver("seen.txt", b"seen".to_vec()).await.unwrap();
    let failed = stack.deliver("back\\slash", b"x".to_vec()).await.unwrap();
    assert_eq!(failed.error.as_deref(), Some("RemotePathRejected"));

    partner.stop();
    stack.start_anew().await.unwrap();
    stack.upload("waits.txt", b"waits".to_vec()).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while measured(&lines(aws, "watching").await, "waits.txt", Metric::ConnectionFailures).len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "no attempt has failed twice");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    partner.start_again().await.unwrap();
    // The pauses of a process are not as much shorter here as those of the state machine.
    stack.start_anew().await.unwrap();
    let waited = stack.wait_for_object("waits.txt", PATIENCE).await.unwrap();
    assert_eq!(receipt(&waited)["outcome"], "delivered");

    let lines = lines(aws, "watching").await;
    let written: BTreeSet<&str> = lines.iter().flat_map(declared).collect();
    let of_deliveries = Metric::ALL.iter().filter(|metric| !OF_COLLECTIONS.contains(metric));
    assert_eq!(written, of_deliveries.map(|metric| metric.name()).collect());
    let seen = measured(&lines, "seen.txt", Metric::FilesDelivered);
    let [seen] = seen.as_slice() else { panic!("once for each file: {seen:?}") };
    assert_eq!((&seen["BytesDelivered"], &seen["Stack"]), (&4.0.into(), &"watching".into()));
    assert_eq!((&seen["message"], &seen["outcome"]), (&"receipt".into(), &"delivered".into()));
    let away = measured(&lines, "waits.txt", Metric::SecondsUnreachable);
    assert!(away.last().unwrap()["SecondsUnreachable"] == 0.0, "{away:?}");

    let saved = queries(&template()).into_iter().filter(|query| !query.is_of_collections);
    assert_fields(&lines, saved.chain(runbook_queries()));
}

/// All fields that the queries name are in these lines.
fn assert_fields(lines: &[Value], queries: impl Iterator<Item = Query>) {
    let mut known = BTreeSet::new();
    lines.iter().for_each(|line| fields(line, "", &mut known));
    for query in queries {
        let unknown: Vec<String> = query.fields().difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{:?} names {unknown:?}; there are {known:?}", query.name);
    }
}

/// The same for a stack that has collected.
pub(crate) async fn assert_collections_are_measured(aws: &MiniStack, stack: &str) {
    let lines = lines(aws, stack).await;
    let written: BTreeSet<&str> = lines.iter().flat_map(declared).collect();
    for metric in OF_COLLECTIONS {
        assert!(written.contains(metric.name()), "{}: {written:?}", metric.name());
    }
    let saved: Vec<Query> =
        queries(&template()).into_iter().filter(|query| query.is_of_collections).collect();
    assert!(saved.len() >= 2);
    assert_fields(&lines, saved.into_iter());
}

#[tokio::test]
async fn story_234_cloudwatch_takes_the_dashboard() {
    let aws = ministack::shared().await;
    let body = dashboard(&template(), |name| match name {
        "AWS::Region" => ministack::REGION.into(),
        name if name.ends_with("Seconds") => "900".into(),
        name => name.replace("::", "-"),
    });
    aws.put_dashboard("watching", &body).await.unwrap();
    let kept = aws.dashboard("watching").await.unwrap();
    let widgets = |body: &str| serde_json::from_str::<Value>(body).unwrap()["widgets"].clone();
    assert_eq!(widgets(&kept), widgets(&body));
    assert!(widgets(&kept).as_array().unwrap().len() > 10);
}
