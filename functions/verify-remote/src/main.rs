//! The Lambda function `verify-remote`.

use std::sync::Arc;

use aws::credential::Clients;
use aws::{clients, lambda};
use bridge::{Settings, Variables};
use partner::Partner;
use verify_remote::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let clients = Clients::new(&clients::config().await);
    // Wrong settings are an answer to the invocation, not a crash at start.
    let deps = &Settings::parse(&Variables::from_environment()).map(|settings| Deps {
        partner: Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default())),
        settings: Arc::new(settings),
        clients,
        on_progress: Arc::new(|_, _| {}),
    });
    lambda::run(async |payload, deadline| {
        let deps = deps.as_ref().map_err(Clone::clone)?;
        lambda::to_value(&Box::pin(handle(deps, bridge::decode(payload)?, deadline)).await?)
    })
    .await
}
