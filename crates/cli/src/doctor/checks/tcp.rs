//! `tcp`: a connection to one of the addresses.

use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::doctor::examination::{Doctor, Step, Stopped};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    // Each address gets an equal share of the time.
    let patience = doctor.configuration.timeout() / doctor.addresses.len().max(1) as u32;
    let mut problems = Vec::new();
    for address in &doctor.addresses {
        let started = Instant::now();
        match timeout(patience, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = started.elapsed().as_secs_f64() * 1000.0;
                return Ok(Finding::ok(format!("connected to {address} ({took:.1} ms)")));
            }
            Ok(Err(error)) => problems.push(format!("{address}: {error}")),
            Err(_) => problems.push(format!("{address}: no answer within {} s", patience.as_secs())),
        }
    }
    Err(Stopped::Here(Finding::fail(
        problems.join("; "),
        "check SFTP_PORT, and ask the partner whether its firewall admits our address. Lambda has another address than this machine (docs/deploy.md, a fixed address)",
    )))
}
