//! What watches a stack: the metrics of the code, the alarms and the dashboard of the template, and the page for operators.

use std::collections::{BTreeMap, BTreeSet};

use aws::metrics::{Metric, NAMESPACE};
use integration_tests::template::{dashboard, queries, runbook_queries, template};
use regex_lite::Regex;
use serde_json::Value;

use crate::read;

fn widgets() -> Vec<Value> {
    let body =
        dashboard(&template(), |name| if name.ends_with("Seconds") { "1".into() } else { name.into() });
    let body: Value = serde_json::from_str(&body).unwrap();
    body["widgets"].as_array().unwrap().clone()
}

/// Namespace, name and dimensions of each metric of the dashboard.
fn shown() -> Vec<(String, String, Vec<String>)> {
    let search = Regex::new(
        r#"^SEARCH\('\{([A-Za-z0-9,]+)\} MetricName="([A-Za-z]+)" ([A-Za-z]+)="[^"]+"', 'Sum'\)$"#,
    );
    let search = search.unwrap();
    let mut shown = Vec::new();
    for widget in widgets() {
        for metric in widget["properties"]["metrics"].as_array().into_iter().flatten() {
            let parts: Vec<&str> = metric.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            if let [namespace, name, dimensions @ ..] = parts.as_slice() {
                let dimensions = dimensions.iter().step_by(2).map(|&name| name.to_owned()).collect();
                shown.push(((*namespace).to_owned(), (*name).to_owned(), dimensions));
            } else {
                let expression = metric[0]["expression"].as_str().unwrap();
                let found = search.captures(expression).unwrap_or_else(|| panic!("{expression}"));
                let mut schema = found[1].split(',').map(str::to_owned);
                let namespace = schema.next().unwrap();
                shown.push((namespace, found[2].to_owned(), schema.collect()));
            }
        }
    }
    shown
}

/// The properties of each alarm, by its name in the template. Texts of several lines are joined.
fn alarms() -> BTreeMap<String, BTreeMap<String, String>> {
    let template = template();
    let mut alarms = BTreeMap::new();
    for (before, after) in
        template.match_indices("\n    Type: AWS::CloudWatch::Alarm\n").map(|(at, _)| template.split_at(at))
    {
        let name = before.rsplit('\n').next().unwrap().trim().trim_end_matches(':').to_owned();
        let mut properties = BTreeMap::<String, String>::new();
        let mut last = String::new();
        for line in after.lines().skip(2).take_while(|line| line.starts_with("    ")) {
            match line
                .strip_prefix("      ")
                .filter(|line| !line.starts_with(' '))
                .and_then(|line| line.split_once(':'))
            {
                Some((property, value)) => {
                    last = property.to_owned();
                    properties.insert(last.clone(), value.trim().to_owned());
                }
                None => properties.entry(last.clone()).or_default().push_str(&format!(" {}", line.trim())),
            }
        }
        alarms.insert(name, properties);
    }
    alarms
}

fn documented() -> String {
    read("docs/operating.md")
}

#[test]
fn story_234_dashboard_and_alarms_name_the_metrics_that_the_code_writes_and_all_of_them() {
    let written: BTreeSet<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let (shown, alarms) = (shown(), alarms());
    let own = |namespace: &str| namespace == NAMESPACE;
    let on_dashboard: BTreeSet<&str> =
        shown.iter().filter(|(namespace, ..)| own(namespace)).map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(on_dashboard, written);
    for (name, alarm) in alarms.iter().filter(|(_, alarm)| own(&alarm["Namespace"])) {
        assert!(written.contains(alarm["MetricName"].as_str()), "{name}: {}", alarm["MetricName"]);
        assert_eq!(alarm["Dimensions"], "[{ Name: Stack, Value: !Ref AWS::StackName }]", "{name}");
    }
    for (namespace, name, dimensions) in shown.iter().filter(|(namespace, ..)| own(namespace)) {
        let known = [&["Stack"][..], &["Stack", "Proof"], &["StateMachine", "Error"]];
        assert!(known.iter().any(|known| dimensions == known), "{namespace} {name} {dimensions:?}");
    }
}

#[test]
fn story_234_the_dashboard_names_resources_that_are_there_and_its_widgets_do_not_overlap() {
    let template = template();
    dashboard(&template, |name| {
        let resource = name.split('.').next().unwrap();
        let is_known = template.contains(&format!("\n  {resource}:\n"))
            || ["AWS::Region", "AWS::StackName", "UnreachableSeconds", "WaitingSeconds"].contains(&name);
        assert!(is_known, "{name}");
        String::new()
    });
    let mut taken = BTreeSet::new();
    for widget in widgets() {
        let number = |field: &str| widget[field].as_u64().unwrap();
        assert!(number("x") + number("width") <= 24, "{widget}");
        for x in number("x")..number("x") + number("width") {
            for y in number("y")..number("y") + number("height") {
                assert!(taken.insert((x, y)), "{widget} overlaps");
            }
        }
    }
    // More than 50 would cost more than the dashboard.
    assert!(shown().len() <= 40, "{}", shown().len());
}

#[test]
fn story_236_every_alarm_says_whose_it_is_and_the_page_says_what_to_do() {
    let (alarms, page) = (alarms(), documented());
    assert!(alarms.len() >= 8, "{alarms:?}");
    for (name, alarm) in &alarms {
        let text = &alarm["AlarmDescription"];
        assert!(text.contains("${AWS::StackName}"), "{name}: {text}");
        assert!(text.len() < 900, "CloudWatch allows 1,024 characters: {name}");
        assert_eq!(
            alarm["AlarmActions"], "!If [HasAlarmTopic, [!Ref AlarmTopicArn], !Ref AWS::NoValue]",
            "{name}"
        );
        assert!(alarm.contains_key("TreatMissingData"), "{name}");
        assert!(page.contains(&format!("\n| `{name}` | ")), "docs/operating.md has no row for {name}");
    }
}

#[test]
fn every_execution_that_ends_without_a_result_and_all_that_wait_for_a_connection_have_an_alarm() {
    let watched: BTreeSet<(String, String)> = alarms()
        .into_values()
        .map(|alarm| (alarm["MetricName"].clone(), alarm["Dimensions"].clone()))
        .collect();
    let ends = ["ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"];
    for machine in ["BridgeStateMachine", "CollectStateMachine", "WatchStateMachine"] {
        let dimensions = format!("[{{ Name: StateMachineArn, Value: !Ref {machine} }}]");
        for end in ends {
            assert!(watched.contains(&(end.into(), dimensions.clone())), "{machine}: {end}");
        }
    }
    for function in ["TransferFunction", "CollectFunction"] {
        let dimensions = format!("[{{ Name: FunctionName, Value: !Ref {function} }}]");
        assert!(watched.contains(&("Throttles".into(), dimensions)), "{function}");
    }
}

#[test]
fn story_237_no_rule_gives_up_an_event_in_silence() {
    let template = template();
    let (_, policy) = template.split_once("\n  UnstartedQueuePolicy:\n").unwrap();
    let (policy, _) = policy.split_once("\n\n").unwrap();
    let mut rules = 0;
    for (before, after) in
        template.match_indices("\n    Type: AWS::Events::Rule\n").map(|(at, _)| template.split_at(at))
    {
        rules += 1;
        let name = before.rsplit('\n').next().unwrap().trim().trim_end_matches(':');
        let (rule, _) = after.split_once("\n\n").unwrap();
        assert!(rule.contains("DeadLetterConfig: { Arn: !GetAtt UnstartedQueue.Arn }"), "{name}");
        assert!(policy.contains(&format!("!GetAtt {name}.Arn")), "the queue takes no events of {name}");
    }
    assert_eq!(rules, 2);
    assert!(template.contains("OnFailure: { Type: SQS, Destination: !GetAtt UnstartedQueue.Arn }"));
}

/// Period times evaluation periods: a day, or seven days if the period is an hour or more.
/// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
#[test]
fn story_236_no_alarm_looks_back_further_than_cloudwatch_allows() {
    let template = template();
    for (name, alarm) in alarms() {
        let period: u32 = alarm["Period"].parse().unwrap();
        let periods: u32 = match alarm["EvaluationPeriods"].as_str() {
            "!Ref NoDeliveriesHours" | "!Ref NoCollectionsHours" => 168,
            "!FindInMap [Minutes, !Ref ThrottledMinutes, Periods]" => 96,
            number => number.parse().unwrap(),
        };
        assert!(period * periods <= if period < 3600 { 86_400 } else { 604_800 }, "{name}");
    }
    assert!(template.contains("    MaxValue: 168\n"));
    let row = Regex::new(
        r#"\n    "([0-9]+)": \{ Seconds: ([0-9]+)(?:, Periods: ([0-9]+), Throttled: ([0-9]+))? \}"#,
    );
    let (mut minutes, mut hours) = (0, 0);
    for row in row.unwrap().captures_iter(&template) {
        let number = |group: usize| row.get(group).map(|number| number.as_str().parse::<u32>().unwrap());
        let (key, seconds) = (number(1).unwrap(), number(2).unwrap());
        if let (Some(periods), Some(throttled)) = (number(3), number(4)) {
            minutes += 1;
            assert_eq!((seconds, periods), (key * 60, key / 5), "{key} minutes");
            assert_eq!(throttled, (periods * 2 / 3).max(1), "{key} minutes");
        } else {
            hours += 1;
            assert_eq!(seconds, key * 3600, "{key} hours");
        }
    }
    assert_eq!((minutes, hours), (7, 8));
}

#[test]
fn story_236_the_page_describes_every_metric_with_its_unit() {
    let page = documented();
    let row = Regex::new(r"\n\| `([A-Za-z]+)` \| (Count|Bytes|Seconds) \| ").unwrap();
    let rows: Vec<(String, String)> =
        row.captures_iter(&page).map(|found| (found[1].to_owned(), found[2].to_owned())).collect();
    let expected: Vec<(String, String)> =
        Metric::ALL.iter().map(|metric| (metric.name().to_owned(), metric.unit().to_owned())).collect();
    assert_eq!(rows, expected);
}

#[test]
fn story_235_the_page_names_every_saved_query_and_the_runbook_has_the_most_needed() {
    let (saved, page) = (queries(&template()), documented());
    assert!(saved.len() >= 4, "{saved:?}");
    for query in &saved {
        assert!(page.contains(&format!("| *{}* | ", query.name)), "docs/operating.md lacks {:?}", query.name);
    }
    let repeated = runbook_queries();
    assert!(repeated.iter().any(|query| query.fields().contains("Failures")), "{repeated:?}");
}

#[test]
fn every_parameter_of_the_template_has_a_group_and_a_label() {
    let template = template();
    let (interface, rest) = template.split_once("\nParameters:\n").unwrap();
    let (groups, labels) = interface.split_once("    ParameterLabels:\n").unwrap();
    let parameter = Regex::new(r"(?m)^  ([A-Z][A-Za-z0-9]+):$").unwrap();
    let (parameters, _) = rest.split_once("\nMappings:\n").unwrap();
    for found in parameter.captures_iter(parameters) {
        let name = &found[1];
        let listed = Regex::new(&format!(r"[\[\s]{name}(,|\]|\n)")).unwrap().find_iter(groups).count();
        assert_eq!(listed, 1, "{name} is in {listed} groups");
        assert!(labels.contains(&format!("      {name}: {{ default: ")), "{name} has no label");
    }
}
