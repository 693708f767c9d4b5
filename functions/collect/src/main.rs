//! The Lambda function `collect`.

use std::sync::Arc;
use std::time::SystemTime;

use aws::credential::Clients;
use aws::metrics::Meter;
use aws::{clients, lambda};
use bridge::{CollectSettings, Settings, Variables};
use collect::{Deps, handle};
use partner::{Begun, Partner, Watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let clients = Clients::new(&clients::config().await);
    // Wrong settings are an answer to the invocation, not a crash at start.
    let variables = Variables::from_environment();
    let parsed =
        Settings::parse(&variables).and_then(|settings| Ok((settings, CollectSettings::parse(&variables)?)));
    let deps = &parsed.map(|(settings, collect)| {
        let partner = Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default()));
        let watch = Watch::new(Meter::new(&variables), Arc::clone(&partner));
        let (settings, collect) = (Arc::new(settings), Arc::new(collect));
        (Deps { settings, collect, clients, partner, on_progress: Arc::new(|_, _| {}) }, watch)
    });
    lambda::run(async |payload, deadline| {
        let (deps, watch) = deps.as_ref().map_err(Clone::clone)?;
        let begun = Begun::new(&payload, SystemTime::now());
        let outcome = Box::pin(handle(deps, bridge::decode(payload)?, deadline)).await;
        watch.report_collection(&begun, &outcome);
        lambda::to_value(&outcome?)
    })
    .await
}
