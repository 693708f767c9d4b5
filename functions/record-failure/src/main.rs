//! The Lambda function `record-failure`.

use aws::metrics::Meter;
use aws::{clients, lambda};
use bridge::{RecordFailureCall, RecordSettings, Variables};
use record_failure::{Deps, answer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    aws::telemetry::init();
    let config = clients::config().await;
    let variables = Variables::from_environment();
    let deps = &Deps {
        settings: RecordSettings::parse(&variables),
        s3: clients::s3(&config),
        step_functions: Some(clients::step_functions(&config)),
        sns: Some(aws_sdk_sns::Client::new(&config)),
        meter: Meter::new(&variables),
    };
    lambda::run(async |payload, _deadline| {
        let call = RecordFailureCall::decode(payload).map_err(lambda::Failed::from)?;
        lambda::to_value(&Box::pin(answer(deps, call)).await?)
    })
    .await
}
