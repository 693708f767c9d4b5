//! Story 16: servers that know only old algorithms, or others than we offer.

use std::borrow::Cow;

use bridge::{ErrorName, Preset};
use integration_tests::door::Door;
use integration_tests::embedded::Quirks;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};
use russh::keys::Algorithm;
use russh::{Preferred, kex};

use crate::support::Bridge;

async fn refused(bridge: &Bridge) -> String {
    let event = bridge.put("refused.txt", b"x".to_vec()).await;
    let (_, error) = bridge.deliver(&event).await.unwrap_err();
    assert_eq!(error.name, ErrorName::NoCommonAlgorithm, "{error}");
    error.message().to_owned()
}

/// What the message says of ours and of theirs, without what belongs to neither.
fn lists(message: &str) -> [&str; 2] {
    let (_, lists) = message.split_once("ours are ").unwrap();
    let (ours, rest) = lists.split_once("; theirs are ").unwrap();
    [ours, rest.split_once("; ").unwrap().0]
}

#[tokio::test]
async fn story_16_only_old_algorithms_need_the_legacy_preset() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("old algorithms: OpenSSH is not available here");
    };
    let all = "KexAlgorithms diffie-hellman-group14-sha1\nCiphers aes128-cbc\nMACs hmac-sha1\n\
               HostKeyAlgorithms ssh-rsa\n";
    for (settings, missing, [ours, theirs], change) in [
        (
            "KexAlgorithms diffie-hellman-group1-sha1\n",
            "key exchange",
            ["curve25519-sha256", "diffie-hellman-group1-sha1"],
            "+diffie-hellman-group1-sha1",
        ),
        (
            "KexAlgorithms diffie-hellman-group14-sha1\n",
            "key exchange",
            ["curve25519-sha256", "diffie-hellman-group14-sha1"],
            "+diffie-hellman-group14-sha1",
        ),
        (
            "KexAlgorithms diffie-hellman-group-exchange-sha1\n",
            "key exchange",
            ["curve25519-sha256", "diffie-hellman-group-exchange-sha1"],
            "+diffie-hellman-group-exchange-sha1",
        ),
        ("Ciphers 3des-cbc\n", "cipher", ["aes128-ctr", "3des-cbc"], "+3des-cbc"),
        ("Ciphers aes256-cbc,aes128-cbc\n", "cipher", ["aes128-ctr", "aes256-cbc aes128-cbc"], "+aes128-cbc"),
        // The cipher is one that needs a MAC.
        ("Ciphers aes128-ctr\nMACs hmac-sha1\n", "MAC", ["hmac-sha2-256", "hmac-sha1"], "+hmac-sha1"),
        ("HostKeyAlgorithms ssh-rsa\n", "host key algorithm", ["rsa-sha2-512", "ssh-rsa"], "+ssh-rsa"),
        (
            all,
            "key exchange",
            ["curve25519-sha256", "diffie-hellman-group14-sha1"],
            "+diffie-hellman-group14-sha1,+aes128-cbc,+hmac-sha1,+ssh-rsa",
        ),
    ] {
        eprintln!("{settings}");
        let key = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
        let options = Options {
            host_key: Kind::Rsa(2048),
            client_key: Some(key),
            settings: settings.to_owned(),
            ..Options::default()
        };
        let partner = Partner::open_ssh(sshd.clone(), options).await.unwrap();
        let mut bridge = Bridge::to(partner).await;
        let message = refused(&bridge).await;
        assert!(message.contains(&format!("share no {missing}: ")), "{message}");
        assert!(message.contains("SFTP_ALGORITHMS=legacy would"), "{message}");
        let [our_list, their_list] = lists(&message);
        assert!(our_list.contains(ours) && their_list.contains(theirs), "both lists: {message}");
        assert!(!our_list.contains(theirs) && !their_list.contains(ours), "each is its own: {message}");
        for value in ["legacy", &format!("modern,{change}")] {
            bridge.set("SFTP_ALGORITHMS", value);
            bridge.delivers("file.txt", value.as_bytes()).await;
        }
    }
}

#[tokio::test]
async fn story_16_an_rsa_key_signs_with_sha1_for_old_servers_alone() {
    let sha1 = Algorithm::Rsa { hash: None };
    let announced = Preferred { key: Cow::Owned(vec![Algorithm::Ed25519, sha1]), ..Preferred::DEFAULT };
    let key = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
    let door = Door { preferred: Some(announced), ..Door::default() };
    let quirks = Quirks { door: door.clone(), ..Quirks::default() };
    let mut bridge = Bridge::to(Partner::embedded_for(key, quirks).await.unwrap()).await;
    let message = refused(&bridge).await;
    assert!(message.contains("SHA-1") && message.contains("SFTP_ALGORITHMS=legacy would"), "{message}");
    assert_eq!(door.take_refused(), 0, "nothing is shown that cannot be taken");
    bridge.set("SFTP_ALGORITHMS", "legacy");
    bridge.delivers("file.txt", b"x").await;
    assert_eq!(door.take_refused(), 0);
}

#[tokio::test]
async fn story_16_a_dsa_host_key() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("old algorithms: OpenSSH is not available here");
    };
    if KeyPair::generate(Kind::Dsa, Encoding::OpenSsh, "").is_err() {
        return skip("this OpenSSH has no DSA any more");
    }
    let settings = "HostKeyAlgorithms ssh-dss\n".to_owned();
    let options = Options { host_key: Kind::Dsa, settings, ..Options::default() };
    let mut bridge = Bridge::to(Partner::open_ssh(sshd, options).await.unwrap()).await;
    assert!(refused(&bridge).await.contains("SFTP_ALGORITHMS=legacy would connect"));
    bridge.set("SFTP_ALGORITHMS", "legacy");
    bridge.delivers("file.txt", b"x").await;
}

#[tokio::test]
async fn story_16_the_message_knows_which_preset_connects() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("settings of OpenSSH: it is not available here");
    };
    let settings = "Ciphers chacha20-poly1305@openssh.com\n".to_owned();
    let options = Options { settings, ..Options::default() };
    let mut bridge = Bridge::to(Partner::open_ssh(sshd.clone(), options).await.unwrap()).await;
    bridge.set("SFTP_ALGORITHMS", "modern,-chacha20*");
    assert!(refused(&bridge).await.contains("SFTP_ALGORITHMS=modern would connect"));

    // Nothing that russh has at all.
    let settings = "Ciphers aes256-ctr\nMACs umac-64@openssh.com\n".to_owned();
    let options = Options { settings, ..Options::default() };
    let bridge = Bridge::to(Partner::open_ssh(sshd, options).await.unwrap()).await;
    assert!(refused(&bridge).await.contains("no preset of SFTP_ALGORITHMS would connect"));
}

#[tokio::test]
async fn story_16_key_exchange_is_post_quantum_where_the_server_has_it() {
    let only = [kex::MLKEM768X25519_SHA256].to_vec();
    let preferred = Preferred { kex: Cow::Owned(only), ..Preferred::DEFAULT };
    let door = Door { preferred: Some(preferred), ..Door::default() };
    let partner = Partner::embedded(Quirks { door, ..Quirks::default() }).await.unwrap();
    let mut bridge = Bridge::to(partner).await;
    bridge.delivers("file.txt", b"x").await;
    bridge.set("SFTP_ALGORITHMS", "-mlkem*");
    let message = refused(&bridge).await;
    assert!(message.contains(&format!("SFTP_ALGORITHMS={} would", Preset::Modern.as_str())), "{message}");
}
