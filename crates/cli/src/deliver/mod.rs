//! `deliver`: the state machine's states for one object or for many, in this process.

mod listing;
mod object;
mod one;
mod recursive;
mod runner;
mod summary;

use std::process::ExitCode;
use std::sync::Arc;

use self::runner::DeliveryRunner;
use crate::arguments::DeliverArguments;
use crate::failure;
use crate::stop::Stop;

pub(crate) async fn run(arguments: DeliverArguments, stop: &Stop) -> ExitCode {
    let DeliverArguments { object, recursive, json, state_dir } = arguments;
    let started = tokio::select! {
        started = DeliveryRunner::start(&object, state_dir) => started,
        () = stop.requested() => return ExitCode::from(1),
    };
    let runner = match started {
        Ok(runner) => Arc::new(runner),
        Err(error) => return failure::print(&error),
    };
    let code = if recursive {
        recursive::run(&runner, &object, json, stop).await
    } else {
        one::run(&runner, &object, json, stop).await
    };
    runner.disconnect().await;
    code
}
