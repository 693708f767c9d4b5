//! `deliver` of a single object.

use std::process::ExitCode;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::types::EncodingType;
use bridge::{Error, ErrorName, Outcome};

use super::runner::DeliveryRunner;
use super::{listing, summary};
use crate::address::Server;
use crate::failure;
use crate::location::Location;
use crate::many::Attempt as _;
use crate::output::{self, Layout};
use crate::progress;
use crate::stop::Stop;

pub(super) async fn run(runner: &DeliveryRunner, object: &Location, json: bool, stop: &Stop) -> ExitCode {
    let bar = progress::one_file();
    let mut delivery = runner.delivery(object, progress::observers(&bar)).await;
    let outcome = tokio::select! {
        outcome = delivery.run() => Some(outcome),
        () = stop.due() => None,
    };
    bar.finish_and_clear();
    let Some(outcome) = outcome else {
        output::note(&summary::stopped(runner.states.are_kept()));
        return ExitCode::from(1);
    };
    delivery.settle(&outcome).await;
    let receipt = match outcome {
        Ok(receipt) => receipt,
        Err(error) => return failure::print(&explain(runner, object, error).await),
    };
    if json {
        output::say_json(&receipt, Layout::Pretty);
        return ExitCode::SUCCESS;
    }
    output::say(&summary::receipt(&receipt, &Server::of(runner.settings())));
    if receipt.outcome == Outcome::Skipped && object.object_key.ends_with('/') {
        output::note(&["to deliver the objects below it, add --recursive".into()]);
    }
    ExitCode::SUCCESS
}

/// Says more about a missing object: the user may have meant a prefix, or the bucket may not exist.
async fn explain(runner: &DeliveryRunner, object: &Location, error: Error) -> Error {
    if error.name != ErrorName::ObjectUnreadable {
        return error;
    }
    let Location { bucket, object_key } = object;
    let list = runner.s3().list_objects_v2().bucket(bucket).prefix(object_key).max_keys(2);
    match list.encoding_type(EncodingType::Url).send().await {
        Ok(page) => match listing::first_key(&page) {
            Some(first) if first != *object_key => error.name.error(format!(
                "{}, but there are objects below it, such as {first:?}: to deliver them, add --recursive",
                error.message()
            )),
            _ => error,
        },
        Err(failed) if failed.code() == Some("NoSuchBucket") => listing::failed(object, &failed),
        Err(_) => error,
    }
}
