//! The Lambda function `list-remote`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws::credential::Clients;
use aws::metrics::Meter;
use aws::{clients, lambda};
use bridge::{CollectSettings, Settings, Variables};
use list_remote::{COLLECT_STATE_MACHINE_ARN, Collections, Deps, Limits, handle};
use partner::{Begun, Partner, Watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    aws::core_dumps::forbid();
    let config = clients::config().await;
    let variables = Variables::from_environment();
    // Wrong settings are an answer to the invocation, not a crash at start.
    let parsed =
        Settings::parse(&variables).and_then(|settings| Ok((settings, CollectSettings::parse(&variables)?)));
    let clients = Clients::new(&config);
    let deps = &parsed.map(|(settings, collect)| {
        // Looks are minutes apart. A connection that waits for the next one would only be in the partner's way.
        let settings = Settings { keep_connection: Duration::ZERO, ..settings };
        let partner = Arc::new(Partner::new(&settings, clients.clone(), sftp::Options::default()));
        let watch = Watch::new(Meter::new(&variables), Arc::clone(&partner));
        let deps = Deps {
            partner,
            clients,
            settings: Arc::new(settings),
            collect: Arc::new(collect),
            collections: variables
                .named(COLLECT_STATE_MACHINE_ARN)
                .map(|arn| Arc::new(Collections::new(clients::step_functions_once(&config), arn))),
            limits: Limits::default(),
        };
        (deps, watch)
    });
    lambda::run(async |payload, deadline| {
        let (deps, watch) = deps.as_ref().map_err(Clone::clone)?;
        let begun = Begun::new(&payload, SystemTime::now());
        let outcome = Box::pin(handle(deps, bridge::decode(payload)?, deadline)).await;
        watch.report_look(&begun, &outcome);
        lambda::to_value(&outcome?)
    })
    .await
}
