//! `cargo xtask bench`: compares the bridge with the programs that people would use instead, on this machine. They take
//! turns, round by round, so that other load on the machine affects all of them.

mod cases;
mod chart;
mod collecting;
mod contestants;
mod measure;
mod place;
mod results;

use std::time::Instant;

use anyhow::{Result, bail};
use integration_tests::far::{Distance, Far};
use integration_tests::object_source::Pace;
use integration_tests::process;
use integration_tests::tools::workspace;

use crate::commands::cargo;
use crate::far::Distant;
use crate::report::{heading, seconds};
use cases::{Case, Unit};
use measure::Sample;
use place::Place;
use results::{Measured, Series};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Smaller files and fewer rounds: within five minutes once everything is built.
    #[arg(long)]
    quick: bool,
    /// Only the cases of these names, separated by commas: 64k, 10m, 1g, rtt-50, far-64k-200, many, … If no case has the
    /// name, those that contain it: rtt, far, memory.
    #[arg(long, value_name = "CASES", value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each case, instead of 3 (long ones) to 21 (short ones).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Measures instead the cost of encoding, decoding and the window for each request, without SSH and network.
    #[arg(long, exclusive = true)]
    micro: bool,
}

pub(crate) async fn run(options: &Options) -> Result<()> {
    if options.micro {
        return micro().await;
    }
    let mut cases = cases::select(cases::all(options.quick, options.rounds), &options.only)?;
    println!("The bridge beside other programs, on this machine. Nothing leaves it but the installations.\n");
    if options.quick {
        println!("  Quick: 256 MiB stand for 1 GiB, and no memory is measured beyond 1 GiB.\n");
    }
    let start = Instant::now();
    if let Err(why) = Far::start(Distance::default()) {
        println!(
            "  The cases at a distance are skipped, since this machine allows no two network namespaces: {why:#}.\n"
        );
        cases.retain(|case| case.distance.is_none());
    }
    let place = Place::prepare().await?;
    let facts = place.facts().await;
    heading("Medians; processor time and memory of the client");
    let mut all = Vec::new();
    for case in cases {
        let measured = measure(&place, case).await?;
        print!("{}", results::lines(&measured));
        all.push(measured);
    }
    let failed = all.iter().flat_map(|measured| &measured.series).filter(|series| series.failed()).count();

    let goals = results::goals(&all);
    let table = results::table(&goals);
    heading("What to reach");
    println!("{table}");
    let folder = workspace().join("target/bench");
    std::fs::create_dir_all(&folder)?;
    let report = results::json(facts, options.quick, &all, &goals);
    std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(&report)? + "\n")?;
    std::fs::write(folder.join("table.md"), results::markdown(&report, &table, &all))?;
    std::fs::write(folder.join("throughput.svg"), chart::throughput(&all))?;
    println!(
        "target/bench has report.json, table.md and throughput.svg; all of it took {}",
        seconds(start.elapsed())
    );
    if failed > 0 {
        bail!("{failed} of the programs failed in a case");
    }
    Ok(())
}

/// The micro-benchmarks of `crates/sftp`, with their own output.
async fn micro() -> Result<()> {
    let bench = ["bench", "--package", "pinned-sftp", "--features", "internals", "--bench", "micro"];
    let mut child = process::task(&cargo(&bench)).spawn()?;
    let leash = child.stdin.take();
    let status = child.wait().await?;
    drop(leash);
    if !status.success() {
        bail!("the micro-benchmarks failed ({status})");
    }
    Ok(())
}

/// All rounds of one case. A program that fails takes no further part in the case.
async fn measure(place: &Place, case: Case) -> Result<Measured> {
    let mut series = Vec::new();
    let room = case.memory_needed <= place::memory_left();
    for who in &case.contestants {
        let cannot =
            if room { who.cannot(case.work).await } else { Some("too little memory is free".into()) };
        let samples = Vec::new();
        series.push(Series { who: *who, samples, not_available: cannot, failure: None });
    }
    if case.work.is_collecting() {
        collecting::leave_files(place, case.work)?;
    } else {
        contestants::put_objects(place, case.work)?;
    }
    place.source.pace(case.pace);
    let distant = match case.distance {
        Some(distance) => Some(Distant::open(distance, &place.partner, &place.source).await?),
        None => None,
    };
    // The first round reads files from disk and creates caches. It does not count.
    let rounds = case.rounds + u32::from(case.warm_up);
    for round in 0..rounds {
        for series in series.iter_mut().filter(|series| series.runs()) {
            let ran = if case.work.is_collecting() {
                collecting::run(place, series.who, case.work, distant.as_ref()).await
            } else {
                contestants::run(place, series.who, case.work, distant.as_ref()).await
            };
            match ran {
                Ok(_) if case.warm_up && round == 0 => {}
                Ok(sample) => series.samples.push(sample),
                Err(error) => {
                    series.failure = Some(format!("{error:#}"));
                    // Removes the incomplete file.
                    place.clean()?;
                    if case.work.is_collecting() {
                        collecting::leave_files(place, case.work)?;
                    }
                }
            }
        }
    }
    place.source.pace(Pace::default());
    place.clean()?;
    Ok(Measured { case, series })
}

impl Sample {
    fn value(&self, unit: Unit) -> f64 {
        match unit {
            Unit::Seconds => self.wall,
            Unit::ProcessorSeconds => self.cpu,
            Unit::Bytes => self.memory as f64,
        }
    }
}
