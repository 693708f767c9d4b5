//! Stories 17 and 18: who is there, and how they prove it.

use std::sync::Arc;

use bridge::{CredentialVersion, ErrorName, Phase};
use integration_tests::door::Door;
use integration_tests::embedded::Quirks;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};
use russh::MethodKind::{self, KeyboardInteractive, Password, PublicKey};
use russh::Preferred;
use russh::keys::{Algorithm, HashAlg};
use serde_json::{Value, json};
use sftp::Session;

use crate::support::Bridge;

const PASSWORD: &str = "correct horse";

fn door(methods: &[MethodKind]) -> Door {
    Door { methods: methods.to_vec(), password: PASSWORD.into(), ..Door::default() }
}

async fn behind(door: &Door) -> Bridge {
    let quirks = Quirks { door: door.clone(), ..Quirks::default() };
    Bridge::to(Partner::embedded(quirks).await.unwrap()).await
}

fn secret(bridge: &Bridge, fields: &[&str], key: &str, password: &str) -> Value {
    let mut value = json!({"Username": bridge.partner.user});
    for field in fields {
        value[*field] = json!(if *field == "PrivateKey" { key } else { password });
    }
    value
}

#[tokio::test]
async fn story_17_every_way_to_log_in_and_a_wrong_one_of_each() {
    let wrong_key = KeyPair::ed25519().unwrap();
    let both = &["PrivateKey", "Password"][..];
    for (methods, fields) in [
        (&[Password][..], &["Password"][..]),
        (&[KeyboardInteractive], &["Password"]),
        (&[PublicKey], &["PrivateKey"]),
        (&[PublicKey], both),
        (&[PublicKey, Password], both),
        (&[PublicKey, KeyboardInteractive], both),
        (&[Password, PublicKey], both),
    ] {
        eprintln!("{methods:?} {fields:?}");
        let door = door(methods);
        let mut bridge = behind(&door).await;
        let key = bridge.partner.client_key.private.clone();
        bridge.set_secret(secret(&bridge, fields, &key, PASSWORD)).await;
        bridge.delivers("file.txt", b"x").await;
        // Transfer and VerifyRemote; where nothing is known yet, the first method may not be one of the server's.
        assert!(door.take_refused() <= 2, "{methods:?}");

        let event = bridge.put("file.txt", b"y".to_vec()).await;
        for (wrong, key, password) in [
            ("PrivateKey", wrong_key.private.as_str(), PASSWORD),
            ("Password", key.as_str(), "battery staple"),
        ] {
            let is_needed = methods.contains(&PublicKey) == (wrong == "PrivateKey") || methods.len() > 1;
            if !fields.contains(&wrong) || !is_needed {
                continue;
            }
            bridge.set_secret(secret(&bridge, fields, key, password)).await;
            let (state, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!((state, error.name), ("Transfer", ErrorName::AuthenticationRejected), "{error}");
            let refused = door.take_refused();
            assert!((1..=2).contains(&refused), "{refused} attempts were refused: {error}");
            assert!(!error.message().contains("staple"), "{error}");
        }
    }
}

#[tokio::test]
async fn story_17_a_refused_key_is_followed_by_the_password_once() {
    let door = Door { any: true, ..door(&[PublicKey, Password, KeyboardInteractive]) };
    let mut bridge = behind(&door).await;
    let wrong = KeyPair::ed25519().unwrap();
    let both = &["PrivateKey", "Password"][..];
    bridge.set_secret(secret(&bridge, both, &wrong.private, PASSWORD)).await;
    bridge.delivers("file.txt", b"x").await;
    assert_eq!(door.take_refused(), 2, "the key, in each of two sessions");

    bridge.set_secret(secret(&bridge, both, &wrong.private, "battery staple")).await;
    let event = bridge.put("file.txt", b"y".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::AuthenticationRejected);
    assert_eq!(door.take_refused(), 2, "never three: {error}");
    for words in [&wrong.fingerprint().unwrap(), "a password", "publickey, password, keyboard-interactive"] {
        assert!(error.message().contains(words), "{words}: {error}");
    }

    // A password that was refused as such is not tried as an answer to a question.
    bridge.set_secret(secret(&bridge, &["Password"], "", "battery staple")).await;
    bridge.deliver(&event).await.unwrap_err();
    assert_eq!(door.take_refused(), 1);
}

/// It could be tried with each of three hashes, and a server that announces all of them would count three attempts.
#[tokio::test]
async fn story_17_a_wrong_rsa_key_is_one_attempt() {
    let hashes = [Some(HashAlg::Sha512), Some(HashAlg::Sha256), None];
    let announced = [&[Algorithm::Ed25519][..], &hashes.map(|hash| Algorithm::Rsa { hash })].concat();
    let preferred = Some(Preferred { key: announced.into(), ..Preferred::DEFAULT });
    let door = Door { any: true, preferred, ..door(&[PublicKey, Password]) };
    let mut bridge = behind(&door).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let wrong = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
    let both = &["PrivateKey", "Password"][..];
    for algorithms in ["modern", "legacy"] {
        bridge.set("SFTP_ALGORITHMS", algorithms);
        for (fields, refused) in [(&both[..1], 1), (both, 2)] {
            bridge.set_secret(secret(&bridge, fields, &wrong.private, "battery staple")).await;
            let (_, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
            assert_eq!(door.take_refused(), refused, "{algorithms} {fields:?}: {error}");
        }
    }
}

#[tokio::test]
async fn story_17_order_and_permitted_methods_by_a_setting() {
    let door = Door { any: true, ..door(&[PublicKey, Password, KeyboardInteractive]) };
    let mut bridge = behind(&door).await;
    let wrong = KeyPair::ed25519().unwrap();
    let both = &["PrivateKey", "Password"][..];
    bridge.set_secret(secret(&bridge, both, &wrong.private, PASSWORD)).await;
    for methods in ["password,publickey", "password", "keyboard-interactive"] {
        bridge.set("SFTP_AUTHENTICATION", methods);
        bridge.delivers("file.txt", methods.as_bytes()).await;
        assert_eq!(door.take_refused(), 0, "{methods}");
    }
    let event = bridge.put("file.txt", b"y".to_vec()).await;
    bridge.set("SFTP_AUTHENTICATION", "publickey");
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((error.name, door.take_refused()), (ErrorName::AuthenticationRejected, 1));

    bridge.set_secret(secret(&bridge, &["Password"], "", PASSWORD)).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("FetchKey", ErrorName::InvalidConfig));
    assert!(error.message().contains("SFTP_AUTHENTICATION permits publickey"), "{error}");
}

#[tokio::test]
async fn story_17_the_server_tells_how_one_may_log_in() {
    let door = Door { any: true, ..door(&[PublicKey, KeyboardInteractive]) };
    let bridge = behind(&door).await;
    let endpoint = sftp::Endpoint { host: bridge.partner.host.clone(), port: bridge.partner.port };
    let trusted = &bridge.settings().trusted_host_keys;
    let methods = sftp::probe::methods(&endpoint, "anybody", trusted, &bridge.options).await.unwrap();
    assert_eq!(methods, ["publickey", "keyboard-interactive"]);
    assert_eq!(door.take_refused(), 0, "asking is no attempt");
}

#[tokio::test]
async fn story_17_a_third_way_in_is_not_tried() {
    let door = Door { any: true, ..door(&[PublicKey, KeyboardInteractive]) };
    let mut bridge = behind(&door).await;
    let wrong = KeyPair::ed25519().unwrap();
    bridge.set_secret(secret(&bridge, &["PrivateKey", "Password"], &wrong.private, PASSWORD)).await;
    // The server does not take passwords, which is a refusal in its books, too.
    bridge.set("SFTP_AUTHENTICATION", "password,publickey,keyboard-interactive");
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((error.name, door.take_refused()), (ErrorName::AuthenticationRejected, 2), "{error}");
}

#[tokio::test]
async fn story_17_a_connection_that_is_lost_on_the_way_in_is_no_refusal() {
    let door = Door { hangs_up: true, ..door(&[PublicKey]) };
    let bridge = behind(&door).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::ConnectFailed, "{error}");
    assert!(error.message().contains("logging in"), "{error}");
}

#[tokio::test]
async fn story_17_a_server_that_hangs_up_on_a_wrong_key_has_refused_it() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("settings of OpenSSH: it is not available here");
    };
    let options = Options { settings: "MaxAuthTries 1\n".into(), ..Options::default() };
    let mut bridge = Bridge::to(Partner::open_ssh(sshd, options).await.unwrap()).await;
    let wrong = KeyPair::ed25519().unwrap();
    bridge.set_secret(secret(&bridge, &["PrivateKey"], &wrong.private, "")).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::AuthenticationRejected, "{error}");
    assert!(error.message().contains("Too many authentication failures"), "{error}");
}

#[tokio::test]
async fn story_17_certificates_of_users() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("certificates: OpenSSH is not available here");
    };
    let authority = KeyPair::ed25519().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pub");
    std::fs::write(&path, &authority.public).unwrap();
    let settings = format!("TrustedUserCAKeys {}\n", path.display());
    let mut bridge =
        Bridge::to(Partner::open_ssh(sshd, Options { settings, ..Options::default() }).await.unwrap()).await;
    let user = bridge.partner.user.clone();
    let event = bridge.put("refused.txt", b"x".to_vec()).await;
    for kind in [Kind::Ed25519, Kind::EcdsaOf(384), Kind::Rsa(2048)] {
        eprintln!("{kind:?}");
        let key = KeyPair::generate(kind, Encoding::OpenSsh, "").unwrap();
        let with = |certificate: &str| json!({"Username": user, "PrivateKey": key.private, "Certificate": certificate});
        let certified =
            |arguments: &[&str]| key.certificate(&authority, &[&["-n", &user], arguments].concat()).unwrap();
        bridge.set_secret(with(&certified(&["-V", "-1h:+1h"]))).await;
        bridge.delivers(&format!("{kind:?}.txt"), b"x").await;

        let other = KeyPair::ed25519().unwrap();
        for (certificate, state, name, words) in [
            (certified(&["-V", "-2h:-1h"]), "FetchKey", ErrorName::InvalidPrivateKey, "has expired"),
            (certified(&["-h"]), "FetchKey", ErrorName::InvalidPrivateKey, "not a user's"),
            (
                other.certificate(&authority, &["-n", &user]).unwrap(),
                "FetchKey",
                ErrorName::InvalidPrivateKey,
                "another key",
            ),
            (key.public.clone(), "FetchKey", ErrorName::InvalidPrivateKey, "could not be parsed"),
            (
                key.certificate(&other, &["-n", &user]).unwrap(),
                "Transfer",
                ErrorName::AuthenticationRejected,
                "signed by",
            ),
        ] {
            bridge.set_secret(with(&certificate)).await;
            let (failed, error) = bridge.deliver(&event).await.unwrap_err();
            assert_eq!((failed, error.name), (state, name), "{error}");
            assert!(error.message().contains(words), "{words}: {error}");
        }
    }
}

/// A partner who knows `client_key`, and a secret whose current version is another key's and whose previous one is it.
async fn rotated(door: &Door) -> (Bridge, KeyPair) {
    let mut bridge = behind(door).await;
    let old = bridge.partner.client_key.private.clone();
    bridge.set_secret(secret(&bridge, &["PrivateKey"], &old, "")).await;
    let new = KeyPair::ed25519().unwrap();
    bridge.rotate_secret(secret(&bridge, &["PrivateKey"], &new.private, "")).await;
    (bridge, new)
}

#[tokio::test]
async fn story_18_a_partner_who_has_not_followed_a_rotation_gets_the_file() {
    let door = Door::default();
    let (mut bridge, new) = rotated(&door).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    assert_eq!(credential.public_key_fingerprint, Some(new.fingerprint().unwrap()));
    let old = bridge.partner.client_key.fingerprint().unwrap();

    let receipt = bridge.delivers("file.txt", b"x").await;
    assert_eq!(receipt.credential_version, Some(CredentialVersion::Previous));
    assert_eq!(receipt.public_key_fingerprint.as_ref(), Some(&old));
    assert_eq!(receipt.warnings.len(), 1, "{:?}", receipt.warnings);
    for words in [&new.fingerprint().unwrap(), &old, "refused the current version"] {
        assert!(receipt.warnings[0].contains(words), "{words}: {:?}", receipt.warnings);
    }
    assert_eq!(door.take_refused(), 1, "by Transfer; VerifyRemote knows from the checkpoint");

    // The partner follows, and does away with the old key.
    bridge.partner.client_key = new.clone();
    bridge.partner.start_again().await.unwrap();
    let receipt = bridge.delivers("file.txt", b"y").await;
    assert_eq!((receipt.credential_version, receipt.warnings), (None, vec![]));
    assert_eq!(receipt.public_key_fingerprint, Some(new.fingerprint().unwrap()));
    assert_eq!(door.take_refused(), 0);
}

#[tokio::test]
async fn story_18_a_refused_version_is_not_tried_again_for_every_file() {
    let door = Door::default();
    let (mut bridge, _) = rotated(&door).await;
    bridge.set("SFTP_KEEP_CONNECTION", "0");
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let partner = bridge.reached();
    for _ in 0..5 {
        let accepted = async |session: &Arc<Session>| Ok(credential.accepted(session.label()));
        assert!(partner.with_session(&credential, None, accepted).await.unwrap().is_some());
    }
    assert_eq!(door.take_refused(), 1);
}

#[tokio::test]
async fn story_18_a_partner_who_follows_in_the_middle_of_a_delivery() {
    let door = Door::default();
    let (mut bridge, new) = rotated(&door).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let credential = bridge.fetch_key(&event).await.unwrap();
    let progress = bridge.transfer(&event, &credential, None, 0).await.unwrap();
    let checkpoint = progress.checkpoint().unwrap();
    assert_eq!(checkpoint.phase, Phase::sent());
    assert!(checkpoint.report.credential_version_id.is_some());
    bridge.partner.client_key = new;
    bridge.partner.start_again().await.unwrap();
    door.take_refused();
    let (receipt, _) = bridge.verify_all(&event, &credential, checkpoint).await.unwrap();
    assert_eq!((receipt.credential_version, door.take_refused()), (None, 1));
}

#[tokio::test]
async fn story_18_both_versions_refused_is_a_failure_after_two_logins() {
    let door = Door::default();
    let (mut bridge, new) = rotated(&door).await;
    let old = bridge.partner.client_key.clone();
    bridge.partner.client_key = KeyPair::ed25519().unwrap();
    bridge.partner.start_again().await.unwrap();
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    let (state, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!((state, error.name), ("Transfer", ErrorName::AuthenticationRejected));
    for key in [&new, &old] {
        assert!(error.message().contains(&key.fingerprint().unwrap()), "{error}");
    }
    assert_eq!(door.take_refused(), 2);
}

#[tokio::test]
async fn story_18_the_same_login_in_a_new_version_is_not_tried_twice() {
    let door = Door::default();
    let mut bridge = behind(&door).await;
    let wrong = KeyPair::ed25519().unwrap();
    let value = secret(&bridge, &["PrivateKey"], &wrong.private, "");
    bridge.set_secret(value.clone()).await;
    bridge.rotate_secret(value).await;
    let event = bridge.put("file.txt", b"x".to_vec()).await;
    assert_eq!(bridge.fetch_key(&event).await.unwrap().previous, None);
    bridge.deliver(&event).await.unwrap_err();
    assert_eq!(door.take_refused(), 1);
}
