//! From samples to the tables.

use serde_json::{Map, Value, json};

use super::cases::{self, Case, Goal, Unit};
use super::contestants::{Contestant, Work};
use super::measure::Sample;

/// One program in one case.
pub(crate) struct Series {
    pub(crate) who: Contestant,
    pub(crate) samples: Vec<Sample>,
    /// Why it did not run.
    pub(crate) not_available: Option<String>,
    pub(crate) failure: Option<String>,
}

pub(crate) struct Measured {
    pub(crate) case: Case,
    pub(crate) series: Vec<Series>,
}

/// Median and spread.
#[derive(Clone, Copy)]
pub(crate) struct Stats {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A goal and its result.
pub(crate) struct Reached {
    title: String,
    goal: Goal,
    ours: Option<Stats>,
    theirs: Option<Stats>,
}

impl Series {
    pub(crate) fn runs(&self) -> bool {
        self.not_available.is_none() && self.failure.is_none()
    }

    pub(crate) fn failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(crate) fn stats(&self, unit: Unit) -> Option<Stats> {
        let mut values: Vec<_> = self.samples.iter().map(|sample| sample.value(unit)).collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Stats { median, min, max })
    }
}

impl Measured {
    pub(crate) fn of(&self, who: Contestant) -> Option<&Series> {
        self.series.iter().find(|series| series.who == who)
    }

    /// Bytes that are copied.
    pub(crate) fn size(&self) -> Option<u64> {
        match self.case.work {
            Work::Copy(size) | Work::Collect(size) => Some(size),
            _ => None,
        }
    }
}

impl Reached {
    /// The ratio, or for a goal without a peer the value itself.
    fn value(&self) -> Option<f64> {
        let ours = self.ours?;
        match self.goal.against {
            Some(_) => Some(ours.median / self.theirs?.median),
            // A maximum is compared with the largest value.
            None if self.goal.unit == Unit::Bytes => Some(ours.max),
            None => Some(ours.median),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.value() {
            None => "not available",
            Some(value) if value <= self.goal.at_most => "met",
            Some(_) => "**missed**",
        }
    }
}

/// The results of the goals whose cases ran.
pub(crate) fn goals(all: &[Measured]) -> Vec<Reached> {
    let reached = cases::goals().into_iter().filter_map(|goal| {
        let several = goal.case.ends_with('-');
        let cases = all.iter().filter(|measured| match several {
            true => measured.case.name.starts_with(goal.case),
            false => measured.case.name == goal.case,
        });
        let cases: Vec<_> = cases.collect();
        let first = cases.first()?;
        let title = if several { String::new() } else { first.case.title.clone() };
        let stats = |who| {
            let each = cases.iter().filter_map(|measured| measured.of(who)?.stats(goal.unit));
            each.reduce(|one, other| Stats {
                min: one.min.min(other.min),
                max: one.max.max(other.max),
                ..one
            })
        };
        let (ours, theirs) = (stats(goal.who), goal.against.and_then(stats));
        Some(Reached { title: title + goal.remark, goal, ours, theirs })
    });
    reached.collect()
}

/// A case's lines for the terminal.
pub(crate) fn lines(measured: &Measured) -> String {
    let mut text = format!("  {}\n", measured.case.title);
    for series in &measured.series {
        text += &format!("    {:34} ", series.who.name());
        text += &match (&series.not_available, &series.failure, series.stats(Unit::Seconds)) {
            (Some(reason), _, _) => format!("not available: {reason}\n"),
            (_, Some(failure), _) => format!("failed: {failure}\n"),
            (_, _, Some(wall)) => {
                let (cpu, memory) = (series.stats(Unit::ProcessorSeconds), series.stats(Unit::Bytes));
                let shown = |stats: Option<Stats>, unit| show(stats.map_or(0.0, |stats| stats.median), unit);
                format!(
                    "{:>8}  {:22} cpu {:>8} {:>10}\n",
                    show(wall.median, Unit::Seconds),
                    spread(wall, Unit::Seconds),
                    shown(cpu, Unit::ProcessorSeconds),
                    shown(memory, Unit::Bytes)
                )
            }
            _ => "\n".to_owned(),
        };
    }
    text
}

/// The goals as a Markdown table that is also readable in a terminal.
pub(crate) fn table(goals: &[Reached]) -> String {
    let mut rows =
        vec![["case", "bridge", "compared with", "its time", "ratio", "target", ""].map(str::to_owned)];
    for reached in goals {
        let unit = reached.goal.unit;
        let stats = |stats: Option<Stats>| {
            stats.map_or(String::new(), |stats| {
                format!("{} ({})", show(stats.median, unit), spread(stats, unit))
            })
        };
        let value = reached.value();
        let against = reached.goal.against;
        rows.push([
            reached.title.clone(),
            stats(reached.ours),
            against.map_or("absolute".to_owned(), Contestant::name),
            stats(reached.theirs),
            match (against, value) {
                (Some(_), Some(ratio)) => format!("{ratio:.2}"),
                _ => String::new(),
            },
            if against.is_some() {
                reached.goal.at_most.to_string()
            } else {
                show(reached.goal.at_most, unit)
            },
            reached.verdict().to_owned(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if number == 0 {
            text += &format!("| {} |\n", widths.map(|width| "-".repeat(width.max(3))).join(" | "));
        }
    }
    text
}

/// Everything for docs/performance.md.
pub(crate) fn markdown(report: &Value, goals: &str, all: &[Measured]) -> String {
    let mut text = String::new();
    if let Some(facts) = report["machine"].as_object() {
        for (name, value) in facts {
            text += &format!(
                "- {}: {}\n",
                name.replace('_', " "),
                value.as_str().map_or(value.to_string(), str::to_owned)
            );
        }
    }
    text += &format!(
        "\n{goals}\n| case | program | median | spread | rate | processor | memory |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for measured in all {
        for series in &measured.series {
            let Some(wall) = series.stats(Unit::Seconds) else { continue };
            let cell = |unit| {
                let stats = series.stats(unit).filter(|stats| stats.median > 0.0);
                stats.map_or(String::new(), |stats| show(stats.median, unit))
            };
            // With a small file, connecting takes most of the time.
            let size = measured.size().filter(|size| *size >= 1 << 20);
            let rate = size.map(|size| format!("{:.0} MB/s", size as f64 / 1e6 / wall.median));
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} |\n",
                measured.case.title,
                series.who.name(),
                show(wall.median, Unit::Seconds),
                spread(wall, Unit::Seconds),
                rate.unwrap_or_default(),
                cell(Unit::ProcessorSeconds),
                cell(Unit::Bytes)
            );
        }
    }
    text
}

pub(crate) fn json(machine: Map<String, Value>, quick: bool, all: &[Measured], goals: &[Reached]) -> Value {
    let stats = |stats: Option<Stats>| {
        stats.map(|stats| json!({"median": stats.median, "min": stats.min, "max": stats.max}))
    };
    let series = |series: &Series| {
        let each = |unit| series.samples.iter().map(|sample| sample.value(unit)).collect::<Vec<_>>();
        json!({
            "program": series.who.name(),
            "seconds": stats(series.stats(Unit::Seconds)),
            "all_seconds": each(Unit::Seconds),
            "processor_seconds": each(Unit::ProcessorSeconds),
            "memory_bytes": each(Unit::Bytes),
            "not_available": series.not_available,
            "failure": series.failure,
        })
    };
    let cases = all.iter().map(|measured| {
        json!({
            "case": measured.case.name,
            "title": measured.case.title,
            "bytes": measured.size(),
            "round_trip_seconds": measured.case.round_trip().as_secs_f64(),
            "loss_percent": measured.case.distance.map_or(0.0, |distance| distance.loss),
            "programs": measured.series.iter().map(series).collect::<Vec<_>>(),
        })
    });
    let goals = goals.iter().map(|reached| {
        json!({
            "title": reached.title,
            "against": reached.goal.against.map(Contestant::name),
            "bridge": stats(reached.ours),
            "peer": stats(reached.theirs),
            "value": reached.value(),
            "at_most": reached.goal.at_most,
            "verdict": reached.verdict().trim_matches('*'),
        })
    });
    json!({
        "machine": machine,
        "quick": quick,
        "cases": cases.collect::<Vec<_>>(),
        "goals": goals.collect::<Vec<_>>(),
    })
}

fn spread(stats: Stats, unit: Unit) -> String {
    format!("{} … {}", show(stats.min, unit), show(stats.max, unit))
}

/// `52 ms`, `1.35 s`, `12.9 s`, `19 MiB`
fn show(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => format!("{:.1} MiB", value / f64::from(1 << 20)),
        _ if value < 0.1 => format!("{:.1} ms", value * 1000.0),
        _ if value < 1.0 => format!("{:.0} ms", value * 1000.0),
        _ if value < 10.0 => format!("{value:.2} s"),
        _ => format!("{value:.1} s"),
    }
}
