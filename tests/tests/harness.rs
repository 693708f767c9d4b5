//! The harness itself: every server starts, does what it says, and is gone afterwards.

use std::process::Command;
use std::time::{Duration, Instant};

use aws_sdk_s3::types::{ChecksumMode, ChecksumType, EncodingType};
use integration_tests::embedded::Quirks;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::ministack;
use integration_tests::object_source::{Body, Claim, ObjectSource, Pace, Quirks as SourceQuirks};
use integration_tests::partner::{Options, Partner};
use integration_tests::{pattern, skip, tools};

/// Runs OpenSSH's own `sftp` with a batch of commands; what it printed if it succeeded.
async fn sftp(partner: &Partner, batch: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let key = write("key", &partner.client_key.private);
    Command::new("chmod").args(["600", &key]).status().unwrap();
    let known = format!("[127.0.0.1]:{} {}\n", partner.port, partner.host_key.public);
    let mut sftp = tokio::process::Command::new("sftp");
    sftp.args(["-F", "none", "-i", &key, "-b", &write("batch", batch), "-P", &partner.port.to_string()]);
    sftp.args(["-o", "IdentitiesOnly=yes", "-o", "PasswordAuthentication=no"]);
    sftp.arg("-o").arg(format!("UserKnownHostsFile={}", write("known", &known)));
    let output = sftp.arg(format!("{}@127.0.0.1", partner.user)).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

async fn serves_stops_and_returns(mut partner: Partner) {
    std::fs::write(partner.root.join("already there"), "hello").unwrap();
    let upload = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(upload.path(), vec![7; 300_000]).unwrap();
    let batch = format!(
        "mkdir in\nput {} in/partial\nrename in/partial in/final\nls -la in\nget in/final /dev/null\n",
        upload.path().display()
    );
    let listing = sftp(&partner, &batch).await.unwrap();
    assert!(listing.contains("final"), "{listing}");
    assert_eq!(std::fs::read(partner.root.join("in/final")).unwrap(), vec![7; 300_000]);

    partner.stop();
    assert!(sftp(&partner, "ls\n").await.is_err());
    partner.start_again().await.unwrap();
    sftp(&partner, "ls\n").await.unwrap();

    let trusted = partner.host_key.clone();
    partner.change_host_key().await.unwrap();
    let changed = std::mem::replace(&mut partner.host_key, trusted);
    let refused = sftp(&partner, "ls\n").await.unwrap_err();
    assert!(refused.contains("Host key verification failed"), "{refused}");
    partner.host_key = changed;
    partner.client_key = KeyPair::ed25519().unwrap();
    assert!(sftp(&partner, "ls\n").await.unwrap_err().contains("Permission denied"));
}

#[tokio::test]
async fn the_openssh_partner_serves_stops_and_returns() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        skip("OpenSSH as a partner: its server is neither installed nor available");
        return;
    };
    serves_stops_and_returns(Partner::open_ssh(sshd, Options::default()).await.unwrap()).await;
}

#[tokio::test]
async fn the_embedded_partner_serves_stops_and_returns() {
    serves_stops_and_returns(Partner::embedded(Quirks::default()).await.unwrap()).await;
}

#[tokio::test]
async fn a_partner_may_have_another_kind_of_key() {
    let Some(sshd) = tools::sshd().await.unwrap() else { return };
    let client_key = KeyPair::generate(Kind::Rsa(3072), Encoding::OpenSsh, "").unwrap();
    let options = Options { host_key: Kind::Ecdsa, client_key: Some(client_key), ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    sftp(&partner, "ls\n").await.unwrap();
}

#[test]
fn keys_come_in_every_encoding() {
    for (kind, encoding, passphrase, header) in [
        (Kind::Ed25519, Encoding::OpenSsh, "", "BEGIN OPENSSH PRIVATE KEY"),
        (Kind::Ed25519, Encoding::OpenSsh, "secret", "BEGIN OPENSSH PRIVATE KEY"),
        (Kind::Rsa(2048), Encoding::Pem, "", "BEGIN RSA PRIVATE KEY"),
        (Kind::Rsa(2048), Encoding::Pkcs8, "", "BEGIN PRIVATE KEY"),
        (Kind::Rsa(2048), Encoding::Pkcs8, "secret", "BEGIN ENCRYPTED PRIVATE KEY"),
        (Kind::Ecdsa, Encoding::Pem, "", "BEGIN EC PRIVATE KEY"),
    ] {
        let pair = KeyPair::generate(kind, encoding, passphrase).unwrap();
        assert!(pair.private.contains(header), "{kind:?} {encoding:?}: {}", pair.private);
    }
}

#[tokio::test]
async fn ministack_runs_and_forgets() {
    let stack = ministack::shared().await;
    let s3 = stack.s3();
    s3.create_bucket().bucket("harness").send().await.unwrap();
    s3.put_object().bucket("harness").key("k").body(vec![1, 2, 3].into()).send().await.unwrap();
    let object = s3.get_object().bucket("harness").key("k").send().await.unwrap();
    assert_eq!(object.body.collect().await.unwrap().to_vec(), [1, 2, 3]);
    let arn = stack.create_secret("harness", "value").await.unwrap();
    assert!(arn.contains(ministack::REGION), "{arn}");
    assert!(stack.sfn().list_state_machines().send().await.unwrap().state_machines.is_empty());
}

#[tokio::test]
async fn the_object_source_reads_like_s3() {
    let source = ObjectSource::start().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    pattern::write(file.as_file(), 700_001).unwrap();
    source.put("b/plain", Body::Bytes(pattern::bytes(0, 700_001))).unwrap();
    source.put("b/file", Body::File(file.path().into())).unwrap();
    source.put_with_checksum("b/d\u{e4}r & <d\u{e4}r>/noise", Body::Pattern(700_001)).unwrap();
    let s3 = source.s3();

    for key in ["plain", "file", "d\u{e4}r & <d\u{e4}r>/noise"] {
        let head =
            s3.head_object().bucket("b").key(key).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        assert_eq!(head.content_length(), Some(700_001));
        assert_eq!(head.last_modified().unwrap().secs(), 1_767_225_600);
        let etag = head.e_tag().unwrap();
        // The SDK proves the body against the checksum if there is one.
        let get = || s3.get_object().bucket("b").key(key).checksum_mode(ChecksumMode::Enabled);
        let whole = get().if_match(etag).send().await.unwrap().body.collect().await.unwrap().to_vec();
        assert!(pattern::difference(&whole[..], 700_001).unwrap().is_none(), "{key}");
        for (range, offset, length) in
            [("bytes=5-4100", 5, 4096), ("bytes=300000-", 300_000, 400_001), ("bytes=-7", 699_994, 7)]
        {
            let part = get().range(range).send().await.unwrap();
            let expected = format!("bytes {offset}-{}/700001", offset + length - 1);
            assert_eq!(part.content_range(), Some(expected.as_str()));
            assert_eq!(part.checksum_crc64_nvme(), None);
            let part = part.body.collect().await.unwrap().to_vec();
            assert!(part == pattern::bytes(offset as u64, length), "{key} {range}");
        }
        let status = |error: aws_sdk_s3::error::SdkError<_>| error.raw_response().unwrap().status().as_u16();
        assert_eq!(get().if_match("\"other\"").send().await.map_err(status).unwrap_err(), 412);
        assert_eq!(get().range("bytes=700001-").send().await.map_err(status).unwrap_err(), 416);
    }
    let head = s3.head_object().bucket("b").key("d\u{e4}r & <d\u{e4}r>/noise");
    let checksum = head.checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    assert_eq!(checksum.checksum_type(), Some(&ChecksumType::FullObject));
    let missing = s3.get_object().bucket("b").key("none").send().await.unwrap_err();
    assert!(missing.as_service_error().unwrap().is_no_such_key());
    assert!(source.requests() > 20 && source.bytes() > 2_000_000);
}

#[tokio::test]
async fn the_object_source_lists_page_by_page() {
    let source = ObjectSource::start().unwrap();
    for number in 0..25 {
        source.put(&format!("b/in/{number:02} & <more>"), Body::Bytes(vec![0; number])).unwrap();
    }
    for name in ["b/in/sub/1", "b/in/sub/2", "b/other", "c/in/no"] {
        source.put(name, Body::Pattern(1)).unwrap();
    }
    let s3 = source.s3();
    for encoding in [None, Some(EncodingType::Url)] {
        let list = s3.list_objects_v2().bucket("b").prefix("in/").max_keys(10).set_encoding_type(encoding);
        let mut pages = list.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            found.push(page.unwrap().contents.unwrap_or_default());
        }
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 7]);
        assert_eq!(found[1][2].size(), Some(12));
    }
    let list =
        s3.list_objects_v2().bucket("b").prefix("in/").delimiter("/").max_keys(26).send().await.unwrap();
    assert_eq!((list.contents().len(), list.common_prefixes()[0].prefix()), (25, Some("in/sub/")));
    assert_eq!(list.contents()[3].key(), Some("in/03 & <more>"));
    assert_eq!(list.is_truncated(), Some(false));
}

#[tokio::test]
async fn the_object_source_can_be_as_slow_as_s3() {
    let source = ObjectSource::start().unwrap();
    source.put("b/k", Body::Pattern(1_000_000)).unwrap();
    source.pace(Pace { first_byte_delay: Duration::from_millis(50), bytes_per_second: Some(10_000_000) });
    let s3 = source.s3();
    let get = || async { s3.get_object().bucket("b").key("k").send().await.unwrap().body.collect().await };
    let start = Instant::now();
    let (one, two) = tokio::join!(get(), get());
    assert_eq!(one.unwrap().to_vec().len() + two.unwrap().to_vec().len(), 2_000_000);
    assert!(start.elapsed() >= Duration::from_millis(150), "{:?}", start.elapsed());
    assert_eq!(source.bodies_max(), 2);
}

#[tokio::test]
async fn the_object_source_can_be_odd() {
    let source = ObjectSource::start().unwrap();
    source.put("b/k", Body::Pattern(100_000)).unwrap();
    source.put_claiming("b/md5", Body::Pattern(9), Claim::Md5("0123".into())).unwrap();
    source.put_claiming("b/sha256", Body::Pattern(9), Claim::Sha256("AAAA".into())).unwrap();
    let s3 = source.s3();
    let head = |key| s3.head_object().bucket("b").key(key).checksum_mode(ChecksumMode::Enabled).send();
    assert_eq!(head("md5").await.unwrap().e_tag(), Some("\"0123\""));
    assert_eq!(head("sha256").await.unwrap().checksum_sha256(), Some("AAAA"));

    source.quirks(SourceQuirks { break_after: Some(1_000), no_ranges: true, ..SourceQuirks::default() });
    let whole = s3.get_object().bucket("b").key("k").range("bytes=50000-").send().await.unwrap();
    assert_eq!((whole.content_length(), whole.content_range()), (Some(100_000), None));
    assert!(whole.body.collect().await.is_err(), "it breaks off");
    assert_eq!((source.asked().first(), source.bytes()), (Some(&(0..100_000)), 1_000));
}
