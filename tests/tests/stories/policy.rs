//! The delivery as the partner wants it: what is delivered, where to, what happens to what is there, how it is
//! published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use bridge::{ErrorName, Outcome, Proof, Receipt};
use integration_tests::cases::at_once;
use integration_tests::embedded::{LostAnswer, Quirks, Sweep};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::partner::Partner;
use serde_json::{Value, json};

use crate::support::{Bridge, bytes};

async fn quirky(quirks: Quirks) -> Bridge {
    let mut bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
    // An answer that never comes is given up soon.
    bridge.options.stall_timeout = Duration::from_secs(2);
    bridge
}

fn with(mut bridge: Bridge, settings: &[(&str, &str)]) -> Bridge {
    for (name, value) in settings {
        bridge.set(name, *value);
    }
    bridge
}

/// Puts a file on the partner's disk as if it had long been there.
fn put_there(bridge: &Bridge, path: &str, content: &[u8]) {
    let path = bridge.partner.root.join(path);
    std::fs::write(&path, content).unwrap();
    let long_ago = SystemTime::now() - Duration::from_secs(86_400);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Without the one time that a file may be sent again.
async fn delivers_at_once(bridge: &Bridge, event: &Value) -> Receipt {
    let (progress, _) = bridge.transfer_all(event, 0).await.unwrap();
    let credential = bridge.fetch_key(event).await.unwrap();
    bridge.verify_all(event, &credential, progress.checkpoint().unwrap()).await.unwrap().0
}

#[tokio::test]
async fn story_01_the_remote_path_is_what_the_template_makes_of_the_key() {
    let settings = [
        ("SFTP_LOCATION", "in"),
        ("SFTP_STRIP_PREFIX", "acme/"),
        ("SFTP_REMOTE_PATH", "{dir}/{stem}_{date:%Y%m%d}.{ext}"),
    ];
    let bridge = with(Bridge::new().await, &settings);
    for (key, path) in [
        ("acme/out/a b+c%2B.txt", "in/out/a b+c%2B_20260228.txt"),
        ("acme/räksmörgås.tar.gz", "in/räksmörgås.tar_20260228.gz"),
        ("acme/📦/{name}", "in/📦/{name}_20260228"),
    ] {
        let mut event = bridge.put(key, key.as_bytes().to_vec()).await;
        // In UTC it is still February. Tried twice, days after: the event's date, not that of the day.
        event["time"] = json!("2026-03-01T01:30:00+02:00");
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!(receipt.remote_path.as_deref(), Some(path));
        assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::AlreadyDelivered);
        assert_eq!(bridge.remote(path).unwrap(), key.as_bytes());
    }
    assert_eq!(bridge.remote_files().len(), 3);

    let mut event = bridge.put("acme/typed", b"by hand".to_vec()).await;
    event.as_object_mut().unwrap().remove("time");
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(
        error.name,
        ErrorName::InvalidInput,
        "neither the event nor the execution has a time: {error}"
    );
    assert!(error.message().contains("`time`"), "{error}");

    let folder = bridge.put("acme/", Vec::new()).await;
    assert_eq!(bridge.deliver(&folder).await.unwrap().outcome, Outcome::Skipped);
}

#[tokio::test]
async fn story_03_a_key_without_the_prefix_and_what_a_template_makes_unsafe_are_refused_before_connecting() {
    let mut bridge = with(Bridge::new().await, &[("SFTP_STRIP_PREFIX", "acme/")]);
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    for (key, words) in [("other/file", "SFTP_STRIP_PREFIX"), ("acme/../x", "\"..\""), ("acme//x", "\"\"")] {
        let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": key}}});
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{key:?}: {error}");
        assert!(error.message().contains(words), "{key:?}: {error}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn keys_that_are_not_included_or_are_excluded_are_passed_over_unseen() {
    let settings = [("S3_INCLUDE", "out/**, *.csv"), ("S3_EXCLUDE", "**/tmp/**")];
    let mut bridge = with(Bridge::new().await, &settings);
    bridge.delivers("out/a/b.txt", b"included").await;
    bridge.delivers("c.csv", b"included").await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    for (key, reason) in [("in/c.csv", "S3_INCLUDE"), ("out/tmp/b.csv", "**/tmp/** in S3_EXCLUDE")] {
        // It need not even exist, or be readable.
        let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": key, "size": 7}}});
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.outcome, receipt.object.size), (Outcome::Skipped, Some(7)));
        assert!(receipt.reason.as_deref().unwrap().contains(reason), "{receipt:?}");
    }
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn story_02_empty_objects_are_skipped_where_it_is_asked_for() {
    let bridge = with(Bridge::new().await, &[("SFTP_SKIP_EMPTY", "true")]);
    let event = bridge.put("empty.txt", Vec::new()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::Skipped);
    assert!(receipt.reason.unwrap().contains("SFTP_SKIP_EMPTY"));
    bridge.delivers("one.txt", b"1").await;
    assert_eq!(bridge.remote_files(), ["one.txt"]);
}

#[tokio::test]
async fn a_missing_directory_is_made_or_is_an_error() {
    for staging in ["", "staging/deep"] {
        let bridge = with(Bridge::new().await, &[("SFTP_STAGING_DIRECTORY", staging)]);
        bridge.delivers("new/deep/file.txt", b"x").await;

        let bridge = with(bridge, &[("SFTP_CREATE_DIRECTORIES", "false")]);
        bridge.delivers("new/deep/other.txt", b"x").await;
        let event = bridge.put("newer/file.txt", b"x".to_vec()).await;
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{error}");
        assert!(error.message().contains("\"newer\"") && error.message().contains("SFTP_CREATE_DIRECTORIES"));
        assert_eq!(bridge.remote_files(), ["new/deep/file.txt", "new/deep/other.txt"]);
    }
}

#[tokio::test]
async fn partial_files_are_called_and_lie_as_the_partner_wants_it() {
    for (settings, beginning, end) in [
        (&[("SFTP_PARTIAL_NAME", "{name}.{id}.filepart")][..], "in/report.csv.", ".filepart"),
        (&[("SFTP_PARTIAL_NAME", "~{id}")], "in/~", ""),
        (&[("SFTP_STAGING_DIRECTORY", "stage")], "stage/.report.csv.", ".partial"),
        (&[("SFTP_STAGING_DIRECTORY", "stage/"), ("SFTP_PARTIAL_NAME", "{id}.tmp")], "stage/", ".tmp"),
    ] {
        let bridge = with(Bridge::new().await, settings);
        let event = bridge.put("in/report.csv", b"new".to_vec()).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        let files = bridge.remote_files();
        assert!(files.len() == 1 && files[0].starts_with(beginning) && files[0].ends_with(end), "{files:?}");
        let credential = bridge.fetch_key(&event).await.unwrap();
        bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap();
        assert_eq!(bridge.remote_files(), ["in/report.csv"]);
    }
}

#[tokio::test]
async fn if_exists_skip_leaves_what_is_identical_and_replaces_what_is_not() {
    for publish in ["rename", "direct"] {
        let settings = [("SFTP_IF_EXISTS", "skip"), ("SFTP_PUBLISH", publish)];
        let bridge = with(Bridge::new().await, &settings);
        put_there(&bridge, "same.csv", b"the same");
        put_there(&bridge, "size.csv", b"the size");
        put_there(&bridge, "long.csv", b"yesterday's, which is longer");
        let before = std::fs::metadata(bridge.partner.root.join("same.csv")).unwrap().modified().unwrap();

        let event = bridge.put("same.csv", b"the same".to_vec()).await;
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.outcome, receipt.bytes_sent), (Outcome::AlreadyDelivered, 0));
        let after = std::fs::metadata(bridge.partner.root.join("same.csv")).unwrap().modified().unwrap();
        assert_eq!(before, after, "untouched");

        bridge.delivers("size.csv", b"the SIZE").await;
        bridge.delivers("long.csv", b"today's").await;
        assert_eq!(bridge.remote_files(), ["long.csv", "same.csv", "size.csv"]);
    }
}

#[tokio::test]
async fn if_exists_fail_touches_nothing_that_is_there() {
    for rename_replaces in [false, true] {
        let bridge = quirky(Quirks { rename_replaces, ..Quirks::default() }).await;
        let bridge = with(bridge, &[("SFTP_IF_EXISTS", "fail")]);
        for (key, theirs) in [("other.csv", "theirs"), ("size.csv", "THEIRS"), ("empty.csv", "")] {
            put_there(&bridge, key, theirs.as_bytes());
            let event = bridge.put(key, b"is ours".to_vec()).await;
            let (state, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{error}");
            assert!(error.message().contains(key) && error.message().contains("SFTP_IF_EXISTS"), "{error}");
            assert_eq!(bridge.remote(key).unwrap(), theirs.as_bytes());
        }
        // Of the same size only the contents tell, and they are looked at.
        let event = bridge.put("size.csv", b"unlike".to_vec()).await;
        let (_, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
        assert_eq!(bridge.remote("size.csv").unwrap(), b"THEIRS");
        bridge.assert_no_partial_files();

        // It appears while ours is being sent.
        let event = bridge.put("late.csv", b"is ours".to_vec()).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        put_there(&bridge, "late.csv", b"theirs!");
        let credential = bridge.fetch_key(&event).await.unwrap();
        let checkpoint = progress.checkpoint().unwrap();
        let error = bridge.verify_all(&event, &credential, checkpoint.clone()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
        assert_eq!(bridge.remote("late.csv").unwrap(), b"theirs!");
        // Once they have taken theirs away, a redrive publishes what was sent.
        std::fs::remove_file(bridge.partner.root.join("late.csv")).unwrap();
        let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert_eq!(bridge.remote("late.csv").unwrap(), b"is ours");
        bridge.assert_no_partial_files();
    }
}

#[tokio::test]
async fn if_exists_keep_both_numbers_what_is_new() {
    for rename_replaces in [false, true] {
        let bridge = quirky(Quirks { rename_replaces, ..Quirks::default() }).await;
        let bridge = with(bridge, &[("SFTP_IF_EXISTS", "keep-both")]);
        put_there(&bridge, "report.csv", b"theirs!");
        put_there(&bridge, "report.1.csv", b"more of theirs");
        for (body, path) in [("is ours", "report.2.csv"), ("another of ours", "report.3.csv")] {
            let event = bridge.put("report.csv", body.as_bytes().to_vec()).await;
            let receipt = bridge.deliver(&event).await.unwrap();
            let outcome = (receipt.outcome, receipt.remote_path.as_deref());
            assert_eq!(outcome, (Outcome::Delivered, Some(path)));
            assert_eq!(bridge.remote(path).unwrap(), body.as_bytes());
            // A rerun, and one that looks at nothing before it sends.
            for resends in [0, 1] {
                let (progress, _) = bridge.transfer_all(&event, resends).await.unwrap();
                let credential = bridge.fetch_key(&event).await.unwrap();
                let checkpoint = progress.checkpoint().unwrap();
                let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
                let outcome = (receipt.outcome, receipt.remote_path.as_deref());
                assert_eq!(outcome, (Outcome::AlreadyDelivered, Some(path)), "{resends}");
            }
        }
        assert_eq!(bridge.remote_files(), ["report.1.csv", "report.2.csv", "report.3.csv", "report.csv"]);
        assert_eq!(bridge.remote("report.csv").unwrap(), b"theirs!");
    }
}

/// It was free when it was looked at, before what was sent was read back.
#[tokio::test]
async fn a_name_that_is_taken_while_the_file_is_proved_is_not_overwritten() {
    for rename_replaces in [false, true] {
        let mut bridge = quirky(Quirks { rename_replaces, ..Quirks::default() }).await;
        bridge.set("SFTP_IF_EXISTS", "keep-both");
        let event = bridge.put("report.bin", bytes(3_000_000)).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        let credential = bridge.fetch_key(&event).await.unwrap();
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        proxy.set(Fault::Rate(1_500_000)).await;
        bridge.set("SFTP_PORT", proxy.port.to_string());
        let meanwhile = async {
            while proxy.bytes_down() < 500_000 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            put_there(&bridge, "report.bin", b"theirs!");
        };
        let verifying = bridge.verify_all(&event, &credential, progress.checkpoint().unwrap());
        let (verified, ()) = tokio::join!(verifying, meanwhile);
        assert_eq!(verified.unwrap().0.remote_path.as_deref(), Some("report.1.bin"));
        assert_eq!(bridge.remote("report.bin").unwrap(), b"theirs!");
        assert_eq!(bridge.remote_files(), ["report.1.bin", "report.bin"]);
    }
}

#[tokio::test]
async fn what_exists_cannot_be_kept_where_nothing_can_be_seen() {
    let mut bridge = quirky(Quirks { write_only: true, ..Quirks::default() }).await;
    for if_exists in ["fail", "keep-both"] {
        bridge.set("SFTP_IF_EXISTS", if_exists);
        let event = bridge.put("file.csv", b"x".to_vec()).await;
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::InvalidConfig), "{error}");
        assert!(error.message().contains(if_exists) && bridge.remote_files().is_empty(), "{error}");
    }
    bridge.set("SFTP_IF_EXISTS", "skip");
    bridge.delivers("file.csv", b"x").await;
}

#[tokio::test]
async fn story_20_a_close_that_takes_12_s_is_no_failure() {
    // Both at the same time: it is the waiting that takes long.
    let deliveries = ["rename", "direct"].map(async |publish| {
        let quirks = Quirks { slow_close: Duration::from_secs(12), ..Quirks::default() };
        let bridge = Bridge::to(Partner::embedded(quirks).await.unwrap()).await;
        let bridge = with(bridge, &[("SFTP_PUBLISH", publish)]);
        let receipt = bridge.delivers("slow.bin", &bytes(300_000)).await;
        assert_eq!((receipt.resumes, receipt.proof), (0, Some(Proof::ReadBack)));
    });
    let [rename, direct] = deliveries;
    tokio::join!(rename, direct);
}

#[tokio::test]
async fn story_20_a_lost_answer_to_a_close_is_no_failure_and_no_second_copy() {
    let mut cases = Vec::new();
    for (publish, if_exists) in
        [("rename", "replace"), ("rename", "fail"), ("rename", "keep-both"), ("direct", "replace")]
    {
        // To a store, what is opened again is a file of its own, or even a new one; but those cannot rename.
        for (apart, whole_objects) in [(false, false), (true, false), (true, true)] {
            if !whole_objects || publish == "direct" {
                let lost_answer = Some(LostAnswer::to("close"));
                let quirks = Quirks { lost_answer, apart, whole_objects, ..Quirks::default() };
                cases.push((quirks, [("SFTP_PUBLISH", publish), ("SFTP_IF_EXISTS", if_exists)]));
            }
        }
    }
    at_once(cases, |(quirks, settings)| async move {
        let apart = quirks.apart;
        let bridge = with(quirky(quirks).await, &settings);
        let body = bytes(300_000);
        let event = bridge.put("committed.bin", body.clone()).await;
        let receipt = delivers_at_once(&bridge, &event).await;
        assert_eq!(receipt.bytes_sent, 300_000, "{settings:?} {apart}");
        assert_eq!(bridge.remote_files(), ["committed.bin"]);
        assert!(bridge.remote("committed.bin").unwrap() == body);
    })
    .await;
}

#[tokio::test]
async fn story_21_a_quota_on_the_last_write_is_a_failure_and_never_a_success() {
    for settings in [
        &[("SFTP_PUBLISH", "rename")][..],
        &[("SFTP_PUBLISH", "rename"), ("SFTP_PROOF", "none")],
        &[("SFTP_PUBLISH", "direct")],
        &[("SFTP_PUBLISH", "direct"), ("SFTP_PROOF", "none")],
    ] {
        let bridge = quirky(Quirks { capacity: Some(299_999), ..Quirks::default() }).await;
        let bridge = with(bridge, settings);
        let event = bridge.put("big.bin", bytes(300_000)).await;
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::RemoteFull), "{settings:?}: {error}");
        assert!(bridge.remote("big.bin").is_none_or(|content| content.len() < 300_000), "{settings:?}");
    }
}

#[tokio::test]
async fn story_21_a_quota_on_close_is_a_failure_and_leaves_nothing_behind() {
    for settings in [
        &[("SFTP_PUBLISH", "rename")][..],
        &[("SFTP_PUBLISH", "rename"), ("SFTP_PROOF", "none")],
        &[("SFTP_PUBLISH", "direct")],
        &[("SFTP_PUBLISH", "direct"), ("SFTP_PROOF", "none")],
    ] {
        for write_only in [false, true] {
            let bridge = quirky(Quirks { capacity_at_close: Some(0), write_only, ..Quirks::default() }).await;
            let bridge = with(bridge, settings);
            let event = bridge.put("big.bin", bytes(300_000)).await;
            let (state, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!((state, error.name), ("Transfer", ErrorName::RemoteFull), "{settings:?}: {error}");
            assert!(error.message().contains("quota"), "keeps the server's message: {error}");
            assert!(bridge.remote_files().is_empty(), "{settings:?}: {:?}", bridge.remote_files());
        }
    }
}

#[tokio::test]
async fn story_22_a_refused_rename_is_an_error_and_a_redrive_publishes() {
    at_once(["replace", "fail", "keep-both"], |if_exists| async move {
        let rename_refused = Arc::new(AtomicBool::new(true));
        let quirks = Quirks { rename_refused: Arc::clone(&rename_refused), ..Quirks::default() };
        let bridge = with(quirky(quirks).await, &[("SFTP_IF_EXISTS", if_exists)]);
        let event = bridge.put("report.csv", b"new".to_vec()).await;
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        let credential = bridge.fetch_key(&event).await.unwrap();
        let checkpoint = progress.checkpoint().unwrap();
        let error = bridge.verify_all(&event, &credential, checkpoint.clone()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
        for words in
            ["renaming is not allowed", "nothing was published", ".partial\" stays", "\"report.csv\""]
        {
            assert!(error.message().contains(words), "{words}: {error}");
        }
        assert_eq!(bridge.remote_files(), [checkpoint.route.upload_path()], "the partial file and no other");
        assert_eq!(bridge.remote(checkpoint.route.upload_path()).unwrap(), b"new", "it is whole");

        // The partner allows it, and the redrive begins at FetchKey with the document as it was.
        rename_refused.store(false, Ordering::Relaxed);
        let credential = bridge.fetch_key(&event).await.unwrap();
        let progress = bridge.transfer(&event, &credential, Some(checkpoint), 0).await.unwrap();
        let (receipt, _) =
            bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap();
        assert_eq!((receipt.outcome, receipt.bytes_sent), (Outcome::Delivered, 3), "nothing is sent again");
        assert_eq!(bridge.remote_files(), ["report.csv"], "nothing of ours is left");
        assert_eq!(bridge.remote("report.csv").unwrap(), b"new");
    })
    .await;
}

#[tokio::test]
async fn story_22_a_server_that_cannot_rename_is_named_and_direct_delivers_to_it() {
    let bridge = quirky(Quirks { no_rename: true, ..Quirks::default() }).await;
    let event = bridge.put("report.csv", b"new".to_vec()).await;
    put_there(&bridge, "report.csv", b"yesterday's, which is longer");
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("VerifyRemote", ErrorName::InvalidConfig), "{error}");
    assert!(error.message().contains("SFTP_PUBLISH") && error.message().contains("direct"), "{error}");
    assert_eq!(bridge.remote_files(), ["report.csv"], "the partial file is of no use any more");
    assert_eq!(bridge.remote("report.csv").unwrap(), b"yesterday's, which is longer");

    let bridge = with(bridge, &[("SFTP_PUBLISH", "direct")]);
    // At the first try, although what is there is longer.
    let receipt = delivers_at_once(&bridge, &event).await;
    assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::ReadBack)));
    assert_eq!(bridge.remote("report.csv").unwrap(), b"new");
    assert_eq!(bridge.remote_files(), ["report.csv"]);
    bridge.delivers("empty", b"").await;
}

#[tokio::test]
async fn story_22_a_lost_answer_to_a_rename_is_no_failure_and_no_second_copy() {
    let policies = ["replace", "skip", "fail", "keep-both"];
    let cases = policies.into_iter().flat_map(|policy| [(policy, false), (policy, true)]);
    at_once(cases, |(if_exists, no_posix_rename)| async move {
        let lost_answer = Some(LostAnswer::to("rename"));
        let bridge = quirky(Quirks { lost_answer, no_posix_rename, ..Quirks::default() }).await;
        let bridge = with(bridge, &[("SFTP_IF_EXISTS", if_exists)]);
        if if_exists == "keep-both" {
            put_there(&bridge, "report.csv", b"theirs");
        }
        let event = bridge.put("report.csv", b"is ours".to_vec()).await;
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::ReadBack)));
        assert_eq!(receipt.bytes_sent, 7);
        let files = bridge.remote_files();
        match if_exists {
            "keep-both" => assert_eq!(files, ["report.1.csv", "report.csv"]),
            _ => assert_eq!(files, ["report.csv"]),
        }
    })
    .await;
}

#[tokio::test]
async fn story_24_a_lost_answer_to_a_rename_where_nothing_can_be_seen() {
    let lost_answer = Some(LostAnswer::to("rename"));
    let bridge = quirky(Quirks { lost_answer, write_only: true, ..Quirks::default() }).await;
    let receipt = bridge.delivers("dropped.bin", &bytes(200_000)).await;
    assert_eq!(receipt.proof, Some(Proof::Unverified));
    assert!(
        receipt.warnings.iter().any(|warning| warning.contains("did not answer the rename")),
        "{receipt:?}"
    );

    // Without such a rename before, a partial file that is gone is a failure.
    let bridge = quirky(Quirks { write_only: true, ..Quirks::default() }).await;
    let event = bridge.put("gone.bin", b"x".to_vec()).await;
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    let checkpoint = progress.checkpoint().unwrap();
    std::fs::remove_file(bridge.partner.root.join(checkpoint.route.upload_path())).unwrap();
    let credential = bridge.fetch_key(&event).await.unwrap();
    let error = bridge.verify_all(&event, &credential, checkpoint).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
}

#[tokio::test]
async fn story_24_a_write_only_directory_without_rename() {
    let bridge = quirky(Quirks { write_only: true, no_rename: true, ..Quirks::default() }).await;
    let bridge = with(bridge, &[("SFTP_PUBLISH", "direct")]);
    put_there(&bridge, "in.csv", b"yesterday's, which is longer");
    let receipt = bridge.delivers("in.csv", b"today's").await;
    assert_eq!(receipt.proof, Some(Proof::Unverified));
    bridge.delivers("new/deep/in.csv", b"directories are made unseen, too").await;
}

#[tokio::test]
async fn story_24_a_file_that_is_swept_is_delivered_and_unverified() {
    // Right after the rename: it was proved before.
    let bridge = quirky(Quirks { sweep: Some(Sweep::Visible), ..Quirks::default() }).await;
    let event = bridge.put("in.csv", b"x".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::ReadBack)));

    // Right after a rename whose answer is lost.
    let lost_answer = Some(LostAnswer::to("rename"));
    let bridge = quirky(Quirks { sweep: Some(Sweep::Visible), lost_answer, ..Quirks::default() }).await;
    let event = bridge.put("in.csv", b"x".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::ReadBack)));
    assert_eq!((receipt.bytes_sent, receipt.warnings.len()), (1, 1), "{receipt:?}");

    // At the close.
    let bridge = quirky(Quirks { sweep: Some(Sweep::Visible), ..Quirks::default() }).await;
    let mut bridge = with(bridge, &[("SFTP_PUBLISH", "direct")]);
    let event = bridge.put("in.csv", b"x".to_vec()).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.proof), (Outcome::Delivered, Some(Proof::Unverified)));
    assert_eq!((receipt.bytes_sent, receipt.warnings.len()), (1, 1), "{receipt:?}");
    assert!(bridge.remote_files().is_empty());
    for proof in ["hash", "read-back", "size"] {
        bridge.set("SFTP_PROOF", proof);
        let (_, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!(error.name, ErrorName::InvalidConfig, "{error}");
    }

    // One that takes partial files is named with the way out.
    let bridge = quirky(Quirks { sweep: Some(Sweep::Visible), ..Quirks::default() }).await;
    let bridge = with(bridge, &[("SFTP_PARTIAL_NAME", "{name}.{id}.tmp")]);
    let event = bridge.put("in.csv", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteMismatch, "{error}");
    assert!(error.message().contains("SFTP_PUBLISH"), "{error}");
}

#[tokio::test]
async fn story_26_a_file_that_was_altered_does_not_stay_under_the_final_name() {
    let bridge = with(Bridge::new().await, &[("SFTP_PUBLISH", "direct")]);
    let event = bridge.put("altered.bin", bytes(400_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    for damage in
        [|content: &mut Vec<u8>| content.truncate(399_999), |content: &mut Vec<u8>| content[200_000] ^= 1]
    {
        let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
        let mut content = bridge.remote("altered.bin").unwrap();
        damage(&mut content);
        std::fs::write(bridge.partner.root.join("altered.bin"), content).unwrap();
        let error = bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteMismatch, "{error}");
        assert!(bridge.remote_files().is_empty());
    }
    bridge.delivers("altered.bin", &bytes(400_000)).await;
}

#[tokio::test]
async fn story_10_direct_resumes_what_was_cut() {
    for (apart, whole_objects) in [(false, false), (true, false), (true, true)] {
        let mut bridge = quirky(Quirks { apart, whole_objects, ..Quirks::default() }).await;
        let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
        bridge.set("SFTP_PORT", proxy.port.to_string());
        bridge.set("SFTP_PUBLISH", "direct");
        put_there(&bridge, "cut.bin", &bytes(9_000_000));
        for cut_after in [1_000, 10_000, 2_000_000, 3_990_000, 4_003_000] {
            proxy.set(Fault::CutOnceAfter(cut_after)).await;
            let mut body = bytes(4_000_000);
            body[0] = cut_after as u8;
            let event = bridge.put("cut.bin", body.clone()).await;
            // The state machine's retries.
            let mut outcome = bridge.deliver(&event).await;
            for _ in 0..3 {
                if outcome.is_err() {
                    outcome = bridge.deliver(&event).await;
                }
            }
            let receipt = outcome.unwrap();
            assert!(bridge.remote("cut.bin").unwrap() == body, "cut after {cut_after}");
            // From the start it would be twice as many.
            if cut_after > 3_900_000 && !whole_objects {
                assert!(receipt.bytes_sent < 6_500_000, "{cut_after}: {} bytes", receipt.bytes_sent);
            }
        }
        assert_eq!(bridge.remote_files(), ["cut.bin"]);
    }
}
