//! The harness itself: every server starts, does what it says, and is gone afterwards.

use std::process::Command;

use integration_tests::embedded::Quirks;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::ministack;
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};

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
        skip("OpenSSH as a partner: its server is neither installed nor to be had");
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
