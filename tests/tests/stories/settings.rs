//! What stands in the settings, and what is said of it.

use std::collections::BTreeMap;

use bridge::{ErrorName, SETTINGS, Settings, Variables};
use integration_tests::cli;
use integration_tests::keys::{Encoding, KeyPair, Kind};

/// The least, and more.
fn with(more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let least = [
        ("SFTP_HOST", "no-such-host.invalid"),
        ("SFTP_SECRET_ID", "partner"),
        ("SFTP_TRUSTED_HOST_KEYS", "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"),
    ];
    least.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The first part of the key that is shown.
fn shown<'k>(key: &'k str, text: &str) -> Option<&'k str> {
    let lines = key.lines().filter(|line| !line.contains('-'));
    lines.flat_map(|line| line.split(['/', '+', '='])).find(|part| part.len() >= 8 && text.contains(part))
}

#[tokio::test]
async fn story_32_a_private_key_pasted_into_a_setting_goes_nowhere() {
    for (kind, encoding, passphrase) in [
        (Kind::Ed25519, Encoding::OpenSsh, ""),
        (Kind::Ed25519, Encoding::OpenSsh, "passphrase"),
        (Kind::Ecdsa, Encoding::Pem, ""),
        (Kind::EcdsaOf(521), Encoding::Pkcs8, "passphrase"),
        (Kind::Rsa(2048), Encoding::OpenSsh, ""),
        (Kind::Rsa(2048), Encoding::Pem, "passphrase"),
        (Kind::Rsa(2048), Encoding::Pkcs8, ""),
    ] {
        let key = KeyPair::generate(kind, encoding, passphrase).unwrap().private;
        for setting in SETTINGS {
            for pasted in [key.clone(), key.replace('\n', "\\n"), key.replace('\n', " ")] {
                let mut variables = with(&[(setting.name, &pasted)]);
                if setting.name == "SFTP_S3_SSH_KEY" {
                    variables.remove("SFTP_SECRET_ID");
                }
                let error = Settings::parse(&variables.into_iter().collect::<Variables>()).unwrap_err();
                assert_eq!(error.name, ErrorName::InvalidConfig);
                assert!(error.message().starts_with(setting.name), "{error}");
                assert_eq!(shown(&key, &format!("{error:?}")), None, "{}: {error}", setting.name);
            }
        }
        // Without its first and last line.
        let body: Vec<&str> = key.lines().filter(|line| !line.contains(['-', ':'])).collect();
        for name in ["SFTP_SECRET_ID", "SFTP_S3_SSH_KEY"] {
            for pasted in [body.concat(), body.join("\n"), format!("keys/{}", body.concat())] {
                let mut variables = with(&[]);
                variables.remove("SFTP_SECRET_ID");
                variables.insert(name.into(), pasted);
                for ran in [
                    cli::run(cli::deliver(Vec::new(), &variables, &["bucket/key"]).await).await,
                    cli::run(cli::doctor(&variables, &["--json"]).await).await,
                ] {
                    let output = format!("{}{}", ran.stdout, ran.stderr);
                    assert!(ran.status == 2 && output.contains(&format!("{name} is not shown")), "{output}");
                    assert_eq!(shown(&key, &output), None, "{output}");
                }
            }
        }
    }
}

#[tokio::test]
async fn deliver_says_all_that_is_wrong_at_once() {
    let wrong = [("SFTP_PORT", "0"), ("RECORD_BUCKET", "Failures"), ("LOG_LEVEL", "verbose")];
    let ran = cli::run(cli::deliver(Vec::new(), &with(&wrong), &["bucket/key"]).await).await;
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.starts_with("InvalidConfig: SFTP_PORT is \"0\": "), "{}", ran.stderr);
    for (name, value) in wrong {
        assert!(ran.stderr.contains(&format!("{name} is {value:?}: expected ")), "{}", ran.stderr);
    }
}
