//! The Lambda function `collect`.

use std::sync::Arc;

use aws::credential::Clients;
use aws::{clients, lambda};
use bridge::{CollectSettings, Settings, Variables};
use collect::{Deps, handle};
use partner::Partner;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let clients = Clients::new(&clients::config().await);
    // Wrong settings are an answer to the invocation, not a crash at start.
    let variables = Variables::from_environment();
    let parsed =
        Settings::parse(&variables).and_then(|settings| Ok((settings, CollectSettings::parse(&variables)?)));
    let deps = &parsed.map(|(settings, collect)| Deps {
        partner: Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default())),
        settings: Arc::new(settings),
        collect: Arc::new(collect),
        clients,
        on_progress: Arc::new(|_, _| {}),
    });
    lambda::run(async |payload, deadline| {
        let deps = deps.as_ref().map_err(Clone::clone)?;
        lambda::to_value(&Box::pin(handle(deps, bridge::decode(payload)?, deadline)).await?)
    })
    .await
}
