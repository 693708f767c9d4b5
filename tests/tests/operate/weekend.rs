//! A partner who was away for too long, with the real template and the real functions.

use std::time::{Duration, Instant};

use integration_tests::cli::{self, Ran};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::Partner;
use integration_tests::redrive::{Options, Redriver};
use integration_tests::stack::Stack;
use serde_json::Value;

/// How many files fail. By hand: `BRIDGE_FAILED_FILES=1000 cargo test ... story_207 -- --nocapture`.
fn files() -> usize {
    std::env::var("BRIDGE_FAILED_FILES").ok().and_then(|files| files.parse().ok()).unwrap_or(FILES)
}

const FILES: usize = 50;

/// The waits of the retriers. The local AWS evaluates them in one Python process, so the more files wait for their turn,
/// the more seldom each of them may ask.
fn wait_scale(files: usize) -> f64 {
    let usual = ministack::Options::default().wait_scale;
    usual * (files as f64 / 200.0).max(1.0)
}

/// Invocations of each function that connects.
const CAP: u32 = 2;

struct Desk<'a> {
    stack: Stack<'a>,
    redriver: Redriver,
}

impl Desk<'_> {
    async fn run(&self, arguments: &[&str]) -> Ran {
        let mut environment = self.stack.aws.environment();
        environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
        environment.push(("AWS_ENDPOINT_URL", self.redriver.endpoint.clone()));
        let arguments = [arguments, &["--stack", "weekend", "--json"]].concat();
        let (started, requests) = (Instant::now(), self.redriver.requests());
        let ran = cli::run(cli::operate(environment, &arguments).await).await;
        let requests = self.redriver.requests() - requests;
        println!("{arguments:?}: {:.1?}, {requests} requests", started.elapsed());
        ran
    }

    async fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(arguments).await;
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    /// Waits until this number of failures is open.
    async fn wait_for_open(&self, count: usize) -> Value {
        let deadline = Instant::now() + Duration::from_secs(120 + files() as u64);
        loop {
            let report = self.json(&["failures"]).await;
            if report["open"] == count {
                return report;
            }
            assert!(Instant::now() < deadline, "{report}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test]
async fn story_207_what_failed_while_the_partner_was_away_is_delivered_by_one_command() {
    let files = files();
    let options = ministack::Options { wait_scale: wait_scale(files), ..ministack::Options::default() };
    let aws = &MiniStack::start(options).await.unwrap();
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let port = proxy.port.to_string();
    let parameters = [("SftpPort", port.as_str()), ("MaxConnections", "4")];
    let stack = Stack::deploy_for(aws, "weekend", &partner, &parameters).await.unwrap();
    stack.reserve(CAP).await.unwrap();
    stack.give_up_after(2).await.unwrap();
    let redriver = Redriver::start(aws, Options::default()).await.unwrap();
    let desk = Desk { stack, redriver };

    proxy.set(Fault::Refuse).await;
    let started = Instant::now();
    for index in 0..files {
        desk.stack.upload(&format!("{index:04}.txt"), index.to_string().into_bytes()).await.unwrap();
    }
    let report = desk.wait_for_open(files).await;
    println!("{files} files failed after {:.1?}", started.elapsed());
    let groups = report["groups"].as_array().unwrap();
    assert_eq!((groups.len(), &groups[0]["error"]), (1, &"ConnectFailed".into()), "{report}");

    proxy.set(Fault::None).await;
    desk.stack.start_anew().await.unwrap();
    let started = Instant::now();
    let report = desk.json(&["redrive", "--yes"]).await;
    assert_eq!(report["redriven"], files, "{report}");
    desk.wait_for_open(0).await;
    println!("{files} files delivered after {:.1?}", started.elapsed());
    for index in 0..files {
        let name = format!("{index:04}.txt");
        assert_eq!(std::fs::read_to_string(partner.root.join(&name)).unwrap(), index.to_string(), "{name}");
    }
    assert!(proxy.open_max() <= u64::from(2 * CAP), "{} connections at once", proxy.open_max());
    println!("at most {} connections at once, {} in all", proxy.open_max(), proxy.connections());

    let ran = desk.run(&["redrive", "--yes"]).await;
    assert_eq!((ran.status, desk.redriver.calls("RedriveExecution")), (0, files), "{ran:?}");
    assert!(desk.redriver.redriven().values().all(|count| *count == 1));
    assert_eq!(desk.run(&["failures"]).await.status, 0);
    let ran = desk.run(&["check", &format!("s3://{}", desk.stack.bucket())]).await;
    let summary: Value = serde_json::from_str(ran.stdout.lines().last().unwrap()).unwrap();
    assert_eq!((ran.status, &summary["summary"]["delivered"]), (0, &files.into()), "{ran:?}");
}
