//! What the commands for one delivery print as JSON: at least what each release printed.

use std::time::Duration;

use integration_tests::cli;
use integration_tests::contract::{hold, is_recording, record};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use serde_json::Value;

use crate::support::{Bridge, bytes};

fn parsed(ran: &cli::Ran, status: i32) -> Value {
    assert_eq!(ran.status, status, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[tokio::test]
async fn story_252_what_programs_read_of_a_delivery_and_the_doctor_stays() {
    let bridge = Bridge::new().await;
    bridge.put("in/report.csv", b"a;b\n".to_vec()).await;
    let object = format!("s3://{}/in/report.csv", bridge.bucket);
    let delivered = cli::deliver(bridge.aws.environment(), &bridge.variables, &["--json", &object]).await;
    hold("outputs/deliver.json", &parsed(&cli::run(delivered).await, 0));

    let mut variables = bridge.variables.clone();
    variables.extend(bridge.aws.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
    hold("outputs/doctor.json", &parsed(&cli::run(cli::doctor(&variables, &["--json"]).await).await, 0));

    let server = format!("{}:{}", bridge.variables["SFTP_HOST"], bridge.variables["SFTP_PORT"]);
    let host_key = cli::operate(bridge.aws.environment(), &["host-key", &server, "--json"]).await;
    hold("outputs/host-key.json", &parsed(&cli::run(host_key).await, 0));
}

/// The file from which an interrupted run goes on. Only its release writes it here: a unit test of the command line reads
/// those of all releases.
#[tokio::test]
async fn story_252_an_interrupted_run_leaves_a_state() {
    let mut bridge = Bridge::new().await;
    let port = bridge.variables["SFTP_PORT"].parse().unwrap();
    let proxy = FaultProxy::start(port).await.unwrap();
    proxy.set(Fault::RefuseAfter(6_000_000)).await;
    bridge.set("SFTP_PORT", proxy.port.to_string());
    bridge.put("large.bin", bytes(12 * 1024 * 1024)).await;
    let states = tempfile::tempdir().unwrap();
    let object = format!("s3://{}/large.bin", bridge.bucket);
    let arguments = [&object, "--state-dir", states.path().to_str().unwrap()];
    let command = cli::deliver(bridge.aws.environment(), &bridge.variables, &arguments).await;
    let ran = tokio::time::timeout(Duration::from_secs(60), cli::run(command)).await.unwrap();
    assert_eq!(ran.status, 1, "{ran:?}");
    let files = std::fs::read_dir(states.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = files.into_iter().find(|path| path.extension().is_some_and(|it| it == "json")).unwrap();
    let state: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(state["checkpoint"]["sent"]["offset"].as_u64().unwrap() > 0, "{state:#}");
    if is_recording() {
        record("state/deliver.json", &state);
    }
}
