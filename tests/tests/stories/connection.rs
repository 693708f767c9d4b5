//! Stories 9 to 18: the connection.

use std::time::{Duration, Instant};

use bridge::{ErrorName, Outcome, Phase};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::support::{Bridge, bytes, unique};

#[tokio::test]
async fn story_09_the_host_key_changed_unknown_or_second_of_two() {
    let mut bridge = Bridge::new().await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let old = bridge.partner.host_key.public.clone();

    bridge.partner.change_host_key().await.unwrap();
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::HostKeyMismatch));
    let presented = fingerprint(&bridge.partner.host_key);
    assert!(error.message().contains(&presented), "prints what was presented: {error}");

    let other = KeyPair::ed25519().unwrap();
    bridge.set("SFTP_TRUSTED_HOST_KEYS", other.public);
    assert_eq!(bridge.deliver(&event).await.unwrap_err().1.name, ErrorName::HostKeyMismatch);
    assert!(bridge.remote_files().is_empty());

    bridge.set("SFTP_TRUSTED_HOST_KEYS", format!("{old},{presented}"));
    let receipt = bridge.deliver(&event).await.unwrap();
    assert_eq!(receipt.host_key_fingerprint.as_deref(), Some(presented.as_str()));
}

#[tokio::test]
async fn story_09_a_pinned_ed25519_key_is_asked_for_although_the_server_has_others() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("this test needs OpenSSH's server, which is not available here");
    };
    let rsa = tempfile::tempdir().unwrap();
    let rsa_key = rsa.path().join("rsa");
    std::fs::write(&rsa_key, KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap().private)
        .unwrap();
    std::fs::set_permissions(&rsa_key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = format!("HostKey {}\n", rsa_key.display());
    let partner = Partner::open_ssh(sshd, Options { settings, ..Options::default() }).await.unwrap();
    Bridge::to(partner).await.delivers("file.txt", b"x").await;
}

fn fingerprint(key: &KeyPair) -> String {
    bridge::TrustedHostKey::parse(&key.public).unwrap().to_string()
}

async fn through_proxy(versioned: bool) -> (Bridge, FaultProxy) {
    let mut bridge = Bridge::new().await;
    if versioned {
        bridge = bridge.versioned().await;
    }
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    (bridge, proxy)
}

#[tokio::test]
async fn story_10_a_connection_cut_in_the_middle_resumes() {
    for versioned in [false, true] {
        let (bridge, proxy) = through_proxy(versioned).await;
        let body = bytes(8_000_000);
        let event = bridge.put("cut.bin", body.clone()).await;
        proxy.set(Fault::CutOnceAfter(4_000_000)).await;

        let (progress, calls) = bridge.transfer_all(&event, 0).await.unwrap();
        let checkpoint = progress.checkpoint().unwrap();
        assert_eq!((calls, checkpoint.report.resumes, proxy.connections()), (1, 1, 2));
        let sent_again = checkpoint.report.bytes_sent - 8_000_000;
        // 4,000,000 would be everything. A busy machine looks distant, and then 2 MiB are in flight.
        assert!(sent_again < 3_000_000, "only what was in flight is sent again: {sent_again}");
        assert!(bridge.remote("cut.bin").is_none());
        let credential = bridge.fetch_key(&event).await.unwrap();
        let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
        assert_eq!((receipt.outcome, receipt.resumes), (Outcome::Delivered, 1));
        assert!(bridge.remote("cut.bin").unwrap() == body);
        bridge.assert_no_partial_files();
    }
}

#[tokio::test]
async fn story_10_a_server_that_stays_away_leaves_a_checkpoint() {
    for versioned in [false, true] {
        let (bridge, proxy) = through_proxy(versioned).await;
        let body = bytes(8_000_000);
        let event = bridge.put("cut.bin", body.clone()).await;
        proxy.set(Fault::RefuseAfter(4_000_000)).await;

        let credential = bridge.fetch_key(&event).await.unwrap();
        let progress = bridge.transfer(&event, &credential, None, 0).await.unwrap();
        let checkpoint = progress.checkpoint().unwrap();
        assert_eq!(checkpoint.phase, Phase::Sending, "progress was made, so it is no error");
        assert!(
            checkpoint.sent.offset > 1_000_000 && checkpoint.sent.offset < 4_000_000,
            "{}",
            checkpoint.sent.offset
        );
        assert!(bridge.remote("cut.bin").is_none());

        proxy.set(Fault::None).await;
        let before = proxy.bytes_up();
        let progress = bridge.transfer(&event, &credential, Some(checkpoint.clone()), 0).await.unwrap();
        let sent = proxy.bytes_up() - before;
        assert!(sent < 8_000_000 - checkpoint.sent.offset + 200_000, "only the rest is sent: {sent}");
        let (receipt, _) =
            bridge.verify_all(&event, &credential, progress.checkpoint().unwrap()).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered);
        assert!(bridge.remote("cut.bin").unwrap() == body);
        bridge.assert_no_partial_files();
    }
}

#[tokio::test]
async fn story_12_silence_is_noticed() {
    let mut bridge = Bridge::new().await;
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    bridge.options.keepalive_interval = Duration::from_millis(200);
    bridge.options.connect_timeout = Duration::from_secs(1);
    let event = bridge.put("silent.bin", bytes(4_000_000)).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    proxy.set(Fault::SwallowAfter(2_000_000)).await;
    let started = Instant::now();
    let progress = bridge.transfer(&event, &credential, None, 0).await.unwrap();
    assert_eq!(progress.checkpoint().unwrap().phase, Phase::Sending);
    // Four keepalives, then as many tries to connect again as there are, each of which hears nothing.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn story_13_a_server_that_cannot_be_reached_says_where() {
    let mut bridge = Bridge::new().await;
    bridge.options.connect_timeout = Duration::from_secs(1);
    let event = bridge.put("file.txt", b"x".to_vec()).await;

    let accepts = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let accepts_port = accepts.local_addr().unwrap().port();
    let greets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let greets_port = greets.local_addr().unwrap().port();
    let greeting = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            let (mut stream, _) = greets.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-stalls\r\n").await.unwrap();
            held.push(stream);
        }
    });
    let refused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();

    for (host, port, step) in [
        ("127.0.0.1", accepts_port, "key exchange"),
        ("127.0.0.1", greets_port, "key exchange"),
        ("127.0.0.1", refused, "TCP"),
        ("no-such-host.invalid", 22, "looking up"),
    ] {
        bridge.set("SFTP_HOST", host);
        bridge.set("SFTP_PORT", port.to_string());
        let started = Instant::now();
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::ConnectFailed), "{error}");
        assert!(error.message().contains(step) && error.message().contains(host), "{step}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    greeting.abort();
}

#[tokio::test]
async fn story_17_kinds_and_encodings_of_private_keys() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("this test needs OpenSSH's server, which is not available here");
    };
    for (kind, encoding, passphrase) in [
        (Kind::Ed25519, Encoding::OpenSsh, "correct horse"),
        (Kind::Ecdsa, Encoding::OpenSsh, ""),
        (Kind::Ecdsa, Encoding::Pem, ""),
        (Kind::Ecdsa, Encoding::Pem, "correct horse"),
        (Kind::Ecdsa, Encoding::Pkcs8, ""),
        (Kind::EcdsaOf(384), Encoding::OpenSsh, ""),
        (Kind::EcdsaOf(521), Encoding::Pkcs8, "correct horse"),
        (Kind::Rsa(4096), Encoding::OpenSsh, "correct horse"),
        (Kind::Rsa(2048), Encoding::Pem, ""),
        (Kind::Rsa(2048), Encoding::Pem, "correct horse"),
        (Kind::Rsa(2048), Encoding::Pkcs8, ""),
        (Kind::Rsa(2048), Encoding::Pkcs8, "correct horse"),
    ] {
        let key = KeyPair::generate(kind, encoding, passphrase).unwrap();
        let options = Options { client_key: Some(key.clone()), ..Options::default() };
        let mut bridge = Bridge::to(Partner::open_ssh(sshd.clone(), options).await.unwrap()).await;
        let secret =
            json!({"Username": bridge.partner.user, "PrivateKey": key.private, "Passphrase": passphrase});
        let name = unique("secret");
        bridge.aws.create_secret(&name, &secret.to_string()).await.unwrap();
        bridge.set("SFTP_SECRET_ID", name);
        eprintln!("{kind:?} {encoding:?} {passphrase:?}");
        bridge.delivers("file.txt", b"x").await;
    }
}

#[tokio::test]
async fn story_17_a_wrong_key_is_rejected_after_one_attempt() {
    let mut bridge = Bridge::new().await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let is_open_ssh = bridge.partner.kind() == "OpenSSH";
    let mut attempts = 0;
    // An RSA key could be tried with each of three hashes; `legacy` offers all of them.
    for (kind, algorithms) in
        [(Kind::Rsa(2048), "modern"), (Kind::Rsa(2048), "legacy"), (Kind::Ecdsa, "modern")]
    {
        let wrong = KeyPair::generate(kind, Encoding::OpenSsh, "").unwrap();
        let value = json!({"Username": bridge.partner.user, "PrivateKey": wrong.private});
        bridge.set_secret(value).await;
        bridge.set("SFTP_ALGORITHMS", algorithms);
        let (state, error) = bridge.deliver(&event).await.unwrap_err();
        assert_eq!((state, error.name), ("Transfer", ErrorName::AuthenticationRejected));
        assert!(
            error.message().contains(&fingerprint(&wrong)) && error.message().contains("publickey"),
            "{error}"
        );
        attempts += 1;
        if is_open_ssh {
            let log = bridge.partner.log();
            assert_eq!(log.matches("Failed publickey").count(), attempts, "{kind:?} {algorithms}:\n{log}");
        }
    }
}
