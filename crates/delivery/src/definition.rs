//! The states here and those of `statemachine/bridge.asl.json` follow each other in the same order.

use bridge::{
    Checkpoint, CredentialReference, ErrorName, Execution, Outcome, Parties, Phase, PinnedObject, Proof,
    Publication, Reading, Receipt, Route, SecretLocation,
};
use serde_json::{Value, json};

use crate::asl::{definition, follow};
use crate::document::Document;
use crate::state::State;

const TASKS: [State; 3] = [State::FetchKey, State::Transfer, State::VerifyRemote];

fn phases() -> [Phase; 6] {
    let publication = Publication {
        outcome: Outcome::Delivered,
        path: "p".into(),
        proof: Proof::ReadBack,
        host_key_fingerprint: None,
        marker: None,
        unconfirmed: false,
        is_newest: false,
    };
    [
        Phase::Sending,
        Phase::sent(),
        Phase::found(),
        Phase::Renaming { proof: Proof::ReadBack, had_vanished: false, reading: Reading::default() },
        Phase::vanished(),
        Phase::Published(publication),
    ]
}

fn document(phase: Phase, with_receipt: bool) -> Document {
    let object = PinnedObject {
        bucket: "b".into(),
        object_key: "k".into(),
        etag: "e".into(),
        version_id: None,
        size: 5,
        last_modified: None,
        checksum: None,
        hash: None,
    };
    let credential = CredentialReference {
        location: SecretLocation::SecretsManager { arn: "a".into(), version_id: "v".into() },
        user_name: "u".into(),
        algorithm: None,
        public_key_fingerprint: None,
        previous: None,
    };
    let summary = (&object).into();
    let route = Route::Direct { path: "p".into() };
    let checkpoint = Checkpoint { phase, ..Checkpoint::start(object, route, "2026-11-27T00:00:00Z".into()) };
    let parties = Parties { remote_host: "h", credential: &credential, execution: &Execution::default() };
    let ended = "2026-11-27T00:00:01Z".to_owned();
    let receipt = Receipt::new(Outcome::Delivered, summary, &checkpoint.report, parties, ended);
    Document {
        credential: Some(credential),
        checkpoint: Some(checkpoint),
        receipt: with_receipt.then_some(receipt),
        resends: 0,
    }
}

#[test]
fn every_state_is_in_the_definition_and_calls_its_own_function() {
    let definition = definition("bridge");
    assert_eq!(definition["StartAt"], State::FetchKey.name());
    for state in TASKS {
        let name = &definition["States"][state.name()]["Arguments"]["FunctionName"];
        assert_eq!(name.as_str().unwrap(), format!("${{{state}FunctionArn}}"));
    }
    assert_eq!(definition["States"][State::Delivered.name()]["Type"], "Succeed");
}

#[test]
fn after_each_result_the_same_state_follows_as_in_the_definition() {
    let definition = definition("bridge");
    let states = &definition["States"];
    for state in TASKS {
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
fn after_each_error_the_same_state_follows_as_in_the_definition() {
    let definition = definition("bridge");
    let states = &definition["States"];
    for state in TASKS {
        for name in ErrorName::ALL {
            // The definition reads the credential again; here the run ends.
            if *name == ErrorName::CredentialExpired {
                continue;
            }
            for resends in 0..3 {
                let document = Document { resends, ..document(Phase::sent(), false) };
                let catchers = states[state.name()]["Catch"].as_array().unwrap();
                let catches = |catcher: &&Value| {
                    let names = catcher["ErrorEquals"].as_array().unwrap();
                    names.iter().any(|caught| caught == name.as_str() || caught == "States.ALL")
                };
                let next = &catchers.iter().find(catches).unwrap()["Next"];
                // The catcher of an error that is cured counts, and then the choice looks.
                let input = json!({"failure": {"error": name.as_str()}, "resends": resends + 1});
                let expected = follow(states, next, &input);
                let next = state.after_error(*name, &document).map_or("RecordFailure", State::name);
                assert_eq!(next, expected, "{state}, {name}, {resends} resends");
            }
        }
    }
}
