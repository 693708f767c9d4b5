//! The Lambda function `fetch-key`.

use aws::{clients, lambda};
use bridge::{Settings, Variables};
use fetch_key::{Deps, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    let config = clients::config().await;
    let clients = aws::credential::Clients {
        secrets_manager: clients::secrets_manager(&config),
        s3: clients::s3(&config),
    };
    // Wrong settings are an answer to the invocation, not a crash at start.
    let deps = &Settings::parse(&Variables::from_environment()).map(|settings| Deps { settings, clients });
    lambda::run(async |payload, _deadline| {
        let deps = deps.as_ref().map_err(Clone::clone)?;
        lambda::to_value(&Box::pin(handle(deps, bridge::decode(payload)?)).await?)
    })
    .await
}
