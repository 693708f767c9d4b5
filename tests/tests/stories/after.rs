//! What surrounds the contents: mode and time, the marker, and what becomes of the object.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws::afterwards::{Copying, move_to};
use aws_sdk_s3::error::ProvideErrorMetadata;
use bridge::{
    Checkpoint, CredentialReference, Deadline, Demand, ErrorName, ObjectCreated, Outcome, Phase,
    PinnedObject, Progress, Publication, Receipt,
};
use integration_tests::embedded::{LostAnswer, Quirks, Setstat};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::object_source::{Body, ObjectSource, Quirks as SourceQuirks};
use integration_tests::partner::Partner;
use partner::files::{AttributesOf, set_attributes};
use serde_json::{Value, json};

use crate::support::{Bridge, bytes, execution};

async fn quirky(quirks: Quirks) -> Bridge {
    Bridge::to(Partner::embedded(quirks).await.unwrap()).await
}

impl Bridge {
    fn metadata(&self, path: &str) -> std::fs::Metadata {
        std::fs::metadata(self.partner.root.join(path)).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        self.metadata(path).permissions().mode() & 0o7777
    }

    /// Whether the tool that partners use finds the file as its sidecar says.
    fn checks(&self, tool: &str, sidecar: &str, folder: &str) -> bool {
        let mut check = Command::new(tool);
        check.args(["--check", "--strict", sidecar]).current_dir(self.partner.root.join(folder));
        check.status().unwrap().success()
    }

    /// What the event speaks of, pinned.
    async fn pinned(&self, event: &Value) -> PinnedObject {
        let event = ObjectCreated::from_event(event.clone()).unwrap();
        match aws::pin(&self.aws.s3(), &event, aws::Deliverable::default()).await.unwrap() {
            aws::Pin::Object { object, .. } => object,
            other => panic!("{other:?}"),
        }
    }

    /// The tags of an object, as `name=value`.
    async fn tags(&self, object_key: &str) -> Vec<String> {
        let request = self.aws.s3().get_object_tagging().bucket(&self.bucket).key(object_key);
        let tags = request.send().await.unwrap().tag_set;
        let mut tags: Vec<_> = tags.iter().map(|tag| format!("{}={}", tag.key(), tag.value())).collect();
        tags.sort();
        tags
    }

    async fn set_tags(&self, object_key: &str, names: &[&str]) {
        let tag = |name: &&str| aws_sdk_s3::types::Tag::builder().key(*name).value("v").build().unwrap();
        let tags = aws_sdk_s3::types::Tagging::builder().set_tag_set(Some(names.iter().map(tag).collect()));
        let request = self.aws.s3().put_object_tagging().bucket(&self.bucket).key(object_key);
        request.tagging(tags.build().unwrap()).send().await.unwrap();
    }

    /// The contents of what is current under a key.
    async fn object(&self, object_key: &str) -> Option<Vec<u8>> {
        match self.aws.s3().get_object().bucket(&self.bucket).key(object_key).send().await {
            Ok(object) => Some(object.body.collect().await.unwrap().to_vec()),
            Err(error) => {
                assert_eq!(error.code(), Some("NoSuchKey"), "{error:?}");
                None
            }
        }
    }
}

#[tokio::test]
async fn modes_and_times_are_set_before_publishing() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_FILE_MODE", "0604");
    bridge.set("SFTP_DIR_MODE", "0711");
    bridge.set("SFTP_PRESERVE_MTIME", "require");
    std::fs::create_dir(bridge.partner.root.join("old")).unwrap();
    let before = bridge.mode("old");
    let event = bridge.put("old/new/file.txt", b"x".to_vec()).await;
    let stored = bridge.pinned(&event).await.last_modified.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert!(receipt.warnings.is_empty(), "{receipt:?}");
    assert_eq!((bridge.mode("old/new/file.txt"), bridge.mode("old/new")), (0o604, 0o711));
    assert_eq!(bridge.mode("old"), before, "a directory that was there is not ours");
    assert_eq!(bridge.metadata("old/new/file.txt").mtime(), stored);

    // The time is that of the object, no later: a rerun still takes it for what it is.
    let again = bridge.deliver(&event).await.unwrap();
    assert_eq!((again.outcome, again.bytes_sent), (Outcome::AlreadyDelivered, 0));
}

#[tokio::test]
async fn story_23_setstat_refused_is_a_warning_or_stops_before_publishing() {
    for (setstat, publish) in [
        (Setstat::Refused, "rename"),
        (Setstat::Ignored, "rename"),
        (Setstat::NotFound, "rename"),
        (Setstat::Refused, "direct"),
        (Setstat::Ignored, "direct"),
    ] {
        for (name, tried, required, state) in [
            ("SFTP_FILE_MODE", "try:0604", "0604", "VerifyRemote"),
            ("SFTP_PRESERVE_MTIME", "try", "require", "VerifyRemote"),
            ("SFTP_DIR_MODE", "try:0711", "0711", "Transfer"),
        ] {
            let what = format!("{name} {setstat:?} {publish}");
            let mut bridge = quirky(Quirks { setstat, ..Quirks::default() }).await;
            bridge.set("SFTP_PUBLISH", publish);
            let event = bridge.put("in/file.txt", b"x".to_vec()).await;
            if name == "SFTP_PRESERVE_MTIME" {
                // The object's time and the file's are to differ by more than is rounded: what a file has is not asked for.
                tokio::time::sleep(Duration::from_millis(2100)).await;
            }
            bridge.set(name, required);
            // Written to directly, it is there by then; a directory is made before anything is written.
            let there = publish == "direct" && state == "VerifyRemote";
            let stands = if there { "the file is there without it" } else { "nothing was published" };
            // The second try finds what the first one left.
            for _ in 0..2 {
                let (failed, error) = bridge.deliver_as(&execution(), &event).await.unwrap_err();
                assert_eq!((failed, error.name), (state, ErrorName::InvalidConfig), "{what}: {error}");
                assert!(
                    error.message().contains(name) && error.message().contains(stands),
                    "{what}: {error}"
                );
                assert_eq!(bridge.remote("in/file.txt"), there.then(|| b"x".to_vec()), "{what}");
            }
            bridge.set(name, tried);
            let receipt = bridge.deliver_as(&execution(), &event).await.unwrap();
            let outcome = if there { Outcome::AlreadyDelivered } else { Outcome::Delivered };
            assert_eq!(receipt.outcome, outcome, "{what}");
            assert!(receipt.warnings.len() == 1 && receipt.warnings[0].contains(name), "{what}: {receipt:?}");
            assert_eq!(bridge.remote_files(), ["in/file.txt"], "{what}");
        }
    }
}

/// Nothing can be looked at, and all that can be set is answered with "no such file": that is a refusal. After a rename
/// whose answer was lost it is what a server has to say.
#[tokio::test]
async fn story_23_no_such_file_where_nothing_can_be_seen() {
    let quirks = || Quirks { setstat: Setstat::NotFound, write_only: true, ..Quirks::default() };
    let mut bridge = quirky(quirks()).await;
    bridge.set("SFTP_FILE_MODE", "0604");
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("VerifyRemote", ErrorName::InvalidConfig), "{error}");
    assert!(bridge.remote("file.txt").is_none());

    let lost_answer = Some(LostAnswer::to("rename"));
    let mut bridge = quirky(Quirks { write_only: true, lost_answer, ..Quirks::default() }).await;
    bridge.options.stall_timeout = Duration::from_secs(2);
    bridge.set("SFTP_FILE_MODE", "0604");
    let receipt = bridge.delivers("file.txt", b"x").await;
    assert!(
        receipt.warnings.iter().any(|warning| warning.contains("did not answer the rename")),
        "{receipt:?}"
    );
    assert_eq!(bridge.mode("file.txt"), 0o604);
}

/// Another execution of the same version has renamed the partial file, with the mode that it gave it.
#[tokio::test]
async fn story_23_a_file_that_another_execution_has_published_meanwhile_is_no_refusal() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_FILE_MODE", "0604");
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
    bridge.verify_all(&event, &credential, complete.clone()).await.unwrap();
    let gone = sftp::Attributes { permissions: Some(0o604), ..sftp::Attributes::default() };
    let reached = bridge.reached();
    let set = reached.with_session(&credential, None, async |session| {
        let (sftp, partial) = (session.sftp(), complete.route.upload_path());
        let of = AttributesOf::PartialFile { rename_requested: complete.phase.is_renaming() };
        set_attributes(sftp, partial, gone, Demand::Require, "SFTP_FILE_MODE", of).await
    });
    assert_eq!(set.await.unwrap(), None);
}

#[tokio::test]
async fn a_marker_says_that_the_file_is_there() {
    for no_posix_rename in [false, true] {
        for (kind, tool) in [("done", None), ("sha256", Some("sha256sum")), ("md5", Some("md5sum"))] {
            let mut bridge = quirky(Quirks { no_posix_rename, ..Quirks::default() }).await;
            bridge.set("SFTP_MARKER", kind);
            let event = bridge.put("in/räksmörgås 1.csv", bytes(700_000)).await;
            let receipt = bridge.deliver(&event).await.unwrap();
            let marker = format!("in/räksmörgås 1.csv.{kind}");
            assert_eq!(receipt.marker.as_ref(), Some(&marker));
            assert_eq!(bridge.remote_files(), ["in/räksmörgås 1.csv", &marker]);
            let check = || match tool {
                Some(tool) => {
                    assert!(bridge.checks(tool, marker.strip_prefix("in/").unwrap(), "in"));
                }
                None => assert_eq!(bridge.remote(&marker).unwrap(), b""),
            };
            check();

            // A rerun leaves it alone, puts it back, or corrects it.
            let inode = bridge.metadata(&marker).ino();
            let again = bridge.deliver(&event).await.unwrap();
            assert_eq!((again.outcome, again.marker.as_ref()), (Outcome::AlreadyDelivered, Some(&marker)));
            assert_eq!(bridge.metadata(&marker).ino(), inode);
            std::fs::remove_file(bridge.partner.root.join(&marker)).unwrap();
            assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::AlreadyDelivered);
            check();
            std::fs::write(bridge.partner.root.join(&marker), "x").unwrap();
            assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::AlreadyDelivered);
            check();
            bridge.assert_no_partial_files();
        }
    }
}

#[tokio::test]
async fn a_marker_has_the_hash_of_a_file_that_was_sent_or_read_in_pieces() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    bridge.set("SFTP_MARKER", "sha256");
    let event = bridge.put("file.bin", bytes(6_000_000)).await;
    let check = |bridge: &Bridge| bridge.checks("sha256sum", "file.bin.sha256", "");
    proxy.set(Fault::CutOnceAfter(3_000_000)).await;
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!((receipt.outcome, receipt.resumes), (Outcome::Delivered, 1));
    assert!(check(&bridge));

    // Started without a marker, and continued with one after a deployment.
    std::fs::remove_file(bridge.partner.root.join("file.bin")).unwrap();
    std::fs::remove_file(bridge.partner.root.join("file.bin.sha256")).unwrap();
    bridge.set("SFTP_MARKER", "none");
    let checkpoint = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
    assert!(checkpoint.sent.digests.sha256.is_none());
    bridge.set("SFTP_MARKER", "sha256");
    let credential = bridge.fetch_key(&event).await.unwrap();
    let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint.clone()).await.unwrap();
    assert!(receipt.marker.is_some() && check(&bridge));

    // So slowly that it takes several calls: what one has read, the next goes on from.
    std::fs::remove_file(bridge.partner.root.join("file.bin.sha256")).unwrap();
    let source = ObjectSource::start().unwrap();
    source.put_with_checksum(&format!("{}/file.bin", bridge.bucket), Body::Bytes(bytes(6_000_000))).unwrap();
    source.pace(integration_tests::object_source::Pace {
        bytes_per_second: Some(2_000_000),
        ..Default::default()
    });
    bridge.source = Some(source);
    bridge.slice = Some(Duration::from_secs(2));
    let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "file.bin"}}});
    let progress = bridge.transfer_all(&event, 0).await.unwrap().0;
    let checkpoint = progress.checkpoint().unwrap();
    assert!(matches!(checkpoint.phase, Phase::Found(_)), "{checkpoint:?}");
    let (receipt, calls) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered);
    assert!(calls > 1, "{calls}");
    assert!(check(&bridge));
}

#[tokio::test]
async fn a_former_files_marker_never_stands_beside_the_new_file() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_MARKER", "sha256");
    bridge.delivers_with_marker("file.txt", b"older").await;
    let older = bridge.remote("file.txt.sha256").unwrap();
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(20))).await;
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let over = Arc::new(AtomicBool::new(false));
    let (root, stop) = (bridge.partner.root.clone(), Arc::clone(&over));
    let reader = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if std::fs::read(root.join("file.txt")).is_ok_and(|content| content == b"newer") {
                assert!(std::fs::read(root.join("file.txt.sha256")).ok().as_ref() != Some(&older));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    bridge.delivers_with_marker("file.txt", b"newer").await;
    over.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}

impl Bridge {
    /// As far as the document of a call that was published but got no further.
    async fn published(
        &self,
        event: &Value,
        credential: &CredentialReference,
        complete: Checkpoint,
    ) -> Checkpoint {
        let (receipt, _) = self.verify_all(event, credential, complete.clone()).await.unwrap();
        let Receipt { outcome, proof, host_key_fingerprint, marker, .. } = receipt;
        let (path, proof) = (complete.final_path(), proof.unwrap());
        let (unconfirmed, is_newest) = (false, true);
        let publication =
            Publication { outcome, path, proof, host_key_fingerprint, marker, unconfirmed, is_newest };
        self.set_tags(&complete.object.object_key, &[]).await;
        Checkpoint { phase: Phase::Published(publication), ..complete }
    }

    async fn delivers_with_marker(&self, object_key: &str, body: &[u8]) -> Receipt {
        let event = self.put(object_key, body.to_vec()).await;
        let receipt = self.deliver(&event).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert!(receipt.marker.is_some() && self.remote(object_key).as_deref() == Some(body));
        receipt
    }
}

#[tokio::test]
async fn story_10_a_failure_between_file_and_marker_is_repaired_and_no_second_file_is_sent() {
    for kind in ["done", "sha256"] {
        let mut bridge = Bridge::new().await;
        bridge.set("SFTP_MARKER", kind);
        let event = bridge.put("file.txt", b"sent once".to_vec()).await;
        let credential = bridge.fetch_key(&event).await.unwrap();
        let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
        let obstacle = bridge.partner.root.join(format!("file.txt.{kind}"));
        std::fs::create_dir_all(obstacle.join("not-empty")).unwrap();

        // That the file is published is progress, and is remembered; that its marker is missing is an error.
        let progress = bridge.verify_remote(&event, &credential, complete.clone()).await.unwrap();
        assert!(progress.clone().receipt().is_none());
        let published = progress.checkpoint().unwrap();
        assert_eq!(bridge.remote("file.txt").unwrap(), b"sent once");
        let error = bridge.verify_remote(&event, &credential, published.clone()).await.unwrap_err();
        assert!(error.name == ErrorName::RemoteFailure && error.name.retryable(), "{error}");
        assert!(error.message().contains(&format!("file.txt.{kind}")), "{error}");

        // Even a partner who has taken the file without waiting gets the marker, and nothing else.
        std::fs::remove_dir_all(&obstacle).unwrap();
        std::fs::remove_file(bridge.partner.root.join("file.txt")).unwrap();
        let (receipt, _) = bridge.verify_all(&event, &credential, published).await.unwrap();
        assert_eq!((receipt.outcome, receipt.remote_path.as_deref()), (Outcome::Delivered, Some("file.txt")));
        assert_eq!(bridge.remote_files(), [format!("file.txt.{kind}")]);
        assert_eq!((receipt.checksum, receipt.proof.is_some()), (Some(complete.checksum()), true));
        assert!(receipt.host_key_fingerprint.is_some());

        // A call that was killed between the two remembers nothing: it finds the file.
        std::fs::remove_file(&obstacle).unwrap();
        std::fs::write(bridge.partner.root.join("file.txt"), b"sent once").unwrap();
        let (receipt, _) = bridge.verify_all(&event, &credential, complete).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert_eq!(bridge.remote_files(), ["file.txt", &format!("file.txt.{kind}")]);
    }
}

/// Whichever packet it is that does not get through.
#[tokio::test]
async fn story_10_a_connection_cut_around_the_marker() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    bridge.set("SFTP_MARKER", "sha256");
    let event = bridge.put("file.txt", b"sent once".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
    let partial = bridge.partner.root.join(complete.route.upload_path());
    let before = proxy.bytes_up();
    bridge.verify_all(&event, &credential, complete.clone()).await.unwrap();
    let whole = proxy.bytes_up() - before;
    let mut published = 0;
    for cut in (whole.saturating_sub(1_500)..whole).step_by(60) {
        std::fs::rename(bridge.partner.root.join("file.txt"), &partial).unwrap();
        std::fs::remove_file(bridge.partner.root.join("file.txt.sha256")).unwrap();
        proxy.set(Fault::CutOnceAfter(cut)).await;
        let mut checkpoint = complete.clone();
        let receipt = loop {
            match bridge.verify_remote(&event, &credential, checkpoint.clone()).await {
                Ok(Progress::Receipt(receipt)) => break receipt,
                Ok(Progress::Checkpoint(more)) => checkpoint = *more,
                Err(error) => assert!(error.name.retryable(), "{cut}: {error}"),
            }
        };
        published += u32::from(bridge.remote("file.txt").is_some());
        assert_eq!(
            (receipt.outcome, receipt.marker.as_deref()),
            (Outcome::Delivered, Some("file.txt.sha256"))
        );
        assert_eq!(bridge.remote_files(), ["file.txt", "file.txt.sha256"], "cut after {cut} of {whole}");
        proxy.set(Fault::None).await;
    }
    assert!(published > 10, "{published}");
}

#[tokio::test]
async fn a_name_that_leaves_no_room_for_its_marker_is_refused_before_anything_is_sent() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_MARKER", "sha256");
    let event = bridge.put(&"x".repeat(249), b"x".to_vec()).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{error}");
    assert!(bridge.remote_files().is_empty());
    let event = bridge.put(&"x".repeat(248), b"x".to_vec()).await;
    bridge.deliver(&event).await.unwrap();
    assert_eq!(bridge.remote_files(), ["x".repeat(248), format!("{}.sha256", "x".repeat(248))]);
}

#[tokio::test]
async fn a_delivered_object_is_tagged_beside_the_tags_it_has() {
    for versioned in [false, true] {
        let mut bridge = Bridge::new().await;
        if versioned {
            bridge = bridge.versioned().await;
        }
        bridge.set("S3_AFTER_DELIVERY", "tag");
        let event = bridge.put("file.txt", b"x".to_vec()).await;
        bridge.set_tags("file.txt", &["cost-centre", "delivered-at"]).await;
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.after_delivery.as_deref(), receipt.warnings.len()), (Some("tagged"), 0));
        let tags = bridge.tags("file.txt").await;
        assert_eq!((tags.len(), tags[0].as_str()), (3, "cost-centre=v"), "{tags:?}");
        assert!(tags[1].starts_with("delivered-at=20") && tags[1].ends_with('Z'), "{tags:?}");
        assert_eq!(tags[2], format!("execution={}", receipt.execution_id));

        // A rerun, and a retry of the same execution, leave them.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(bridge.deliver(&event).await.unwrap().outcome, Outcome::AlreadyDelivered);
        assert_eq!(bridge.tags("file.txt").await, tags);

        // A newer upload between publishing and tagging is not what was delivered.
        let older = bridge.put("b.txt", b"older".to_vec()).await;
        let credential = bridge.fetch_key(&older).await.unwrap();
        let complete = bridge.transfer_all(&older, 0).await.unwrap().0.checkpoint().unwrap();
        let published = bridge.published(&older, &credential, complete).await;
        bridge.put("b.txt", b"newer".to_vec()).await;
        let (receipt, _) = bridge.verify_all(&older, &credential, published).await.unwrap();
        assert_eq!((receipt.outcome, receipt.warnings.len()), (Outcome::Delivered, usize::from(!versioned)));
        assert!(bridge.tags("b.txt").await.is_empty());

        let names: Vec<String> = (0..9).map(|number| format!("tag-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        bridge.set_tags("file.txt", &names).await;
        let receipt = bridge.deliver(&event).await.unwrap();
        assert!(receipt.warnings.len() == 1 && receipt.warnings[0].contains("9 tags"), "{receipt:?}");
        assert_eq!((receipt.after_delivery, bridge.tags("file.txt").await.len()), (None, 9));
    }
}

#[tokio::test]
async fn a_delivered_object_is_deleted_or_moved_and_no_other() {
    for versioned in [false, true] {
        for policy in ["delete", "move"] {
            let mut bridge = Bridge::new().await;
            if versioned {
                bridge = bridge.versioned().await;
            }
            bridge.set("S3_AFTER_DELIVERY", policy);
            bridge.set("S3_MOVE_PREFIX", "old/");
            bridge.set("SFTP_MARKER", "sha256");
            let name = "out/a b+c%2B ü.txt";
            let event = bridge.put(name, b"x".to_vec()).await;
            bridge.set_tags(name, &["kept"]).await;
            let receipt = bridge.deliver(&event).await.unwrap();
            assert_eq!((receipt.outcome, receipt.warnings.len()), (Outcome::Delivered, 0), "{receipt:?}");
            assert!(bridge.object(name).await.is_none());
            let moved = format!("old/{name}");
            if policy == "move" {
                assert_eq!(receipt.after_delivery, Some(format!("moved to {moved}")));
                assert_eq!(bridge.object(&moved).await.unwrap(), b"x");
                assert_eq!(bridge.tags(&moved).await, ["kept=v"]);
            } else {
                assert_eq!(receipt.after_delivery.as_deref(), Some("deleted"));
                assert!(bridge.object(&moved).await.is_none());
            }

            // A newer upload, between publishing and deleting, stays.
            let event = bridge.put("b.txt", b"older".to_vec()).await;
            let credential = bridge.fetch_key(&event).await.unwrap();
            let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
            let progress = bridge.verify_remote(&event, &credential, complete).await.unwrap();
            assert!(
                progress.clone().receipt().is_none(),
                "the document has to say first that it is published"
            );
            assert!(bridge.object("b.txt").await.is_some());
            bridge.put("b.txt", b"newer".to_vec()).await;
            let (receipt, _) =
                bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap();
            assert_eq!(receipt.outcome, Outcome::Delivered);
            assert_eq!(bridge.object("b.txt").await.unwrap(), b"newer", "{policy}, versioned: {versioned}");
        }
    }
}

/// Delivered and deleted, the newer version would leave the older one as the current one, to be delivered over it.
#[tokio::test]
async fn story_06_an_older_version_does_not_come_back_when_the_newer_one_is_taken_away() {
    for policy in ["delete", "move"] {
        let mut bridge = Bridge::new().await.versioned().await;
        bridge.set("S3_AFTER_DELIVERY", policy);
        bridge.set("S3_MOVE_PREFIX", "old/");
        let older = bridge.put("report.csv", b"older".to_vec()).await;
        let newer = bridge.put("report.csv", b"newer".to_vec()).await;
        bridge.put("report.csv.sig", b"another, whose key begins the same".to_vec()).await;
        let receipt = bridge.deliver(&newer).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert!(receipt.warnings[0].contains("older version"), "{receipt:?}");
        assert_eq!(bridge.deliver(&older).await.unwrap().outcome, Outcome::Superseded);
        assert_eq!(bridge.remote("report.csv").unwrap(), b"newer");
        assert!(bridge.object("old/report.csv").await.is_none());
    }
}

#[tokio::test]
async fn a_retry_or_a_rerun_after_the_object_was_taken_away() {
    for versioned in [false, true] {
        for policy in ["delete", "move"] {
            let mut bridge = Bridge::new().await;
            if versioned {
                bridge = bridge.versioned().await;
            }
            bridge.set("S3_AFTER_DELIVERY", policy);
            bridge.set("S3_MOVE_PREFIX", "old/");
            bridge.set("SFTP_MARKER", "done");
            let mut event = bridge.put("file.txt", b"once".to_vec()).await;
            let credential = bridge.fetch_key(&event).await.unwrap();
            let complete = bridge.transfer_all(&event, 0).await.unwrap().0.checkpoint().unwrap();
            let progress = bridge.verify_remote(&event, &credential, complete.clone()).await.unwrap();
            let published = progress.checkpoint().unwrap();
            // The answer of each call is lost, so each is made again; from before the publishing, too.
            for checkpoint in [&published, &published, &complete] {
                let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint.clone()).await.unwrap();
                assert_eq!((receipt.outcome, receipt.warnings.len()), (Outcome::Delivered, 0), "{receipt:?}");
                assert!(receipt.after_delivery.is_some());
            }

            // A duplicate of the event, which tells the size as real events do.
            event["detail"]["object"]["size"] = json!(4);
            let receipt = bridge.deliver(&event).await.unwrap();
            assert_eq!(receipt.outcome, Outcome::AlreadyDelivered);
            assert!(receipt.reason.unwrap().contains("S3_AFTER_DELIVERY"));
            assert_eq!(bridge.remote_files(), ["file.txt", "file.txt.done"]);

            // The partner has taken the file.
            std::fs::remove_file(bridge.partner.root.join("file.txt")).unwrap();
            let (_, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!(error.name, ErrorName::ObjectUnreadable);
            assert!(error.message().contains("does not exist"), "{error}");
            assert!(error.message().contains("S3_AFTER_DELIVERY takes objects away"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_duplicate_that_is_under_way_when_the_object_is_taken_away() {
    let mut bridge = Bridge::new().await;
    bridge.set("S3_AFTER_DELIVERY", "delete");
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let event = bridge.put("file.bin", bytes(4_000_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    proxy.set(Fault::RefuseAfter(3_000_000)).await;
    let half = bridge.transfer(&event, &credential, None, 0).await.unwrap().checkpoint();
    proxy.set(Fault::None).await;
    assert_eq!(bridge.deliver(&event).await.unwrap().after_delivery.as_deref(), Some("deleted"));
    let receipt = bridge.transfer(&event, &credential, half, 0).await.unwrap().receipt().unwrap();
    assert_eq!(receipt.outcome, Outcome::AlreadyDelivered);
    assert_eq!(bridge.remote_files(), ["file.bin"]);
}

#[tokio::test]
async fn a_large_object_is_moved_in_parts_with_its_metadata_and_tags() {
    for versioned in [false, true] {
        let mut bridge = Bridge::new().await;
        if versioned {
            bridge = bridge.versioned().await;
        }
        let s3 = bridge.aws.s3();
        let body = bytes(13_000_000);
        let request = s3.put_object().bucket(&bridge.bucket).key("big.bin").body(body.clone().into());
        let request = request.content_type("text/x-big").metadata("origin", "here").tagging("a%20b=c%26d");
        request.send().await.unwrap();
        let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "big.bin"}}});
        let object = bridge.pinned(&event).await;
        let copying = Copying { whole_max: 1, part: 5 << 20 };
        // The second time it is done already.
        for _ in 0..2 {
            move_to(&s3, &object, "old/big.bin", copying, Deadline::NEVER).await.unwrap();
        }
        assert!(bridge.object("big.bin").await.is_none());
        assert!(bridge.object("old/big.bin").await.unwrap() == body);
        assert_eq!(bridge.tags("old/big.bin").await, ["a b=c&d"]);
        let head = s3.head_object().bucket(&bridge.bucket).key("old/big.bin").send().await.unwrap();
        assert_eq!(head.content_type(), Some("text/x-big"));
        assert_eq!(head.metadata().unwrap()["origin"], "here");

        let late = Deadline::after(Duration::ZERO);
        let event = bridge.put("late.bin", body).await;
        let object = bridge.pinned(&event).await;
        let error = move_to(&s3, &object, "old/late.bin", copying, late).await.unwrap_err();
        assert!(error.why.contains("not enough time"), "{error:?}");
        assert!(bridge.object("late.bin").await.is_some() && bridge.object("old/late.bin").await.is_none());
        let uploads = s3.list_multipart_uploads().bucket(&bridge.bucket).send().await.unwrap();
        assert!(uploads.uploads().is_empty(), "nothing is left of it");
    }
}

/// Looks like a failed delivery but is not one: the partner has the file, and only the bookkeeping is missing.
#[tokio::test]
async fn the_upload_was_fine_and_the_bookkeeping_failed() {
    for (busy, policy, requests) in [(false, "delete", 1..=1), (true, "delete", 4..=9), (false, "tag", 0..=1)]
    {
        let mut bridge = Bridge::new().await;
        let source = ObjectSource::start().unwrap();
        source.put_with_checksum(&format!("{}/file.txt", bridge.bucket), Body::Bytes(b"x".to_vec())).unwrap();
        source.quirks(SourceQuirks { busy, ..SourceQuirks::default() });
        bridge.source = Some(source);
        bridge.set("S3_AFTER_DELIVERY", policy);
        bridge.set("SFTP_MARKER", "done");
        let event = json!({"detail": {"bucket": {"name": bridge.bucket}, "object": {"key": "file.txt"}}});
        let receipt = bridge.deliver(&event).await.unwrap();
        assert_eq!((receipt.outcome, receipt.after_delivery), (Outcome::Delivered, None));
        assert!(receipt.warnings.len() == 1, "{:?}", receipt.warnings);
        assert!(receipt.warnings[0].contains("S3_AFTER_DELIVERY: the file is delivered"));
        assert_eq!(bridge.remote_files(), ["file.txt", "file.txt.done"]);
        let changes = bridge.source.as_ref().unwrap().changes();
        assert!(requests.contains(&changes.len()), "{policy}, busy: {busy}: {changes:?}");
    }
}
