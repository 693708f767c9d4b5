//! The states here and those of `statemachine/collect.asl.json` follow each other in the same order.

use bridge::collect::{
    CollectCheckpoint, CollectOutcome, CollectPhase, CollectReceipt, CollectReport, Destination, RemoteFile,
    StoredObject,
};
use bridge::{
    ChecksumAlgorithm, CredentialReference, ErrorName, Execution, Parties, RunningChecksum, SecretLocation,
};
use serde_json::json;

use super::document::CollectDocument;
use super::machine::CollectMachine;
use super::state::CollectState;
use crate::asl::{definition, follow};

const TASKS: [(CollectState, &str); 4] = [
    (CollectState::FetchKey, "FetchKey"),
    (CollectState::Collect, "Collect"),
    // The same function stands behind both, which need one connection.
    (CollectState::VerifyObject, "Collect"),
    (CollectState::SettleRemote, "SettleRemote"),
];

fn file() -> RemoteFile {
    let (host, directory, path) = ("h".into(), "out".into(), "a.csv".into());
    RemoteFile { host, directory, path, size: 5, modified: Some(7) }
}

fn phases() -> [CollectPhase; 3] {
    let checksum = RunningChecksum::new(ChecksumAlgorithm::Crc64Nvme);
    let stored = StoredObject {
        etag: "e".into(),
        version_id: None,
        checksum: checksum.checksum(),
        was_there: false,
        by_contents: false,
        confirmed: false,
    };
    [
        CollectPhase::Reading { offset: 0, checksum, upload: None },
        CollectPhase::Stored(stored.clone()),
        CollectPhase::Verified(stored),
    ]
}

fn document(phase: CollectPhase, with_receipt: bool) -> CollectDocument {
    let credential = CredentialReference {
        location: SecretLocation::SecretsManager { arn: "a".into(), version_id: "v".into() },
        user_name: "u".into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    };
    let destination = Destination { bucket: "b".into(), object_key: "k".into() };
    let report = CollectReport::default();
    let checkpoint = CollectCheckpoint { phase, file: file(), destination, report, expected: None };
    let parties = Parties { remote_host: "h", credential: &credential, execution: &Execution::default() };
    let ended = "2026-11-27T00:00:01Z".to_owned();
    let receipt = CollectReceipt::new(CollectOutcome::Changed, file(), &checkpoint.report, parties, ended);
    CollectDocument {
        credential: Some(credential),
        checkpoint: Some(checkpoint),
        receipt: with_receipt.then_some(receipt),
    }
}

#[test]
fn every_state_is_in_the_definition_and_calls_its_function() {
    let definition = definition("collect");
    assert_eq!(definition["StartAt"], CollectState::FetchKey.name());
    for (state, function) in TASKS {
        let arguments = &definition["States"][state.name()]["Arguments"];
        assert_eq!(arguments["FunctionName"], format!("${{{function}FunctionArn}}"), "{state}");
        if function == "Collect" {
            assert_eq!(arguments["Payload"]["step"], state.name());
        }
    }
    assert_eq!(definition["States"][CollectState::Settle.name()]["Type"], "Wait");
    assert_eq!(definition["States"][CollectState::Collected.name()]["Type"], "Succeed");
    let input = CollectMachine::input(&file());
    assert_eq!(bridge::Started::of(input).unwrap(), bridge::Started::File(file()));
}

#[test]
fn after_each_result_the_same_state_follows_as_in_the_definition() {
    let definition = definition("collect");
    let states = &definition["States"];
    for state in TASKS.map(|(state, _)| state).into_iter().chain([CollectState::Settle]) {
        for phase in phases() {
            for with_receipt in [false, true] {
                let document = document(phase.clone(), with_receipt);
                let mut input = json!({"checkpoint": document.checkpoint});
                if let Some(receipt) = &document.receipt {
                    input["receipt"] = json!(receipt);
                }
                let expected = follow(states, &states[state.name()]["Next"], &input);
                let next = state.after_success(&document);
                assert_eq!(next.name(), expected, "{state}, {phase:?}, receipt: {with_receipt}");
            }
        }
    }
}

#[test]
fn after_a_mismatch_both_begin_again_at_the_first_byte() {
    let [_, stored, _] = phases();
    let checkpoint = document(stored, false).checkpoint.unwrap();
    let expected = checkpoint.stored().unwrap().checksum.clone();
    let again = checkpoint.after_mismatch();
    assert_eq!(again.expected, Some(expected));
    let output = definition("collect")["States"]["RaiseOriginal"]["Output"].as_str().unwrap().to_owned();
    let (_, phase) = output.split_once("'phase': ").unwrap();
    let (phase, _) = phase.split_once("}}").unwrap();
    let phase: serde_json::Value = serde_json::from_str(&format!("{phase}}}}}").replace('\'', "\"")).unwrap();
    assert_eq!(phase, json!(again.phase));
}

#[test]
fn every_error_ends_a_run_as_it_ends_in_the_definition() {
    let definition = definition("collect");
    for (state, _) in TASKS {
        for name in ErrorName::ALL {
            // The definition reads the credential again; here the run ends.
            if *name == ErrorName::CredentialExpired {
                continue;
            }
            let catchers = definition["States"][state.name()]["Catch"].as_array().unwrap();
            let catcher = catchers.iter().find(|catcher| {
                let names = catcher["ErrorEquals"].as_array().unwrap();
                names.iter().any(|caught| caught == name.as_str() || caught == "States.ALL")
            });
            assert_eq!(catcher.unwrap()["Next"], "RecordFailure", "{state}, {name}");
        }
    }
}

#[test]
fn what_was_begun_goes_on_where_it_was() {
    for (phase, state) in
        phases().iter().zip([CollectState::Collect, CollectState::VerifyObject, CollectState::SettleRemote])
    {
        assert_eq!(CollectState::of(phase), state);
    }
}
