//! `latency`: how long the server takes to answer.

use std::time::Instant;

use crate::doctor::examination::{Doctor, Step, answer};
use crate::doctor::report::Finding;

/// Number of requests. The median counts.
const ROUND_TRIPS: usize = 5;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let sftp = doctor.sftp()?;
    let mut round_trips = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let asked_at = Instant::now();
        // Any answer will do.
        answer(sftp.stat(".").await)?;
        round_trips.push(asked_at.elapsed());
    }
    round_trips.sort_unstable();
    let round_trip = round_trips[ROUND_TRIPS / 2];
    doctor.facts.round_trip = Some(round_trip);
    let connect = doctor.facts.connect.map_or_else(String::new, |connect| {
        format!("; connecting and logging in took {:.0} ms", connect.as_secs_f64() * 1000.0)
    });
    Ok(Finding::ok(format!("an answer takes {:.1} ms{connect}", round_trip.as_secs_f64() * 1000.0)))
}
