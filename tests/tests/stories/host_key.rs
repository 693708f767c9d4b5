//! Story 9: which host keys are trusted, and how the right one is found.

use std::fmt::Write as _;
use std::sync::Arc;

use bridge::{ErrorName, TrustedHostKeys};
use integration_tests::fault_proxy::FaultProxy;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::{cli, skip, tools};
use serde_json::Value;
use sftp::Session;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::Bridge;

/// OpenSSH with these host keys beside its Ed25519 one, and more settings.
async fn with_keys(keys: &[KeyPair], settings: &str) -> Option<(Bridge, TempDir)> {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        skip("kinds of keys and settings of OpenSSH: it is not available here");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut text = settings.to_owned();
    for (index, key) in keys.iter().enumerate() {
        let path = folder.path().join(index.to_string());
        key.write_private(&path).unwrap();
        writeln!(text, "HostKey {}", path.display()).unwrap();
    }
    let options = Options { settings: text, ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    Some((Bridge::to(partner).await, folder))
}

fn rsa_and_ecdsa() -> [KeyPair; 2] {
    [Kind::Rsa(2048), Kind::Ecdsa].map(|kind| KeyPair::generate(kind, Encoding::OpenSsh, "").unwrap())
}

#[tokio::test]
async fn story_09_a_fingerprint_is_found_among_all_the_servers_keys() {
    let [rsa, ecdsa] = rsa_and_ecdsa();
    let Some((mut bridge, _keys)) = with_keys(&[rsa.clone(), ecdsa.clone()], "").await else { return };
    let proxy = FaultProxy::start(bridge.partner.port).await.unwrap();
    bridge.set("SFTP_PORT", proxy.port.to_string());
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();

    for (key, connections) in [(&ecdsa, 2), (&rsa, 3)] {
        let fingerprint = key.fingerprint().unwrap();
        bridge.set("SFTP_TRUSTED_HOST_KEYS", &fingerprint);
        for connections in [connections, 1] {
            let before = proxy.connections();
            let partner = bridge.reached();
            let presented = async |session: &Arc<Session>| Ok(session.host_key_fingerprint().to_owned());
            let presented = partner.with_session(&credential, None, presented).await.unwrap();
            partner.disconnect().await;
            assert_eq!(presented, fingerprint);
            assert_eq!(proxy.connections() - before, connections, "what was learnt is not asked for again");
        }
    }

    let unknown = KeyPair::ed25519().unwrap().fingerprint().unwrap();
    bridge.set("SFTP_TRUSTED_HOST_KEYS", &unknown);
    let before = proxy.connections();
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::HostKeyMismatch);
    assert_eq!(proxy.connections() - before, 4, "one for each key, and one that finds no more");
    for key in [&bridge.partner.host_key, &rsa, &ecdsa] {
        assert!(error.message().contains(&key.fingerprint().unwrap()), "{error}");
    }
    assert!(error.message().contains(&unknown), "{error}");
}

#[tokio::test]
async fn story_09_a_pinned_key_of_another_type_is_found_behind_a_changed_one() {
    let [rsa, ecdsa] = rsa_and_ecdsa();
    let Some((mut bridge, _keys)) = with_keys(&[rsa.clone(), ecdsa.clone()], "").await else { return };
    let changed = KeyPair::ed25519().unwrap();
    bridge.set("SFTP_TRUSTED_HOST_KEYS", format!("{}\n{}", changed.public, rsa.public));
    let receipt = bridge.delivers("file.txt", b"x").await;
    assert_eq!(receipt.host_key_fingerprint, Some(rsa.fingerprint().unwrap()));

    bridge.set("SFTP_TRUSTED_HOST_KEYS", &changed.public);
    let event = bridge.put("file.txt", b"y".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::HostKeyMismatch);
    assert!(!error.message().contains(&rsa.fingerprint().unwrap()), "of no use to ask further: {error}");
}

#[tokio::test]
async fn story_09_an_authority_vouches_for_host_keys() {
    let authority = KeyPair::ed25519().unwrap();
    let [rsa, _] = rsa_and_ecdsa();
    let ed25519 = KeyPair::ed25519().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (key, principal, validity, problem) in [
        (&ed25519, "127.0.0.1", "-1h:+1h", None),
        (&rsa, "sftp.example.com,127.0.0.*", "-1h:+1h", None),
        (&ed25519, "sftp.example.com", "-1h:+1h", Some("the certificate is for sftp.example.com")),
        (&ed25519, "127.0.0.1", "-2h:-1h", Some("not valid now")),
    ] {
        let certificate = key.certificate(&authority, &["-h", "-n", principal, "-V", validity]).unwrap();
        let path = folder.path().join("certificate");
        std::fs::write(&path, certificate).unwrap();
        let settings = format!("HostCertificate {}\n", path.display());
        let Some((mut bridge, _keys)) = with_keys(std::slice::from_ref(key), &settings).await else { return };
        bridge.set("SFTP_TRUSTED_HOST_KEYS", format!("@cert-authority *.example.com {}", authority.public));
        match problem {
            None => {
                let receipt = bridge.delivers("file.txt", b"x").await;
                assert_eq!(receipt.host_key_fingerprint, Some(key.fingerprint().unwrap()));
            }
            Some(problem) => {
                let event = bridge.put("file.txt", b"x".to_vec()).await;
                let (_, error) = bridge.deliver(&event).await.unwrap_err();
                assert_eq!(error.name, ErrorName::HostKeyMismatch);
                assert!(error.message().contains(problem), "{error}");
            }
        }
        // Another authority, and an authority's key in place of a server's.
        let event = bridge.put("file.txt", b"y".to_vec()).await;
        for trusted in [format!("@cert-authority {}", rsa.public), authority.public.clone()] {
            bridge.set("SFTP_TRUSTED_HOST_KEYS", trusted);
            assert_eq!(bridge.deliver(&event).await.unwrap_err().1.name, ErrorName::HostKeyMismatch);
        }
        // The plain key is as good as ever.
        bridge.set("SFTP_TRUSTED_HOST_KEYS", &key.public);
        bridge.delivers("file.txt", b"z").await;
    }
}

#[tokio::test]
async fn story_09_the_tool_prints_every_host_key() {
    let [rsa, ecdsa] = rsa_and_ecdsa();
    let authority = KeyPair::ed25519().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certificate");
    std::fs::write(&path, rsa.certificate(&authority, &["-h", "-n", "127.0.0.1"]).unwrap()).unwrap();
    let settings = format!("HostCertificate {}\n", path.display());
    let Some((mut bridge, _keys)) = with_keys(&[rsa.clone(), ecdsa.clone()], &settings).await else { return };
    let address = format!("127.0.0.1:{}", bridge.partner.port);
    let run = async |arguments: &[&str]| {
        let mut command = Command::new(cli::build().await.unwrap());
        command.arg("host-key").args(arguments).env_clear();
        cli::run(command).await
    };

    let ran = run(&[&address]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let all = [&bridge.partner.host_key, &rsa, &ecdsa, &authority];
    for key in all {
        for words in [&key.public, &key.fingerprint().unwrap()] {
            assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
        }
    }
    assert!(ran.stdout.contains("These keys are not verified"), "{}", ran.stdout);

    let ran = run(&[&address, "--json"]).await;
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    let keys = value["host_keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 4, "{value}");
    for key in keys {
        let setting = key["trusted_host_key"].as_str().unwrap();
        TrustedHostKeys::parse(setting).unwrap();
        bridge.set("SFTP_TRUSTED_HOST_KEYS", setting);
        bridge.delivers("file.txt", setting.as_bytes()).await;
    }

    bridge.partner.stop();
    let ran = run(&[&address]).await;
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.contains("ConnectFailed") && ran.stderr.contains(&address), "{}", ran.stderr);
    assert_eq!(run(&["user@host"]).await.status, 2);
}

/// A server that has had enough of us: what it has presented until then is shown, and what is missing is said.
#[tokio::test]
async fn story_09_the_tool_shows_what_was_presented_before_a_connection_failed() {
    let [rsa, ecdsa] = rsa_and_ecdsa();
    let Some((bridge, _keys)) = with_keys(&[rsa, ecdsa], "").await else { return };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, target) = (listener.local_addr().unwrap(), bridge.partner.port);
    let relay = tokio::spawn(async move {
        // What it offers, and one key.
        for _ in 0..2 {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
    });
    let mut command = Command::new(cli::build().await.unwrap());
    command.args(["host-key", "--json", &address.to_string()]).env_clear();
    let ran = cli::run(command).await;
    relay.await.unwrap();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let value: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(value["host_keys"].as_array().unwrap().len(), 1, "{value}");
    assert_eq!(value["not_asked"].as_array().unwrap().len(), 2, "{value}");
    assert!(value["problem"].as_str().unwrap().contains(&address.to_string()), "{value}");
}
