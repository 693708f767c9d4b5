//! Stories 19 to 27: the server.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bridge::{ErrorName, Outcome, Proof};
use integration_tests::embedded::{Quirks, Reading};
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};

use crate::support::{Bridge, bytes, execution};

async fn quirky(quirks: Quirks) -> Bridge {
    Bridge::to(Partner::embedded(quirks).await.unwrap()).await
}

#[tokio::test]
async fn story_21_a_full_disk_is_a_failure_and_never_a_success() {
    let bridge = quirky(Quirks { capacity: Some(100_000), ..Quirks::default() }).await;
    let event = bridge.put("big.bin", bytes(300_000)).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::RemoteFull), "{error}");
    assert!(error.message().contains("No space left"), "keeps the server's message: {error}");
    assert!(bridge.remote("big.bin").is_none());
}

/// OpenSSH says no more than `Failure`; the bridge asks it how much room there is.
#[tokio::test]
async fn story_21_a_full_disk_behind_openssh() {
    let bridge = Bridge::new().await;
    if bridge.partner.kind() != "OpenSSH" || !tools::is_root().await {
        return skip("a full disk behind OpenSSH: it needs OpenSSH, and root to mount a small one");
    }
    let root = bridge.partner.root.clone();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&root).status();
    if !mount.is_ok_and(|status| status.success()) {
        return skip("a full disk behind OpenSSH: no tmpfs can be mounted here");
    }
    let event = bridge.put("big.bin", bytes(3_000_000)).await;
    let failed = bridge.deliver(&event).await.unwrap_err();
    let published = bridge.remote("big.bin");
    assert!(Command::new("umount").arg("-l").arg(&root).status().unwrap().success());
    assert_eq!((failed.0, failed.1.name), ("Transfer", ErrorName::RemoteFull), "{}", failed.1);
    assert!(published.is_none());
}

#[tokio::test]
async fn a_read_only_directory_is_a_rejected_path() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("kinds of keys and settings of OpenSSH: it is not available here");
    };
    let settings = "ForceCommand internal-sftp -R -d FOLDER/files\n".into();
    let partner = Partner::open_ssh(sshd, Options { settings, ..Options::default() }).await.unwrap();
    let bridge = Bridge::to(partner).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::RemotePathRejected), "{error}");
    assert!(error.message().contains("PERMISSION_DENIED") && error.message().contains("file.txt"), "{error}");
}

#[tokio::test]
async fn a_file_where_a_directory_is_needed_is_a_rejected_path() {
    let bridge = Bridge::new().await;
    std::fs::write(bridge.partner.root.join("in"), "a file").unwrap();
    let event = bridge.put("in/file.txt", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    // OpenSSH answers NO_SUCH_FILE or FAILURE to the open; the directory's name says it best.
    assert_eq!(error.name, ErrorName::RemotePathRejected, "{error}");
}

#[tokio::test]
async fn story_22_an_existing_name_is_replaced_with_and_without_posix_rename() {
    for no_posix_rename in [false, true] {
        let bridge = quirky(Quirks { no_posix_rename, ..Quirks::default() }).await;
        std::fs::write(bridge.partner.root.join("report.csv"), "yesterday's, which is longer").unwrap();
        let receipt = bridge.delivers("report.csv", b"today's").await;
        assert_eq!(receipt.warnings.len(), usize::from(no_posix_rename), "{:?}", receipt.warnings);
    }
}

#[tokio::test]
async fn story_24_a_write_only_directory() {
    let mut bridge = quirky(Quirks { write_only: true, ..Quirks::default() }).await;
    let receipt = bridge.delivers("dropped.bin", &bytes(200_000)).await;
    assert_eq!(receipt.proof, Some(Proof::Unverified));
    assert!(!receipt.warnings.is_empty(), "the receipt says what could not be proved");

    bridge.set("SFTP_PROOF", "none");
    assert_eq!(bridge.delivers("taken-on-trust", b"x").await.proof, Some(Proof::Unverified));

    // A proof that is demanded is never silently less.
    for (proof, refused_in) in [("hash", "Transfer"), ("read-back", "VerifyRemote"), ("size", "VerifyRemote")]
    {
        bridge.set("SFTP_PROOF", proof);
        let event = bridge.put(proof, b"x".to_vec()).await;
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), (refused_in, ErrorName::InvalidConfig), "{error}");
        assert!(bridge.remote(proof).is_none(), "{proof}");
    }
}

/// The server tells the size, and lets nothing be read.
#[tokio::test]
async fn story_24_a_directory_that_can_be_seen_and_not_read() {
    for reading in [Reading::NotOpened, Reading::NothingRead] {
        let mut bridge = quirky(Quirks { reading, ..Quirks::default() }).await;
        let receipt = bridge.delivers("seen.bin", &bytes(200_000)).await;
        assert_eq!(receipt.proof, Some(Proof::Size));
        let [warning] = &receipt.warnings[..] else { panic!("{:?}", receipt.warnings) };
        assert!(warning.contains("reading is not allowed"), "says why it is not more: {warning}");

        bridge.set("SFTP_PROOF", "read-back");
        let event = bridge.put("demanded.bin", b"x".to_vec()).await;
        let (state, error) = bridge.deliver_as(&execution(), &event).await.unwrap_err();
        assert_eq!((state, error.name), ("VerifyRemote", ErrorName::InvalidConfig), "{error}");
        assert!(error.message().contains("reading is not allowed"), "{error}");
        assert!(bridge.remote("demanded.bin").is_none(), "nothing is published");

        // Once no more is demanded, a redrive publishes it.
        bridge.set("SFTP_PROOF", "auto");
        bridge.deliver_as(&execution(), &event).await.unwrap();
        assert_eq!(bridge.remote_files(), ["demanded.bin", "seen.bin"]);
        let receipt = bridge.delivers("seen.bin", &bytes(200_000)).await;
        assert_eq!((receipt.proof, receipt.warnings.len()), (Some(Proof::Size), 1));
    }
}

#[tokio::test]
async fn the_server_hashes_where_it_can() {
    let mut bridge = quirky(Quirks { check_file: true, ..Quirks::default() }).await;
    let receipt = bridge.delivers("hashed.bin", &bytes(500_000)).await;
    assert_eq!(receipt.proof, Some(Proof::ServerHash));
    bridge.set("SFTP_PROOF", "hash");
    assert_eq!(bridge.delivers("demanded.bin", &bytes(500_000)).await.proof, Some(Proof::ServerHash));
    bridge.set("SFTP_PROOF", "size");
    assert_eq!(bridge.delivers("size.bin", b"x").await.proof, Some(Proof::Size));
}

#[tokio::test]
async fn story_25_two_executions_make_the_same_directory_at_once() {
    let bridge = Bridge::new().await;
    let one = bridge.put("new/deep/one.txt", b"1".to_vec()).await;
    let two = bridge.put("new/deep/two.txt", b"2".to_vec()).await;
    let (one, two) = tokio::join!(bridge.deliver(&one), bridge.deliver(&two));
    assert_eq!((one.unwrap().outcome, two.unwrap().outcome), (Outcome::Delivered, Outcome::Delivered));
    assert_eq!(bridge.remote_files(), ["new/deep/one.txt", "new/deep/two.txt"]);
}

#[tokio::test]
async fn story_26_a_file_that_was_altered_is_never_published() {
    for check_file in [false, true] {
        let bridge = quirky(Quirks { check_file, ..Quirks::default() }).await;
        let event = bridge.put("altered.bin", bytes(400_000)).await;
        let credential = bridge.fetch_key(&event).await.unwrap();
        for damage in
            [|content: &mut Vec<u8>| content.truncate(399_999), |content: &mut Vec<u8>| content[200_000] ^= 1]
        {
            let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
            let checkpoint = progress.checkpoint().unwrap();
            let partial = bridge.partner.root.join(checkpoint.route.upload_path());
            let mut content = std::fs::read(&partial).unwrap();
            damage(&mut content);
            std::fs::write(&partial, content).unwrap();
            let error = bridge.verify_all(&event, &credential, checkpoint).await.unwrap_err();
            assert_eq!(error.name, ErrorName::RemoteMismatch, "{error}");
            assert!(bridge.remote_files().is_empty(), "neither published nor left behind");
        }
    }
}

#[tokio::test]
async fn story_26_bytes_that_are_not_what_s3_stored_are_never_published() {
    let bridge = Bridge::new().await;
    let event = bridge.put("source.bin", bytes(100_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let (progress, _) = bridge.transfer_all(&event, 0).await.unwrap();
    let mut checkpoint = progress.checkpoint().unwrap();
    let stored = checkpoint.object.checksum.as_mut().expect("the local S3 keeps the uploader's checksum");
    stored.value = "AAAAAA==".into();
    let error = bridge.verify_all(&event, &credential, checkpoint).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteMismatch, "{error}");
    assert!(bridge.remote_files().is_empty());
}

/// A reader lists the directory again and again, and reads what is in it but hidden files.
async fn a_reader_sees_whole_files_only(bridge: Bridge) {
    let folder = bridge.partner.root.clone();
    let bodies: Vec<Vec<u8>> = (1..=4_usize).map(|round| bytes(round * 1_500_000)).collect();
    let over = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (over, bodies) = (Arc::clone(&over), bodies.clone());
        move || {
            let (mut seen, mut hidden) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(&folder).unwrap().flatten() {
                    let name = entry.file_name().into_string().unwrap();
                    if name.starts_with('.') {
                        hidden += 1;
                        continue;
                    }
                    // It may have been renamed onto since it was listed: what is opened is one or the other.
                    if let Ok(content) = std::fs::read(entry.path()) {
                        assert!(
                            bodies.contains(&content),
                            "{name}: a part of {} bytes was seen",
                            content.len()
                        );
                        seen += 1;
                    }
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            (seen, hidden)
        }
    });
    for body in &bodies {
        bridge.delivers("polled.bin", body).await;
    }
    over.store(true, Ordering::Relaxed);
    let (seen, hidden) = reader.join().unwrap();
    assert!(seen > 0 && hidden > 0, "it looked while files were sent: {seen} {hidden}");
}

#[tokio::test]
async fn story_27_a_reader_never_sees_a_part() {
    for no_posix_rename in [false, true] {
        a_reader_sees_whole_files_only(quirky(Quirks { no_posix_rename, ..Quirks::default() }).await).await;
    }
}

#[tokio::test]
async fn story_27_a_reader_never_sees_a_part_behind_openssh() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("reading while OpenSSH writes: it is not available here");
    };
    let partner = Partner::open_ssh(sshd, Options::default()).await.unwrap();
    a_reader_sees_whole_files_only(Bridge::to(partner).await).await;
}
