//! The Lambda function `collect`. For a partner that allows few connections it also looks and settles, behind one
//! reservation: decision 0030.

use std::sync::Arc;
use std::time::SystemTime;

use aws::credential::Clients;
use aws::lambda::Failed;
use aws::metrics::Meter;
use aws::{clients, lambda};
use bridge::{CollectSettings, Deadline, Settings, Variables};
use list_remote::{COLLECT_STATE_MACHINE_ARN, Collections, Limits};
use partner::{Begun, Partner, Watch};
use serde_json::Value;

/// What the handlers work with.
struct Deps {
    collect: collect::Deps,
    list_remote: list_remote::Deps,
    settle_remote: settle_remote::Deps,
    watch: Watch,
}

/// The state that calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Collect or VerifyObject.
    Collect,
    ListRemote,
    SettleRemote,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let config = clients::config().await;
    // Wrong settings are an answer to the invocation, not a crash at start.
    let variables = Variables::from_environment();
    let parsed =
        Settings::parse(&variables).and_then(|settings| Ok((settings, CollectSettings::parse(&variables)?)));
    let collections = variables
        .named(COLLECT_STATE_MACHINE_ARN)
        .map(|arn| Arc::new(Collections::new(clients::step_functions_once(&config), arn)));
    let (clients, meter, memory) = (Clients::new(&config), Meter::new(&variables), memory(&variables));
    let deps = &parsed
        .map(|(settings, collect)| Deps::new(settings, collect, clients, collections, (meter, memory)));
    lambda::run(async |payload, deadline| {
        let deps = deps.as_ref().map_err(Clone::clone)?;
        Box::pin(deps.handle(payload, deadline)).await
    })
    .await
}

/// The memory that Lambda gives the function, in bytes.
fn memory(variables: &Variables) -> Option<u64> {
    let mib: u64 = variables.named("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?.parse().ok()?;
    mib.checked_mul(1024 * 1024)
}

impl Deps {
    fn new(
        settings: Settings,
        collect: CollectSettings,
        clients: Clients,
        collections: Option<Arc<Collections>>,
        (meter, memory): (Meter, Option<u64>),
    ) -> Self {
        let partner = Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default()));
        let (settings, collect) = (Arc::new(settings), Arc::new(collect));
        Self {
            watch: Watch::new(meter, Arc::clone(&partner)),
            list_remote: list_remote::Deps {
                settings: Arc::clone(&settings),
                collect: Arc::clone(&collect),
                clients: clients.clone(),
                partner: Arc::clone(&partner),
                collections,
                limits: Limits::default(),
            },
            settle_remote: settle_remote::Deps {
                settings: Arc::clone(&settings),
                collect: Arc::clone(&collect),
                clients: clients.clone(),
                partner: Arc::clone(&partner),
            },
            collect: collect::Deps {
                settings,
                collect,
                clients,
                partner,
                on_progress: Arc::new(|_, _| {}),
                memory,
                // Lambda ends a call in time, and its answer has the checkpoint.
                on_checkpoint: Arc::new(|_| {}),
                free: None,
            },
        }
    }

    async fn handle(&self, payload: Value, deadline: Deadline) -> Result<Value, Failed> {
        let begun = Begun::new(&payload, SystemTime::now());
        let outcome = match Step::of(&payload) {
            Step::ListRemote => {
                let input = bridge::decode(payload)?;
                let outcome = Box::pin(list_remote::handle(&self.list_remote, input, deadline)).await;
                self.watch.report_look(&begun, &outcome);
                return lambda::to_value(&outcome?);
            }
            Step::SettleRemote => {
                let input = bridge::decode(payload)?;
                Box::pin(settle_remote::handle(&self.settle_remote, input, deadline)).await
            }
            Step::Collect => {
                Box::pin(collect::handle(&self.collect, bridge::decode(payload)?, deadline)).await
            }
        };
        self.watch.report_collection(&begun, &outcome);
        lambda::to_value(&outcome?)
    }
}

impl Step {
    fn of(payload: &Value) -> Self {
        match payload["step"].as_str() {
            Some("ListRemote") => Self::ListRemote,
            Some("SettleRemote") => Self::SettleRemote,
            _ => Self::Collect,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_payload_says_which_state_calls() {
        for (name, step) in [
            ("Collect", Step::Collect),
            ("VerifyObject", Step::Collect),
            ("ListRemote", Step::ListRemote),
            ("SettleRemote", Step::SettleRemote),
        ] {
            assert_eq!(Step::of(&json!({"step": name, "checkpoint": null})), step, "{name}");
        }
        assert_eq!(Step::of(&json!({"checkpoint": null})), Step::Collect);
    }
}
