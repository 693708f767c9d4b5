//! Throughput against size and against the round trip time, as SVG.

use std::time::Duration;

use super::cases::{Unit, size};
use super::contestants::Contestant;
use super::results::Measured;

const PANEL: (f64, f64) = (380.0, 240.0);
const LEFT: f64 = 64.0;
const TOP: f64 = 48.0;

/// A line: the program, and megabytes a second at each place of the horizontal axis, from 0 to 1.
struct Line {
    who: Contestant,
    points: Vec<(f64, f64)>,
}

/// The places that are labelled on an axis, from 0 to 1.
type Labels = Vec<(f64, String)>;

pub(crate) fn throughput(all: &[Measured]) -> String {
    let near = |measured: &&Measured| {
        measured.case.distance.is_none() && ["64k", "10m", "1g"].contains(&measured.case.name.as_str())
    };
    let by_size: Vec<_> = all.iter().filter(near).collect();
    let by_rtt: Vec<_> = all.iter().filter(|measured| measured.case.name.starts_with("rtt-")).collect();
    // From 64 KiB to 1 GiB, on a logarithmic scale.
    let size_place = |measured: &Measured| (measured.size().unwrap_or(1) as f64 / 65536.0).log2() / 14.0;
    let rtt_place = |measured: &Measured| measured.case.round_trip().as_secs_f64() / 0.2;
    let size_labels =
        by_size.iter().map(|measured| (size_place(measured), size(measured.size().unwrap_or(0))));
    let rtt_labels =
        by_rtt.iter().map(|measured| (rtt_place(measured), milliseconds(measured.case.round_trip())));
    let (size_labels, rtt_labels) = (size_labels.collect(), rtt_labels.collect());
    let (size_lines, rtt_lines) = (lines(&by_size, size_place), lines(&by_rtt, rtt_place));

    let mut shown: Vec<Contestant> = Vec::new();
    for line in size_lines.iter().chain(&rtt_lines) {
        if !shown.contains(&line.who) {
            shown.push(line.who);
        }
    }
    let width = 2.0 * (PANEL.0 + LEFT) + 40.0;
    let legend_rows = shown.len().div_ceil(3) as f64;
    let height = TOP + PANEL.1 + 56.0 + 20.0 * legend_rows;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    svg += &panel(LEFT, "One file: MB/s by its size", &size_lines, size_labels);
    svg += &panel(2.0 * LEFT + PANEL.0, "MB/s by round trip time", &rtt_lines, rtt_labels);
    for (number, who) in shown.iter().enumerate() {
        let x = LEFT + (number % 3) as f64 * (width - LEFT) / 3.0;
        let y = TOP + PANEL.1 + 48.0 + (number / 3) as f64 * 20.0;
        svg += &format!(
            "<rect x=\"{x}\" y=\"{}\" width=\"14\" height=\"4\" fill=\"{}\"/><text x=\"{}\" y=\"{y}\">{}</text>\n",
            y - 6.0,
            colour(*who),
            x + 20.0,
            who.name()
        );
    }
    svg + "</svg>\n"
}

fn lines(cases: &[&Measured], place: impl Fn(&Measured) -> f64) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for measured in cases {
        for series in &measured.series {
            let (Some(wall), Some(size)) = (series.stats(Unit::Seconds), measured.size()) else { continue };
            let point = (place(measured), size as f64 / 1e6 / wall.median);
            match lines.iter_mut().find(|line| line.who == series.who) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { who: series.who, points: vec![point] }),
            }
        }
    }
    lines
}

fn panel(left: f64, title: &str, lines: &[Line], labels: Labels) -> String {
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, value)| *value);
    let (low, high) =
        values.fold((f64::MAX, 1.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    // Whole powers of ten around the measured values.
    let (low, high) = (low.min(high).log10().floor(), high.log10().ceil());
    let x = |place: f64| left + place * PANEL.0;
    let y = |value: f64| TOP + PANEL.1 * (1.0 - (value.log10() - low) / (high - low).max(1.0));
    let mut svg = format!("<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>\n", TOP - 20.0);
    for power in low as i32..=high as i32 {
        let value = 10_f64.powi(power);
        svg += &format!(
            "<path d=\"M{left} {y:.1}h{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>\n",
            PANEL.0,
            left - 8.0,
            y(value) + 4.0,
            y = y(value),
        );
    }
    for (place, text) in labels {
        svg += &format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>\n",
            x(place),
            TOP + PANEL.1 + 20.0
        );
    }
    for line in lines {
        let colour = colour(line.who);
        let points = line.points.iter().map(|(place, value)| format!("{:.1},{:.1}", x(*place), y(*value)));
        svg += &format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>\n",
            points.collect::<Vec<_>>().join(" ")
        );
        for (place, value) in &line.points {
            svg += &format!(
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>\n",
                x(*place),
                y(*value)
            );
        }
    }
    svg
}

/// The bridge is green.
fn colour(who: Contestant) -> &'static str {
    match who {
        Contestant::Bridge | Contestant::BridgeReadsBack => "#0b6e4f",
        Contestant::BridgeWith(1) => "#7bc47f",
        Contestant::BridgeWith(_) => "#00a7a7",
        Contestant::OpenSsh => "#1d3557",
        Contestant::OpenSshAesGcm => "#7c9fd0",
        Contestant::Rclone => "#e07a1f",
        Contestant::Predecessor => "#b23a48",
        Contestant::Tcp => "#888888",
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
