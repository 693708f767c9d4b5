//! The Lambda function `transfer`. To a partner that allows one connection it is the function of `VerifyRemote` as well,
//! so that both states stand behind one reservation: docs/decisions/0015.

use std::sync::Arc;
use std::time::SystemTime;

use aws::clients;
use aws::credential::Clients;
use aws::lambda::{self, Failed};
use aws::metrics::Meter;
use bridge::{Deadline, Settings, Variables};
use partner::{Begun, Partner, Watch};
use serde_json::Value;

/// What each of the two states works with. They share a kept session.
struct Deps {
    transfer: transfer::Deps,
    verify_remote: verify_remote::Deps,
    watch: Watch,
}

/// The state that calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Transfer,
    VerifyRemote,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let clients = Clients::new(&clients::config().await);
    // Wrong settings are an answer to the invocation, not a crash at start.
    let variables = Variables::from_environment();
    let deps =
        &Settings::parse(&variables).map(|settings| Deps::new(settings, clients, Meter::new(&variables)));
    lambda::run(async |payload, deadline| {
        let deps = deps.as_ref().map_err(Clone::clone)?;
        Box::pin(deps.handle(payload, deadline)).await
    })
    .await
}

impl Deps {
    fn new(settings: Settings, clients: Clients, meter: Meter) -> Self {
        let partner = Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default()));
        let settings = Arc::new(settings);
        Self {
            watch: Watch::new(meter, Arc::clone(&partner)),
            transfer: transfer::Deps {
                settings: Arc::clone(&settings),
                clients: clients.clone(),
                partner: Arc::clone(&partner),
                on_progress: Arc::new(|_, _| {}),
            },
            verify_remote: verify_remote::Deps {
                settings,
                clients,
                partner,
                on_progress: Arc::new(|_, _| {}),
            },
        }
    }

    async fn handle(&self, payload: Value, deadline: Deadline) -> Result<Value, Failed> {
        let begun = Begun::new(&payload, SystemTime::now());
        let outcome = match Step::of(&payload) {
            Step::Transfer => transfer::handle(&self.transfer, bridge::decode(payload)?, deadline).await,
            Step::VerifyRemote => {
                verify_remote::handle(&self.verify_remote, bridge::decode(payload)?, deadline).await
            }
        };
        self.watch.report(&begun, &outcome);
        lambda::to_value(&outcome?)
    }
}

impl Step {
    /// Executions that began before a payload had this field, call for Transfer only.
    fn of(payload: &Value) -> Self {
        match payload["step"].as_str() {
            Some("VerifyRemote") => Self::VerifyRemote,
            _ => Self::Transfer,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn story_84_the_payload_says_which_state_calls() {
        assert_eq!(Step::of(&json!({"step": "VerifyRemote", "checkpoint": {}})), Step::VerifyRemote);
        for old in [json!({"checkpoint": null}), json!({"step": "Transfer"}), json!(null), json!([])] {
            assert_eq!(Step::of(&old), Step::Transfer, "{old}");
        }
    }
}
