//! Stories 120 to 129: servers that say things their own way.

use bridge::{ErrorName, Proof};
use integration_tests::embedded::{Names, Quirks, Truncation, Ways};
use integration_tests::partner::Partner;
use russh_sftp::protocol::StatusCode;

use crate::support::{Bridge, bytes};

async fn with(ways: Ways) -> Bridge {
    Bridge::to(Partner::embedded(Quirks { ways, ..Quirks::default() }).await.unwrap()).await
}

#[tokio::test]
async fn story_120_missing_directories_are_made_whatever_open_answers() {
    for code in [StatusCode::Failure, StatusCode::PermissionDenied, StatusCode::OpUnsupported] {
        let mut bridge = with(Ways { open_answers: Some(code), ..Ways::default() }).await;
        bridge.delivers("new/deep/report.csv", b"a;b\n").await;
        bridge.set("SFTP_STAGING_DIRECTORY", "stage");
        bridge.delivers("other/report.csv", b"a;b\n").await;
        bridge.set("SFTP_STAGING_DIRECTORY", "");
        bridge.set("SFTP_PUBLISH", "direct");
        bridge.delivers("direct/report.csv", b"a;b\n").await;
    }
}

#[tokio::test]
async fn story_120_a_missing_directory_is_named_whatever_open_answers() {
    for code in [StatusCode::Failure, StatusCode::PermissionDenied] {
        let mut bridge = with(Ways { open_answers: Some(code), ..Ways::default() }).await;
        bridge.set("SFTP_CREATE_DIRECTORIES", "false");
        let event = bridge.put("new/report.csv", b"a;b\n".to_vec()).await;
        let (_, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
        for words in ["\"new\"", "SFTP_CREATE_DIRECTORIES"] {
            assert!(error.message().contains(words), "{error}");
        }
    }
}

#[tokio::test]
async fn story_121_a_file_is_opened_with_and_without_truncation() {
    for truncation in [Truncation::Required, Truncation::Refused, Truncation::Always] {
        for publish in ["rename", "direct"] {
            let mut bridge = with(Ways { truncation, ..Ways::default() }).await;
            bridge.set("SFTP_PUBLISH", publish);
            let receipt = bridge.delivers("new/report.csv", &bytes(300_000)).await;
            assert_eq!(receipt.proof, Some(Proof::ReadBack), "{truncation:?} {publish}");
            bridge.delivers("new/report.csv", &bytes(100_000)).await;
        }
    }
}

#[tokio::test]
async fn story_122_a_refused_name_of_the_partial_file_comes_with_one_that_is_taken() {
    let long = format!("{}.bin", "n".repeat(130));
    for (names, object_key, advice) in [
        (Names::NoLeadingDot, "in/report.csv", "{name}.{id}.part"),
        (Names::AtMost(143), &format!("in/{long}"), "{id}.part"),
        (Names::EndingWith(".bin"), "in/report.bin", "{id}.{name}"),
    ] {
        for code in [None, Some(StatusCode::Failure)] {
            let ways = Ways { names, open_answers: code, ..Ways::default() };
            let mut bridge = with(ways).await;
            let event = bridge.put(object_key, b"a;b\n".to_vec()).await;
            let (state, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!((state, error.name), ("Transfer", ErrorName::InvalidConfig), "{error}");
            let words = format!("SFTP_PARTIAL_NAME={advice}");
            assert!(error.message().contains(&words), "{names:?}: {error}");
            assert_eq!(bridge.remote_files(), Vec::<String>::new(), "nothing of ours is left");
            bridge.set("SFTP_PARTIAL_NAME", advice);
            bridge.delivers(object_key, b"a;b\n").await;
        }
    }
}

/// A refusal that has nothing to do with the name stays what it is.
#[tokio::test]
async fn story_122_a_read_only_server_is_not_blamed_on_a_name() {
    let partner = Partner::embedded(Quirks { read_only: true, ..Quirks::default() }).await.unwrap();
    let bridge = Bridge::to(partner).await;
    let event = bridge.put("report.csv", b"a;b\n".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
    assert!(!error.message().contains("SFTP_PARTIAL_NAME"), "{error}");
}

#[tokio::test]
async fn story_123_a_directory_of_the_final_name_is_said_before_sending() {
    for (policy, publish) in
        [("replace", "rename"), ("skip", "rename"), ("fail", "rename"), ("skip", "direct")]
    {
        let mut bridge = with(Ways::default()).await;
        bridge.set("SFTP_IF_EXISTS", policy);
        bridge.set("SFTP_PUBLISH", publish);
        std::fs::create_dir_all(bridge.partner.root.join("in/x")).unwrap();
        let event = bridge.put("in/x", bytes(300_000)).await;
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{error}");
        for words in ["\"in/x\" is a directory", "nothing was sent"] {
            assert!(error.message().contains(words), "{policy}: {error}");
        }
        assert_eq!(bridge.remote_files(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn story_123_a_file_above_the_final_name_is_named() {
    for code in [None, Some(StatusCode::Failure), Some(StatusCode::PermissionDenied)] {
        for (create, object_key) in
            [("true", "in/x/y"), ("true", "in/x/y/z"), ("false", "in/x/y"), ("false", "in/x/y/z")]
        {
            let mut bridge = with(Ways { open_answers: code, ..Ways::default() }).await;
            bridge.set("SFTP_CREATE_DIRECTORIES", create);
            std::fs::create_dir_all(bridge.partner.root.join("in")).unwrap();
            std::fs::write(bridge.partner.root.join("in/x"), "a file").unwrap();
            let event = bridge.put(object_key, b"below a file".to_vec()).await;
            let (_, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
            for words in ["\"in/x\" is a file", "nothing was sent"] {
                assert!(error.message().contains(words), "{create} {object_key}: {error}");
            }
            assert_eq!(bridge.remote_files(), ["in/x"]);
        }
    }
}
