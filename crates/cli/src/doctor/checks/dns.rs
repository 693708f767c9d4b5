//! `dns`: the addresses of the server's name.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::time::timeout;

use crate::doctor::examination::{Doctor, Step, Stopped};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let (host, port) = (doctor.configuration.settings.host.clone(), doctor.configuration.settings.port);
    let started = Instant::now();
    let looked_up = tokio::net::lookup_host((host.as_str(), port));
    let problem = match timeout(doctor.configuration.timeout(), looked_up).await {
        Ok(Ok(addresses)) => {
            doctor.addresses = addresses.collect();
            if !doctor.addresses.is_empty() {
                let words = doctor.addresses.iter().map(|address: &SocketAddr| address.ip().to_string());
                let words = words.collect::<Vec<_>>().join(", ");
                let took = started.elapsed().as_secs_f64() * 1000.0;
                return Ok(Finding::ok(format!("{host} is {words} ({took:.1} ms)")));
            }
            "the name has no address".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    Err(Stopped::Here(Finding::fail(
        format!("{host}: {problem}"),
        "check SFTP_HOST, and whether this machine can look up the name: a private name of the partner needs the partner's DNS",
    )))
}
