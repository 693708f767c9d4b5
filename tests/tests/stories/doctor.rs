//! `s3-sftp-bridge doctor`, the real binary, against partners of all kinds: what it finds, what it recommends, and that
//! it leaves nothing behind and tells no secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bridge::{Outcome, Receipt};
use integration_tests::cases::at_once;
use integration_tests::cli;
use integration_tests::door::Door;
use integration_tests::embedded::{
    Lock, Names, Quirks, Reading, Setstat, Sizes, Sweep, TAKEN, Truncation, Ways,
};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::partner::{Options, Partner};
use integration_tests::{skip, tools};
use russh::keys::Algorithm;
use russh::{MethodKind, Preferred};
use russh_sftp::protocol::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpListener;

use crate::support::{Bridge, Failed};

const CANARY: &str = "canary-3f9a";

/// What one run said.
struct Diagnosis {
    status: i32,
    json: Value,
}

impl Diagnosis {
    fn of(&self, check: &str) -> &Value {
        let checks = self.json["checks"].as_array().unwrap();
        checks
            .iter()
            .find(|found| found["check"] == check)
            .unwrap_or_else(|| panic!("{check}: {}", self.json))
    }

    fn assert(&self, check: &str, status: &str) {
        assert_eq!(self.of(check)["status"], status, "{check}: {:#}", self.json);
    }

    fn assert_no_failure(&self) {
        for check in self.json["checks"].as_array().unwrap() {
            assert!(check["status"] != "fail" && check["status"] != "skipped", "{check}");
        }
        assert_eq!(self.status, 0);
    }

    /// A busy machine answers as slowly as a server far away, for which the doctor recommends more connections.
    fn assert_no_changes(&self) {
        let changes = self.json["recommended"]["changes"].as_object().unwrap();
        let others: Vec<_> = changes.keys().filter(|name| *name != "SFTP_MAX_CONNECTIONS").collect();
        assert!(others.is_empty(), "{changes:?}");
    }

    fn recommended(&self, setting: &str) -> &Value {
        &self.json["recommended"]["environment"][setting]
    }
}

fn variables(partner: &Partner) -> BTreeMap<String, String> {
    let variables = [
        ("SFTP_HOST", partner.host.clone()),
        ("SFTP_PORT", partner.port.to_string()),
        ("SFTP_USER", partner.user.clone()),
        ("SFTP_TRUSTED_HOST_KEYS", partner.host_key.public.clone()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Asks the doctor, with the partner's key as a file, and checks what holds every time.
async fn examine(partner: &Partner, variables: &BTreeMap<String, String>) -> Diagnosis {
    examine_with(partner, variables, &partner.client_key.private).await
}

/// The same, for objects like this one.
async fn examine_like(
    partner: &Partner,
    variables: &BTreeMap<String, String>,
    object_key: &str,
) -> Diagnosis {
    examine_further(partner, variables, &partner.client_key.private, &["--object-key", object_key]).await
}

async fn examine_with(
    partner: &Partner,
    variables: &BTreeMap<String, String>,
    credential: &str,
) -> Diagnosis {
    examine_further(partner, variables, credential, &[]).await
}

async fn examine_further(
    partner: &Partner,
    variables: &BTreeMap<String, String>,
    credential: &str,
    more: &[&str],
) -> Diagnosis {
    let folder = tempfile();
    let file = folder.join("credential");
    std::fs::write(&file, credential).unwrap();
    let arguments = ["--json", "--timeout", "2", "--key-file", file.to_str().unwrap()];
    let arguments = [&arguments[..], more].concat();
    let before = files(partner);
    let ran = cli::run(cli::doctor(variables, &arguments).await).await;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_tells_no_secret(&[&ran.stdout, &ran.stderr], &partner.client_key);
    let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let diagnosis = Diagnosis { status: ran.status, json };
    if diagnosis.json["checks"]
        .as_array()
        .unwrap()
        .iter()
        .all(|check| check["check"] != "clean-up" || check["status"] != "warn")
    {
        assert_eq!(files(partner), before, "{:#}", diagnosis.json);
    }
    diagnosis
}

fn tempfile() -> std::path::PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("doctor-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn assert_tells_no_secret(texts: &[&str], key: &KeyPair) {
    let lines = key.private.lines().filter(|line| !line.starts_with("-----"));
    for secret in lines.chain([CANARY]) {
        assert!(!texts.iter().any(|text| text.contains(secret)), "{texts:?}");
    }
}

/// Everything in the partner's folder, with its contents; but for what a drop box has taken.
fn files(partner: &Partner) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![partner.root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with(TAKEN) {
                continue;
            }
            let content = std::fs::read(&path).unwrap_or_default();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path.strip_prefix(&partner.root).unwrap().to_str().unwrap().to_owned(), content);
        }
    }
    found
}

async fn quirky(quirks: Quirks) -> Partner {
    Partner::embedded(quirks).await.unwrap()
}

#[tokio::test]
async fn doctor_finds_a_good_server_good_and_leaves_nothing_behind() {
    let partner = Partner::start().await.unwrap();
    std::fs::write(partner.root.join("theirs.txt"), "not ours").unwrap();
    let diagnosis = examine(&partner, &variables(&partner)).await;
    diagnosis.assert_no_failure();
    for check in
        ["authentication", "create", "write", "read-back", "rename", "replace", "delete", "connections"]
    {
        diagnosis.assert(check, "ok");
    }
    diagnosis.assert_no_changes();
    assert_eq!(diagnosis.recommended("SFTP_TRUSTED_HOST_KEYS"), &json!(partner.host_key.public));
    assert!(diagnosis.json["server"]["write_bytes_per_second"].as_u64().unwrap() > 100_000);
}

#[tokio::test]
async fn doctor_says_the_same_to_people_and_takes_the_credential_from_the_secret() {
    let mut bridge = Bridge::new().await;
    bridge.set("SFTP_TRUSTED_HOST_KEYS", bridge.partner.host_key.fingerprint().unwrap());
    let mut variables = bridge.variables.clone();
    variables.extend(bridge.aws.environment().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let ran = cli::run(cli::doctor(&variables, &[]).await).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert_tells_no_secret(&[&ran.stdout, &ran.stderr], &bridge.partner.client_key);
    for words in [
        "ok    authentication  logged in as ",
        &format!("export SFTP_SECRET_ID={}\n", bridge.variables["SFTP_SECRET_ID"]),
        &format!("export SFTP_TRUSTED_HOST_KEYS={}\n", bridge.partner.host_key.fingerprint().unwrap()),
        "SftpTrustedHostKeys=SHA256:",
    ] {
        assert!(ran.stdout.contains(words), "{words}\n{}", ran.stdout);
    }
    assert!(bridge.remote_files().is_empty());
}

#[tokio::test]
async fn doctor_logs_in_to_no_unknown_server() {
    let mut partner = Partner::start().await.unwrap();
    for pinned in [None, Some(KeyPair::ed25519().unwrap().public)] {
        partner.start_again().await.unwrap();
        let mut variables = variables(&partner);
        variables.insert("SFTP_TRUSTED_HOST_KEYS".into(), pinned.clone().unwrap_or_default());
        let diagnosis = examine(&partner, &variables).await;
        assert_eq!(diagnosis.status, if pinned.is_some() { 1 } else { 2 });
        diagnosis.assert("host-key", "fail");
        diagnosis.assert("authentication", "skipped");
        assert_eq!(diagnosis.json["server"]["presented_host_keys"], json!([partner.host_key.public]));
        assert_eq!(diagnosis.json["recommended"], Value::Null);
        let found = diagnosis.of("host-key")["found"].as_str().unwrap();
        assert!(found.contains(&partner.host_key.fingerprint().unwrap()), "{found}");
        let hint = diagnosis.of("host-key")["hint"].as_str().unwrap();
        assert!(hint.contains("by another way"), "{hint}");
        for word in ["Accepted", "Failed", &partner.user] {
            assert!(!partner.log().contains(&format!("{word} publickey")), "{}", partner.log());
        }
    }
}

#[tokio::test]
async fn doctor_asks_for_the_key_whose_fingerprint_is_pinned() {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("two host keys of OpenSSH: it is not available here");
    };
    let folder = tempfile();
    let rsa = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
    let file = folder.join("host_key_rsa");
    std::fs::write(&file, &rsa.private).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let options = Options { settings: format!("HostKey {}\n", file.display()), ..Options::default() };
    let partner = Partner::open_ssh(sshd, options).await.unwrap();
    let mut variables = variables(&partner);
    variables.insert("SFTP_TRUSTED_HOST_KEYS".into(), rsa.fingerprint().unwrap());
    let diagnosis = examine(&partner, &variables).await;
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(diagnosis.status, 0);
    let found = diagnosis.of("host-key")["found"].as_str().unwrap();
    assert!(found.contains(&rsa.fingerprint().unwrap()), "{found}");
}

#[tokio::test]
async fn story_13_doctor_says_what_does_not_answer() {
    let partner = Partner::start().await.unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for (host, port, check) in
        [("127.0.0.1", closed, "tcp"), ("127.0.0.1", silent_port, "ssh"), ("no-such-host.invalid", 22, "dns")]
    {
        let mut variables = variables(&partner);
        variables.insert("SFTP_HOST".into(), host.into());
        variables.insert("SFTP_PORT".into(), port.to_string());
        let started = Instant::now();
        let diagnosis = examine(&partner, &variables).await;
        assert_eq!(diagnosis.status, 1);
        diagnosis.assert(check, "fail");
        diagnosis.assert("clean-up", "skipped");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn doctor_says_all_wrong_settings_at_once() {
    let partner = Partner::start().await.unwrap();
    let mut variables = variables(&partner);
    variables.insert("SFTP_PORT".into(), "0".into());
    variables.insert("SFTP_PROOF".into(), "maybe".into());
    let diagnosis = examine(&partner, &variables).await;
    assert_eq!(diagnosis.status, 2);
    let found = diagnosis.of("settings")["found"].as_str().unwrap();
    assert!(found.contains("SFTP_PORT") && found.contains("SFTP_PROOF"), "{found}");
}

#[tokio::test]
async fn story_17_doctor_makes_at_most_two_refused_attempts() {
    let wrong = KeyPair::ed25519().unwrap().private;
    for (credential, attempts) in [
        (json!({"PrivateKey": wrong}), 1),
        (json!({"Password": CANARY}), 1),
        (json!({"PrivateKey": wrong, "Password": CANARY}), 2),
    ] {
        let door = either("another");
        let partner = quirky(Quirks { door: door.clone(), ..Quirks::default() }).await;
        let diagnosis = examine_with(&partner, &variables(&partner), &credential.to_string()).await;
        assert_eq!(diagnosis.status, 1);
        diagnosis.assert("authentication", "fail");
        assert_eq!(door.take_refused(), attempts, "{}", diagnosis.json);
    }
}

/// Key or password.
fn either(password: &str) -> Door {
    let methods = vec![MethodKind::PublicKey, MethodKind::Password];
    Door { methods, any: true, password: password.into(), ..Door::default() }
}

#[tokio::test]
async fn story_17_doctor_tries_each_method_of_the_credential() {
    let door = either(CANARY);
    let partner = quirky(Quirks { door: door.clone(), ..Quirks::default() }).await;
    let both = json!({"PrivateKey": partner.client_key.private, "Password": CANARY}).to_string();
    let diagnosis = examine_with(&partner, &variables(&partner), &both).await;
    diagnosis.assert_no_failure();
    let found = &diagnosis.of("methods")["found"];
    let expected = "publickey: accepted; password: accepted; \
                    keyboard-interactive: not tried, the server does not offer it";
    assert_eq!(found, expected);
    assert_eq!(door.take_refused(), 0);

    let wrong = json!({"PrivateKey": KeyPair::ed25519().unwrap().private, "Password": CANARY}).to_string();
    let diagnosis = examine_with(&partner, &variables(&partner), &wrong).await;
    diagnosis.assert("methods", "warn");
    let hint = diagnosis.of("methods")["hint"].as_str().unwrap();
    assert!(hint.contains("SFTP_AUTHENTICATION=password"), "{hint}");
    assert_eq!(door.take_refused(), 1, "once, whatever else is tried");
}

#[tokio::test]
async fn story_17_doctor_says_of_each_method_whether_it_is_taken() {
    use MethodKind::{KeyboardInteractive, Password, PublicKey};
    let (key, wrong) = (KeyPair::ed25519().unwrap(), KeyPair::ed25519().unwrap().private);
    let password = json!({"Password": CANARY});
    let wrong_password = json!({"PrivateKey": key.private, "Password": "another"});
    let both = json!({"PrivateKey": key.private, "Password": CANARY});
    let wrong_key = json!({"PrivateKey": wrong, "Password": CANARY});
    for (methods, any, credential, setting, found, refused) in [
        (
            &[Password, KeyboardInteractive][..],
            true,
            &password,
            "",
            "publickey: not tried, the credential has no private key; password: accepted; \
             keyboard-interactive: accepted",
            0,
        ),
        (
            &[KeyboardInteractive],
            true,
            &password,
            "",
            "publickey: not tried, the credential has no private key; \
             password: refused, the server does not take it; keyboard-interactive: accepted",
            1,
        ),
        (
            &[PublicKey, Password],
            false,
            &both,
            "",
            "publickey: accepted, but not enough alone; password: accepted, after the other; \
             keyboard-interactive: not tried, the server asked for others",
            0,
        ),
        (
            &[PublicKey, Password, KeyboardInteractive],
            true,
            &wrong_password,
            "",
            "publickey: accepted; password: refused; \
             keyboard-interactive: not tried, the server has refused the password",
            1,
        ),
        (
            &[PublicKey, Password, KeyboardInteractive],
            true,
            &wrong_key,
            "publickey,keyboard-interactive",
            "publickey: refused; password: not tried, SFTP_AUTHENTICATION does not permit it; \
             keyboard-interactive: accepted",
            1,
        ),
        (
            &[PublicKey, Password, KeyboardInteractive],
            true,
            &both,
            "password",
            "publickey: not tried, SFTP_AUTHENTICATION does not permit it; password: accepted; \
             keyboard-interactive: not tried, SFTP_AUTHENTICATION does not permit it",
            0,
        ),
    ] {
        let door = Door { methods: methods.to_vec(), any, password: CANARY.into(), ..Door::default() };
        let quirks = Quirks { door: door.clone(), ..Quirks::default() };
        let partner = Partner::embedded_for(key.clone(), quirks).await.unwrap();
        let mut variables = variables(&partner);
        variables.insert("SFTP_AUTHENTICATION".into(), setting.into());
        let diagnosis = examine_with(&partner, &variables, &credential.to_string()).await;
        assert_eq!(diagnosis.of("methods")["found"], found, "{:#}", diagnosis.json);
        assert_eq!(diagnosis.status, 0);
        diagnosis.assert("connections", "ok");
        assert_eq!(door.take_refused(), refused, "{found}");
    }
}

#[tokio::test]
async fn doctor_wants_something_to_log_in_with() {
    let partner = quirky(Quirks::default()).await;
    let mut variables = variables(&partner);
    variables.insert("SFTP_AUTHENTICATION".into(), "password".into());
    let diagnosis = examine(&partner, &variables).await;
    diagnosis.assert("credential", "fail");
    diagnosis.assert("host-key", "ok");
    diagnosis.assert("authentication", "skipped");
}

#[tokio::test]
async fn story_16_doctor_goes_on_with_an_rsa_key_that_needs_sha1() {
    let sha1 = Algorithm::Rsa { hash: None };
    let announced = Preferred { key: Cow::Owned(vec![Algorithm::Ed25519, sha1]), ..Preferred::DEFAULT };
    let key = KeyPair::generate(Kind::Rsa(2048), Encoding::OpenSsh, "").unwrap();
    let door = Door { preferred: Some(announced), ..Door::default() };
    let quirks = Quirks { door: door.clone(), ..Quirks::default() };
    let mut bridge = Bridge::to(Partner::embedded_for(key, quirks).await.unwrap()).await;
    let mut variables = variables(&bridge.partner);
    let diagnosis = examine(&bridge.partner, &variables).await;
    assert_eq!((diagnosis.status, door.take_refused()), (1, 0));
    diagnosis.assert("algorithms", "fail");
    let found = diagnosis.of("algorithms")["found"].as_str().unwrap();
    assert!(found.contains("ours are rsa-sha2-512 rsa-sha2-256; theirs are ssh-rsa"), "{found}");
    for check in ["authentication", "rename", "methods", "connections"] {
        diagnosis.assert(check, "ok");
    }
    for (value, recommended) in [("", "modern,+ssh-rsa"), ("legacy", "modern,+ssh-rsa")] {
        variables.insert("SFTP_ALGORITHMS".into(), value.into());
        let diagnosis = examine(&bridge.partner, &variables).await;
        assert_eq!(diagnosis.recommended("SFTP_ALGORITHMS"), recommended, "{value}");
    }
    bridge.set("SFTP_ALGORITHMS", "modern,+ssh-rsa");
    bridge.delivers("file.txt", b"x").await;
}

#[tokio::test]
async fn doctor_shows_no_key_that_was_pasted_into_a_setting() {
    let partner = quirky(Quirks::default()).await;
    let key = &partner.client_key.private;
    let line = key.lines().nth(2).unwrap();
    for (name, value) in [
        ("SFTP_S3_SSH_KEY", key.clone()),
        ("SFTP_S3_SSH_KEY", line.to_owned()),
        ("SFTP_SECRET_ID", key.clone()),
        ("SFTP_SECRET_ID", line.to_owned()),
        ("SFTP_SECRET_ID", json!({"PrivateKey": key}).to_string()),
    ] {
        let mut variables = variables(&partner);
        variables.insert(name.into(), value);
        // The credential comes from the file, so the setting is unused. `examine` fails if a run shows secrets.
        let diagnosis = examine(&partner, &variables).await;
        assert_eq!(diagnosis.status, 2, "{:#}", diagnosis.json);
        assert!(diagnosis.of("settings")["found"].as_str().unwrap().contains(name));
        assert_eq!(diagnosis.json["recommended"], Value::Null);
    }
}

#[tokio::test]
async fn doctor_finds_what_a_server_cannot_do() {
    let good = Quirks::default;
    let cases = [
        (Quirks { no_rename: true, ..good() }, ("SFTP_PROOF", "auto"), "rename", "fail"),
        (Quirks { no_posix_rename: true, ..good() }, ("SFTP_PROOF", "auto"), "replace", "warn"),
        (Quirks { setstat: Setstat::Refused, ..good() }, ("SFTP_PROOF", "auto"), "chmod", "absent"),
        (Quirks { setstat: Setstat::Refused, ..good() }, ("SFTP_PROOF", "auto"), "mtime", "absent"),
        (Quirks { write_only: true, ..good() }, ("SFTP_PROOF", "auto"), "read-back", "warn"),
        (Quirks { write_only: true, ..good() }, ("SFTP_PROOF", "read-back"), "read-back", "fail"),
        (Quirks { write_only: true, ..good() }, ("SFTP_PROOF", "size"), "stat", "fail"),
        (Quirks { check_file: true, ..good() }, ("SFTP_PROOF", "hash"), "hash", "ok"),
        (good(), ("SFTP_PROOF", "hash"), "hash", "fail"),
        (Quirks { one_channel: true, ..good() }, ("SFTP_PROOF", "auto"), "channels", "absent"),
        (Quirks { read_only: true, ..good() }, ("SFTP_PROOF", "auto"), "create", "fail"),
        (Quirks { capacity: Some(100), ..good() }, ("SFTP_PROOF", "auto"), "write", "fail"),
        (Quirks { capacity: Some(300_000), ..good() }, ("SFTP_PROOF", "auto"), "throughput", "fail"),
    ];
    at_once(cases, |(quirks, setting, check, status)| async move {
        let words = format!("{quirks:?} {setting:?}");
        let partner = quirky(quirks).await;
        let mut variables = variables(&partner);
        variables.insert(setting.0.into(), setting.1.into());
        let diagnosis = examine(&partner, &variables).await;
        assert_eq!(diagnosis.of(check)["status"], status, "{words}: {:#}", diagnosis.json);
        let failed = diagnosis.json["status"] == "fail";
        assert_eq!(
            (diagnosis.status, failed),
            (i32::from(failed), status == "fail"),
            "{words}: {:#}",
            diagnosis.json
        );
        diagnosis.assert("clean-up", "ok");
    })
    .await;
}

/// Delivers an object of this name, and says whether it arrived, with nothing of ours beside it.
async fn arrives(bridge: &Bridge, object_key: &str) -> Result<Receipt, Failed> {
    let event = bridge.put(object_key, b"a;b\n".to_vec()).await;
    if bridge.variables.contains_key("SFTP_PRESERVE_MTIME") {
        // A file that is as old as the object, to the second, has its time by accident.
        tokio::time::sleep(Duration::from_millis(2100)).await;
    }
    let receipt = bridge.deliver(&event).await?;
    assert_eq!(receipt.outcome, Outcome::Delivered, "{receipt:?}");
    let taken = bridge.remote(&format!("{TAKEN}/{object_key}"));
    assert_eq!(taken.or(bridge.remote(object_key)).as_deref(), Some(&b"a;b\n"[..]), "{object_key}");
    let name = object_key.rsplit('/').next().unwrap();
    let names = bridge.remote_files().into_iter().filter(|file| file.contains(name));
    assert_eq!(names.count(), 1, "{:?}", bridge.remote_files());
    Ok(receipt)
}

/// Sets what is recommended, and nothing else of the server's.
fn follow(bridge: &mut Bridge, diagnosis: &Diagnosis) {
    let recommended = diagnosis.json["recommended"]["environment"].as_object().unwrap();
    eprintln!("{}", diagnosis.json["recommended"]["changes"]);
    for (name, value) in recommended {
        bridge.set(name, value.as_str().unwrap());
    }
}

/// What is recommended is what a delivery then succeeds with.
#[tokio::test]
async fn doctor_recommends_what_a_delivery_succeeds_with() {
    let good = Quirks::default;
    for (quirks, proof) in [
        (good(), "hash"),
        (Quirks { write_only: true, ..good() }, "read-back"),
        (Quirks { no_posix_rename: true, check_file: true, ..good() }, "size"),
        (Quirks { setstat: Setstat::Refused, apart: true, ..good() }, "auto"),
        (Quirks { no_rename: true, ..good() }, "auto"),
    ] {
        eprintln!("{quirks:?} {proof}");
        let mut bridge = Bridge::to(quirky(quirks).await).await;
        bridge.set("SFTP_PROOF", proof);
        let mut variables = bridge.variables.clone();
        variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
        let diagnosis = examine(&bridge.partner, &variables).await;
        follow(&mut bridge, &diagnosis);
        bridge.delivers("report.csv", b"a;b\n").await;
    }
}

/// A setting that demands what the server does not do is a failure here as it is in a delivery; and the other way round.
#[tokio::test]
async fn doctor_fails_with_what_deliveries_fail_with() {
    let good = Quirks::default;
    let refused = || Quirks { setstat: Setstat::Refused, ..good() };
    let ignored = || Quirks { setstat: Setstat::Ignored, ..good() };
    let swept = || Quirks { sweep: Some(Sweep::AtClose), ..good() };
    const STAGING: (&str, &str) = ("SFTP_STAGING_DIRECTORY", "stage/here");
    let cases = [
        (refused(), &[("SFTP_FILE_MODE", "0640")][..], "chmod", ("SFTP_FILE_MODE", "try:0640")),
        (ignored(), &[("SFTP_FILE_MODE", "0600")], "chmod", ("SFTP_FILE_MODE", "try:0600")),
        (refused(), &[("SFTP_PRESERVE_MTIME", "require")], "mtime", ("SFTP_PRESERVE_MTIME", "try")),
        (ignored(), &[("SFTP_PRESERVE_MTIME", "require")], "mtime", ("SFTP_PRESERVE_MTIME", "try")),
        (refused(), &[("SFTP_DIR_MODE", "0750")], "chmod-dir", ("SFTP_DIR_MODE", "try:0750")),
        (ignored(), &[("SFTP_DIR_MODE", "0700")], "chmod-dir", ("SFTP_DIR_MODE", "try:0700")),
        (swept(), &[], "stat", ("SFTP_PUBLISH", "direct")),
        (swept(), &[STAGING, ("SFTP_IF_EXISTS", "fail")], "stat", ("SFTP_PUBLISH", "direct")),
        (swept(), &[("SFTP_PUBLISH", "direct"), ("SFTP_PROOF", "read-back")], "stat", ("SFTP_PROOF", "auto")),
        (
            Quirks { no_stat: true, ..good() },
            &[("SFTP_IF_EXISTS", "keep-both")],
            "if-exists",
            ("SFTP_IF_EXISTS", "replace"),
        ),
        (
            Quirks { write_only: true, ..good() },
            &[("SFTP_IF_EXISTS", "fail")],
            "if-exists",
            ("SFTP_IF_EXISTS", "replace"),
        ),
        (Quirks { file_systems: true, ..good() }, &[STAGING], "staging", ("SFTP_STAGING_DIRECTORY", "")),
        (
            Quirks { file_systems: true, no_posix_rename: true, ..good() },
            &[STAGING, ("SFTP_IF_EXISTS", "keep-both")],
            "staging",
            ("SFTP_STAGING_DIRECTORY", ""),
        ),
        (
            good(),
            &[("SFTP_STAGING_DIRECTORY", "missing"), ("SFTP_CREATE_DIRECTORIES", "false")],
            "staging",
            ("SFTP_STAGING_DIRECTORY", ""),
        ),
        (
            Quirks { no_rename: true, ..good() },
            &[STAGING, ("SFTP_IF_EXISTS", "keep-both"), ("SFTP_PARTIAL_NAME", "{name}.{id}")],
            "rename",
            ("SFTP_PUBLISH", "direct"),
        ),
    ];
    at_once(cases, |(quirks, settings, check, recommended)| async move {
        eprintln!("{quirks:?} {settings:?}");
        let mut bridge = Bridge::to(quirky(quirks).await).await;
        std::fs::create_dir(bridge.partner.root.join("there")).unwrap();
        settings.iter().for_each(|(name, value)| bridge.set(name, *value));
        let create = !settings.contains(&("SFTP_CREATE_DIRECTORIES", "false"));
        let directory = if create { "new" } else { "there" };
        let (state, error) = arrives(&bridge, &format!("{directory}/before.csv")).await.unwrap_err();
        eprintln!("{state}: {error}");

        let mut variables = bridge.variables.clone();
        variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
        let diagnosis = examine(&bridge.partner, &variables).await;
        assert_eq!(diagnosis.status, 1);
        diagnosis.assert(check, "fail");
        diagnosis.assert("clean-up", "ok");
        let (name, value) = recommended;
        assert_eq!(diagnosis.recommended(name), value, "{:#}", diagnosis.json["recommended"]);
        let hint = diagnosis.of(check)["hint"].as_str().unwrap();
        let named = if value.is_empty() { name.to_owned() } else { format!("{name}={value}") };
        assert!(hint.contains(&named), "{hint}");

        follow(&mut bridge, &diagnosis);
        arrives(&bridge, &format!("{directory}-2/after.csv").replace("there-2", "there")).await.unwrap();
        // And it has nothing more to say against it.
        let mut variables = bridge.variables.clone();
        variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
        let diagnosis = examine(&bridge.partner, &variables).await;
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
        diagnosis.assert_no_changes();
    })
    .await;
}

/// Contents are compared only where a file of the same size is there; doctor knows it before.
#[tokio::test]
async fn doctor_knows_that_what_cannot_be_read_cannot_be_kept() {
    for (quirks, settings, status) in [
        (Quirks::default(), &[][..], "ok"),
        (Quirks::default(), &[("SFTP_IF_EXISTS", "keep-both")], "ok"),
        (
            Quirks { reading: Reading::NotOpened, ..Quirks::default() },
            &[("SFTP_IF_EXISTS", "skip")],
            "absent",
        ),
        (Quirks { reading: Reading::NotOpened, ..Quirks::default() }, &[("SFTP_IF_EXISTS", "fail")], "fail"),
        (
            Quirks { reading: Reading::NothingRead, ..Quirks::default() },
            &[("SFTP_IF_EXISTS", "fail")],
            "fail",
        ),
        // A hash is as good.
        (
            Quirks { reading: Reading::NothingRead, check_file: true, ..Quirks::default() },
            &[("SFTP_IF_EXISTS", "fail")],
            "ok",
        ),
        (
            Quirks { reading: Reading::NothingRead, check_file: true, ..Quirks::default() },
            &[("SFTP_IF_EXISTS", "fail"), ("SFTP_PROOF", "size")],
            "fail",
        ),
    ] {
        eprintln!("{quirks:?} {settings:?}");
        let partner = quirky(quirks).await;
        let mut variables = variables(&partner);
        variables.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let diagnosis = examine(&partner, &variables).await;
        diagnosis.assert("if-exists", status);
        assert_eq!(diagnosis.status, i32::from(status == "fail"), "{:#}", diagnosis.json);
        if status == "fail" {
            assert_eq!(diagnosis.recommended("SFTP_IF_EXISTS"), "replace");
        }
    }
}

#[tokio::test]
async fn doctor_warns_of_what_is_only_tried() {
    for setstat in [Setstat::Refused, Setstat::Ignored] {
        let mut bridge = Bridge::to(quirky(Quirks { setstat, ..Quirks::default() }).await).await;
        for (name, value) in
            [("SFTP_FILE_MODE", "try:0600"), ("SFTP_DIR_MODE", "try:0700"), ("SFTP_PRESERVE_MTIME", "try")]
        {
            bridge.set(name, value);
        }
        let mut variables = bridge.variables.clone();
        variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
        let diagnosis = examine(&bridge.partner, &variables).await;
        for check in ["chmod", "chmod-dir", "mtime"] {
            diagnosis.assert(check, "warn");
        }
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
        diagnosis.assert_no_changes();
        assert_eq!(arrives(&bridge, "new/report.csv").await.unwrap().warnings.len(), 3);
    }
}

/// What is missing and cannot be seen is made, by a delivery and by the doctor; it takes away only what it has made.
#[tokio::test]
async fn doctor_makes_directories_that_it_cannot_see() {
    for (there, made) in [(&["in", "in/stage"][..], ""), (&["in"], "in/stage"), (&[], "in, in/stage")] {
        let mut bridge = Bridge::to(quirky(Quirks { no_stat: true, ..Quirks::default() }).await).await;
        there.iter().for_each(|name| std::fs::create_dir(bridge.partner.root.join(name)).unwrap());
        bridge.set("SFTP_LOCATION", "in");
        bridge.set("SFTP_STAGING_DIRECTORY", "stage");
        let mut variables = bridge.variables.clone();
        variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
        let diagnosis = examine(&bridge.partner, &variables).await;
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
        diagnosis.assert("clean-up", "ok");
        let found = diagnosis.of("create")["found"].as_str().unwrap();
        let expected = if made.is_empty() { "can be made".into() } else { format!("; {made} was not there") };
        assert!(found.contains(&expected), "{found}");
        diagnosis.assert_no_changes();
        let event = bridge.put("report.csv", b"x".to_vec()).await;
        bridge.deliver(&event).await.unwrap();
        assert_eq!(bridge.remote_files(), ["in/report.csv"]);
    }
}

/// Partial files lie and are called as it is set, and the directory is as it was.
#[tokio::test]
async fn doctor_tries_the_staging_directory_and_the_partial_files_name() {
    let partner = Partner::start().await.unwrap();
    let staging = partner.root.join("stage");
    let mut variables = variables(&partner);
    for (name, value) in
        [("SFTP_LOCATION", "in"), ("SFTP_PARTIAL_NAME", "{name}~{id}"), ("SFTP_IF_EXISTS", "keep-both")]
    {
        variables.insert(name.into(), value.into());
    }
    std::fs::create_dir(partner.root.join("in")).unwrap();
    let absolute = staging.to_str().unwrap().to_owned();
    for (value, is_there) in [(absolute.as_str(), false), (absolute.as_str(), true), ("", true)] {
        if is_there && !staging.exists() {
            std::fs::create_dir(&staging).unwrap();
            std::fs::write(staging.join("theirs"), "not ours").unwrap();
        }
        variables.insert("SFTP_STAGING_DIRECTORY".into(), value.into());
        let diagnosis = examine(&partner, &variables).await;
        let status = if value.is_empty() {
            "absent"
        } else if is_there {
            "ok"
        } else {
            "warn"
        };
        diagnosis.assert("staging", status);
        diagnosis.assert_no_failure();
        assert_eq!(staging.exists(), is_there);
    }
}

#[tokio::test]
async fn doctor_says_so_if_what_it_wrote_cannot_be_removed() {
    let partner = quirky(Quirks { no_delete: true, ..Quirks::default() }).await;
    std::fs::write(partner.root.join("theirs.txt"), "not ours").unwrap();
    let diagnosis = examine(&partner, &variables(&partner)).await;
    assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
    diagnosis.assert("delete", "warn");
    diagnosis.assert("clean-up", "warn");
    diagnosis.assert("throughput", "absent");
    let left: Vec<String> = files(&partner).into_keys().filter(|name| name != "theirs.txt").collect();
    assert!(left.len() == 1 && left[0].starts_with(".s3-sftp-bridge-doctor-"), "{left:?}");
    assert!(diagnosis.of("clean-up")["found"].as_str().unwrap().contains(&left[0]));
}

#[tokio::test]
async fn story_15_doctor_notices_that_one_connection_is_all() {
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    proxy.set(Fault::Admit(1)).await;
    let mut variables = variables(&partner);
    variables.insert("SFTP_PORT".into(), proxy.port.to_string());
    let diagnosis = examine(&partner, &variables).await;
    assert_eq!(diagnosis.status, 1);
    diagnosis.assert("connections", "fail");
    diagnosis.assert("clean-up", "ok");
    assert_eq!(diagnosis.recommended("SFTP_MAX_CONNECTIONS"), "1");
    assert_eq!(diagnosis.recommended("SFTP_KEEP_CONNECTION"), "0");
    assert_eq!(diagnosis.json["recommended"]["parameters"]["MaxConnections"], "1");

    // As it recommends, all is well.
    variables.insert("SFTP_KEEP_CONNECTION".into(), "0".into());
    let diagnosis = examine(&partner, &variables).await;
    diagnosis.assert("connections", "absent");
    assert_eq!(diagnosis.status, 0);
}

#[tokio::test]
async fn doctor_finds_the_directory_or_makes_it_for_a_moment() {
    let partner = quirky(Quirks::default()).await;
    let Some(sshd) = tools::sshd().await.unwrap() else {
        return skip("a path from the root: OpenSSH is not available here");
    };
    let mut variables = variables(&partner);
    variables.insert("SFTP_LOCATION".into(), "not/there/yet".into());
    let diagnosis = examine(&partner, &variables).await;
    diagnosis.assert("directory", "warn");
    diagnosis.assert("rename", "ok");
    assert_eq!(diagnosis.status, 0);

    std::fs::create_dir(partner.root.join("in")).unwrap();
    std::fs::write(partner.root.join("a-file"), "").unwrap();
    variables.insert("SFTP_LOCATION".into(), "a-file".into());
    examine(&partner, &variables).await.assert("directory", "fail");

    // Where paths without a slash in front begin elsewhere than at the root.
    let partner = Partner::open_ssh(sshd, Options::default()).await.unwrap();
    std::fs::create_dir(partner.root.join("incoming-1b7")).unwrap();
    let mut variables = self::variables(&partner);
    variables.insert("SFTP_LOCATION".into(), "/incoming-1b7".into());
    let diagnosis = examine(&partner, &variables).await;
    diagnosis.assert("directory", "fail");
    diagnosis.assert("rename", "ok");
    assert_eq!(diagnosis.recommended("SFTP_LOCATION"), "incoming-1b7");
}

#[tokio::test]
async fn story_10_doctor_cleans_up_after_a_connection_that_was_cut() {
    let partner = Partner::start().await.unwrap();
    for bytes in [10_000, 15_000, 1_000_000] {
        let proxy = FaultProxy::start(partner.port).await.unwrap();
        // The first connections only look; what is cut is the one that writes.
        proxy.set(Fault::CutOnceAfter(bytes)).await;
        let mut variables = variables(&partner);
        variables.insert("SFTP_PORT".into(), proxy.port.to_string());
        let diagnosis = examine(&partner, &variables).await;
        assert_eq!(diagnosis.status, 1, "{:#}", diagnosis.json);
        diagnosis.assert("clean-up", "ok");
        assert!(files(&partner).is_empty());
    }
}

#[tokio::test]
async fn doctor_cleans_up_when_it_is_stopped() {
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    proxy.set(Fault::Rate(200_000)).await;
    let mut variables = variables(&partner);
    variables.insert("SFTP_PORT".into(), proxy.port.to_string());
    let key_file = partner.client_key_file();
    let mut command = cli::doctor(&variables, &["--key-file", key_file.to_str().unwrap()]).await;
    let mut running = command.stdout(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while !files(&partner).keys().any(|name| name.ends_with(".sample")) {
        assert!(started.elapsed() < Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = running.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").arg(&pid).status().unwrap().success());
    let mut said = String::new();
    running.stdout.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!(running.wait().await.unwrap().code(), Some(1), "{said}");
    assert!(said.contains("nothing of ours is left"), "{said}");
    assert!(files(&partner).is_empty(), "{:?}", files(&partner).keys());
}

fn in_its_way(ways: Ways) -> Quirks {
    Quirks { ways, ..Quirks::default() }
}

/// What needs no credential is checked without one.
#[tokio::test]
async fn story_125_doctor_checks_the_server_without_a_credential() {
    let partner = quirky(Quirks::default()).await;
    let variables = variables(&partner);
    let missing = tempfile().join("no-such-file");
    let missing = missing.to_str().unwrap();
    for (key_file, status) in [(Some(missing), 1), (None, 2)] {
        let arguments = ["--json", "--timeout", "2"].into_iter();
        let arguments: Vec<&str> =
            arguments.chain(key_file.iter().flat_map(|file| ["--key-file", *file])).collect();
        let ran = cli::run(cli::doctor(&variables, &arguments).await).await;
        let diagnosis = Diagnosis { status: ran.status, json: serde_json::from_str(&ran.stdout).unwrap() };
        assert_eq!(diagnosis.status, status, "{:#}", diagnosis.json);
        diagnosis.assert("credential", "fail");
        for check in ["dns", "tcp", "ssh", "host-key", "algorithms"] {
            diagnosis.assert(check, "ok");
        }
        diagnosis.assert("authentication", "skipped");
        let hint = diagnosis.of("credential")["hint"].as_str().unwrap();
        assert!(hint.contains("--key-file"), "{hint}");
    }
}

#[tokio::test]
async fn story_125_doctor_says_that_the_host_key_was_checked_although_the_login_is_refused() {
    let partner = quirky(Quirks::default()).await;
    let wrong = KeyPair::ed25519().unwrap().private;
    let diagnosis = examine_with(&partner, &variables(&partner), &wrong).await;
    diagnosis.assert("authentication", "fail");
    diagnosis.assert("host-key", "ok");
    diagnosis.assert("algorithms", "ok");
    let found = diagnosis.of("host-key")["found"].as_str().unwrap();
    assert!(found.contains(&partner.host_key.fingerprint().unwrap()), "{found}");
}

/// The size is right, and what was there before is not.
#[tokio::test]
async fn story_126_doctor_notices_that_a_server_empties_a_file_when_it_is_opened() {
    let always = || Ways { truncation: Truncation::Always, ..Ways::default() };
    for quirks in [
        in_its_way(always()),
        Quirks { reading: Reading::NotOpened, ..in_its_way(always()) },
        in_its_way(Ways { sizes: Sizes::Zero, ..always() }),
    ] {
        let partner = quirky(quirks).await;
        let diagnosis = examine(&partner, &variables(&partner)).await;
        diagnosis.assert("resume", "warn");
        let found = diagnosis.of("resume")["found"].as_str().unwrap();
        assert!(found.contains("truncates on open"), "{found}");
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
    }
    for truncation in [Truncation::Required, Truncation::Refused] {
        let partner = quirky(in_its_way(Ways { truncation, ..Ways::default() })).await;
        let diagnosis = examine(&partner, &variables(&partner)).await;
        diagnosis.assert("resume", if truncation == Truncation::Required { "warn" } else { "ok" });
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
    }
}

#[tokio::test]
async fn story_127_doctor_notices_how_a_file_is_replaced() {
    for (quirks, status, words) in [
        (Quirks::default(), "ok", ""),
        (
            in_its_way(Ways { posix_rename_keeps: true, ..Ways::default() }),
            "warn",
            "moving the former one aside",
        ),
        (Quirks { no_posix_rename: true, ..Quirks::default() }, "warn", "moving the former one aside"),
    ] {
        let partner = quirky(quirks).await;
        let diagnosis = examine(&partner, &variables(&partner)).await;
        diagnosis.assert("replace", status);
        diagnosis.assert("rename", "ok");
        let hint = diagnosis.of("replace")["hint"].as_str().unwrap_or_default();
        assert!(hint.contains(words), "{hint}");
        assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
        diagnosis.assert_no_changes();
    }
}

/// With `direct`, others can see a part of a file: it is not recommended because of a virus scanner.
#[tokio::test]
async fn story_128_doctor_waits_for_a_lock_to_pass() {
    let lock = Some(Lock::lasting(Duration::from_millis(1500)));
    let partner = quirky(in_its_way(Ways { lock, ..Ways::default() })).await;
    let diagnosis = examine(&partner, &variables(&partner)).await;
    diagnosis.assert("rename", "warn");
    let found = diagnosis.of("rename")["found"].as_str().unwrap();
    assert!(found.contains("cannot access the file"), "{found}");
    assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
    diagnosis.assert_no_changes();

    let lock = Some(Lock::lasting(Duration::from_secs(3600)));
    let partner = quirky(in_its_way(Ways { lock, ..Ways::default() })).await;
    let diagnosis = examine(&partner, &variables(&partner)).await;
    diagnosis.assert("rename", "fail");
    assert_eq!(diagnosis.recommended("SFTP_PUBLISH"), "direct");
}

#[tokio::test]
async fn story_129_doctor_recommends_a_name_that_the_server_takes() {
    let long = format!("out/{}.bin", "n".repeat(130));
    for (names, object_key, recommended) in [
        (Names::NoLeadingDot, "out/report.csv", "{name}.{id}.part"),
        (Names::AtMost(143), &long, "{id}.part"),
        (Names::EndingWith(".bin"), "out/report.bin", "{id}.{name}"),
    ] {
        for publish in ["rename", "direct"] {
            let ways = Ways { names, ..Ways::default() };
            let mut bridge = Bridge::to(quirky(in_its_way(ways)).await).await;
            bridge.set("SFTP_PUBLISH", publish);
            let mut variables = bridge.variables.clone();
            variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
            let diagnosis = examine_like(&bridge.partner, &variables, object_key).await;
            let is_direct = publish == "direct";
            assert_eq!(diagnosis.status, i32::from(!is_direct), "{:#}", diagnosis.json);
            diagnosis.assert("create", if is_direct { "ok" } else { "fail" });
            if !is_direct {
                assert_eq!(diagnosis.recommended("SFTP_PARTIAL_NAME"), recommended);
            }
            for check in ["write", "rename", "replace", "delete", "throughput"] {
                diagnosis.assert(check, "ok");
            }
            follow(&mut bridge, &diagnosis);
            bridge.delivers(object_key, b"a;b\n").await;
            // And it has nothing more to say against it.
            let mut variables = bridge.variables.clone();
            variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
            let diagnosis = examine_like(&bridge.partner, &variables, object_key).await;
            assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
            diagnosis.assert("rename", "ok");
            diagnosis.assert_no_changes();
        }
    }
}

/// Without an object key, the doctor says how long names may be.
#[tokio::test]
async fn story_129_doctor_says_how_long_names_may_be() {
    let partner = quirky(in_its_way(Ways { names: Names::AtMost(143), ..Ways::default() })).await;
    let mut variables = variables(&partner);
    let diagnosis = examine(&partner, &variables).await;
    diagnosis.assert("names", "warn");
    let found = diagnosis.of("names")["found"].as_str().unwrap();
    assert!(found.contains("up to 143 bytes"), "{found}");
    let hint = diagnosis.of("names")["hint"].as_str().unwrap();
    assert!(hint.contains("SFTP_PARTIAL_NAME={id}.part"), "{hint}");
    variables.insert("SFTP_PARTIAL_NAME".into(), "{id}.part".into());
    examine(&partner, &variables).await.assert("names", "ok");
}

#[tokio::test]
async fn story_130_doctor_notices_sizes_that_are_late_or_never_told() {
    let late = Sizes::LateBy(Duration::from_secs(1));
    for (sizes, proof, status, words) in [
        (late, "auto", "warn", "after the file was closed"),
        (Sizes::Zero, "auto", "warn", "says 0 bytes of a file of"),
        (Sizes::Zero, "size", "fail", "says 0 bytes of a file of"),
    ] {
        let partner = quirky(in_its_way(Ways { sizes, ..Ways::default() })).await;
        let mut variables = variables(&partner);
        variables.insert("SFTP_PROOF".into(), proof.into());
        let diagnosis = examine(&partner, &variables).await;
        diagnosis.assert("stat", status);
        let found = diagnosis.of("stat")["found"].as_str().unwrap();
        assert!(found.contains(words), "{found}");
        diagnosis.assert("resume", "ok");
        assert_eq!(diagnosis.status, i32::from(status == "fail"), "{:#}", diagnosis.json);
        assert_eq!(diagnosis.recommended("SFTP_PROOF"), "auto");
    }
}

#[tokio::test]
async fn story_131_doctor_says_whether_files_can_be_synced() {
    for (announces, status) in [(Some("fsync@openssh.com"), "ok"), (None, "absent")] {
        let partner = quirky(in_its_way(Ways { announces, ..Ways::default() })).await;
        examine(&partner, &variables(&partner)).await.assert("fsync", status);
    }
}

#[tokio::test]
async fn story_132_doctor_makes_a_directory_whatever_open_answers() {
    let open_answers = Some(StatusCode::PermissionDenied);
    let quirks = Quirks { no_stat: true, ..in_its_way(Ways { open_answers, ..Ways::default() }) };
    let mut bridge = Bridge::to(quirky(quirks).await).await;
    bridge.set("SFTP_LOCATION", "in");
    let mut variables = bridge.variables.clone();
    variables.insert("SFTP_USER".into(), bridge.partner.user.clone());
    let diagnosis = examine(&bridge.partner, &variables).await;
    assert_eq!(diagnosis.status, 0, "{:#}", diagnosis.json);
    diagnosis.assert("create", "warn");
    let event = bridge.put("report.csv", b"x".to_vec()).await;
    bridge.deliver(&event).await.unwrap();
    assert_eq!(bridge.remote_files(), ["in/report.csv"]);
}

/// `doctor | head`.
#[tokio::test]
async fn story_41_doctor_cleans_up_when_nobody_reads_on() {
    let partner = Partner::start().await.unwrap();
    let key_file = partner.client_key_file();
    for lines in [1, 9, 14, 20] {
        let mut command =
            cli::doctor(&variables(&partner), &["--key-file", key_file.to_str().unwrap()]).await;
        let mut running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(running.stdout.take().unwrap()).lines();
        for _ in 0..lines {
            said.next_line().await.unwrap().unwrap();
        }
        drop(said);
        let output = running.wait_with_output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{lines}: {stderr}");
        assert!(!stderr.contains("panicked"), "{lines}: {stderr}");
        assert!(files(&partner).is_empty(), "{lines}: {:?}", files(&partner).keys());
    }
}

#[tokio::test]
async fn story_56_doctor_warns_of_a_key_file_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let partner = Partner::start().await.unwrap();
    let folder = tempfile();
    let file = folder.join("credential");
    std::fs::write(&file, &partner.client_key.private).unwrap();
    for (mode, warns) in [(0o644, true), (0o640, true), (0o600, false)] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let command =
            cli::doctor(&variables(&partner), &["--json", "--key-file", file.to_str().unwrap()]).await;
        let ran = cli::run(command).await;
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr.contains("chmod 600"), warns, "{mode:o}: {}", ran.stderr);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
