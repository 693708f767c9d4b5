//! `s3-sftp-bridge doctor --write` and `--config-file`, the real binary: a partner's file for `sam deploy`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use integration_tests::cli::{self, Ran};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::keys::KeyPair;
use integration_tests::partner::Partner;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A partner, and a folder for its files.
struct Place {
    partner: Partner,
    folder: TempDir,
}

impl Place {
    async fn new() -> Self {
        Self { partner: Partner::start().await.unwrap(), folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let variables = [
            ("SFTP_HOST", self.partner.host.clone()),
            ("SFTP_PORT", self.partner.port.to_string()),
            ("SFTP_USER", self.partner.user.clone()),
            ("SFTP_TRUSTED_HOST_KEYS", self.partner.host_key.public.clone()),
            ("SFTP_SECRET_ID", "acme/sftp".into()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Runs the doctor with the partner's key as a file.
    async fn doctor(&self, variables: &BTreeMap<String, String>, arguments: &[&str]) -> Ran {
        let key_file = self.partner.client_key_file();
        let arguments = [&["--timeout", "2", "--key-file", text(&key_file)], arguments].concat();
        let ran = cli::run(cli::doctor(variables, &arguments).await).await;
        for line in self.partner.client_key.private.lines().filter(|line| !line.starts_with("-----")) {
            assert!(!ran.stdout.contains(line) && !ran.stderr.contains(line), "{ran:?}");
        }
        ran
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.folder).unwrap().next().is_none()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn doctor_writes_what_it_has_examined_and_reads_it_again() {
    let place = Place::new().await;
    let mut variables = place.variables();
    variables.insert("S3_EXCLUDE".into(), "**/tmp/**".into());
    variables.insert("SFTP_PROOF".into(), "hash".into());
    variables.insert("AWS_REGION".into(), "eu-west-1".into());
    let path = place.path("acme.toml");
    let file = text(&path);
    let parameters = ["--parameter", "KeyPrefix=acme/", "--parameter", "MaxConnections=4", "--write", file];
    let ran = place.doctor(&variables, &parameters).await;
    // OpenSSH computes no hashes, so the check of the proof fails until the recommendation is followed.
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("was not written, because these checks failed: "), "{ran:?}");
    assert!(ran.stdout.contains("sam deploy --stack-name sftp-acme --parameter-overrides"), "{ran:?}");
    assert!(place.is_empty());

    variables.remove("SFTP_PROOF");
    let ran = place.doctor(&variables, &parameters).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("for the stack sftp-acme. Deploy it"), "{ran:?}");
    let written = std::fs::read_to_string(&path).unwrap();
    for line in [
        "stack_name = \"sftp-acme\"",
        "region = \"eu-west-1\"",
        &format!("SftpHost = \"{}\"", place.partner.host),
        &format!("SftpPort = \"{}\"", place.partner.port),
        &format!("SftpTrustedHostKeys = \"{}\"", place.partner.host_key.public),
        "SftpSecretId = \"acme/sftp\"",
        "KeyPrefix = \"acme/\"",
        "S3Exclude = \"**/tmp/**\"",
        "MaxConnections = \"4\"",
    ] {
        assert_eq!(written.lines().filter(|found| *found == line).count(), 1, "{line}\n{written}");
    }
    assert!(!written.contains("SftpProof") && !written.contains("PRIVATE KEY"), "{written}");

    // The settings are those of the file, and not those of the environment.
    let other = BTreeMap::from([("SFTP_HOST".to_owned(), "wrong.invalid".to_owned())]);
    let ran = place.doctor(&other, &["--config-file", file]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(ran.stdout.contains("; the stack is sftp-acme\n"), "{ran:?}");

    // A change of one parameter leaves the others, what a person has written, and a default that was named before. A
    // default that the command line gives is written, because the stack may have another value.
    let edited =
        written.replace("resolve_s3 = true\n", "s3_bucket = \"ours\" # audited\nrole_arn = \"arn\"\n");
    assert_ne!(edited, written);
    std::fs::write(&path, &edited).unwrap();
    let change = ["--parameter", "MaxConnections=10", "--parameter", "SftpProof=auto", "--json"];
    let change = [&["--config-file", file, "--write", file], change.as_slice()].concat();
    let elsewhere = BTreeMap::from([("AWS_REGION".to_owned(), "us-east-1".to_owned())]);
    let ran = place.doctor(&elsewhere, &change).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let expected = json!({"path": file, "stack_name": "sftp-acme", "is_written": true, "refusal": null});
    assert_eq!(json["file"], expected);
    let changed = std::fs::read_to_string(&path).unwrap();
    let edited = edited.replace("MaxConnections = \"4\"", "MaxConnections = \"10\"");
    assert_eq!(changed, edited + "SftpProof = \"auto\"\n");
}

#[tokio::test]
async fn doctor_writes_nothing_for_another_server_or_a_partner_that_needs_other_settings() {
    let place = Place::new().await;
    let path = place.path("acme.toml");
    let mut variables = place.variables();
    variables.insert("SFTP_TRUSTED_HOST_KEYS".into(), KeyPair::ed25519().unwrap().public);
    let ran = place.doctor(&variables, &["--write", text(&path)]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("was not written, because these checks failed: host-key. Change"), "{ran:?}");
    assert!(place.is_empty());

    // One connection is all that this partner admits. The stack's settings for that are examined, and written.
    let proxy = FaultProxy::start(place.partner.port).await.unwrap();
    proxy.set(Fault::Admit(1)).await;
    let mut variables = place.variables();
    variables.insert("SFTP_PORT".into(), proxy.port.to_string());
    let ran = place.doctor(&variables, &["--write", text(&path)]).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stdout.contains("these checks failed: connections. "), "{ran:?}");
    assert!(place.is_empty());
    let ran = place.doctor(&variables, &["--write", text(&path), "--parameter", "MaxConnections=1"]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    assert!(std::fs::read_to_string(&path).unwrap().contains("\nMaxConnections = \"1\"\n"));
}

#[tokio::test]
async fn doctor_refuses_before_it_connects_what_could_not_be_written_or_deployed() {
    let mut place = Place::new().await;
    let path = place.path("acme.toml");
    let file = text(&path).to_owned();
    let variables = place.variables();
    let ran = place.doctor(&variables, &["--write", &file]).await;
    assert_eq!(ran.status, 0, "{ran:?}");
    let written = std::fs::read_to_string(&path).unwrap();
    let (bad, theirs) = (place.path("bad.toml"), place.path("theirs.toml"));
    let wrong =
        written.replace("SftpUser", "SftpUsr").replace("SftpPort = ", "SftpProof = \"all\"\nSftpPort = ");
    std::fs::write(&bad, wrong).unwrap();
    std::fs::write(&theirs, "version = 0.1\n").unwrap();
    // From here on, a connection would be refused.
    place.partner.stop();

    let without_secret: BTreeMap<_, _> =
        variables.clone().into_iter().filter(|(name, _)| name != "SFTP_SECRET_ID").collect();
    let other = variables.clone().into_iter().chain([("SFTP_USER".into(), "globex".into())]).collect();
    let (bad, theirs) = (text(&bad), text(&theirs));
    let missing = place.path("missing.toml");
    for (variables, arguments, words) in [
        (&without_secret, vec!["--write", &file], "--write needs --secret-id"),
        (&other, vec!["--write", &file], "for another partner: its SftpUser is "),
        (&variables, vec!["--write", theirs], "this command has not written it"),
        (&variables, vec!["--write", "samconfig.toml"], "choose the partner's name"),
        (
            &variables,
            vec!["--parameter", "KeyPrefx=a/"],
            "KeyPrefx is no parameter of the template: the nearest one is KeyPrefix",
        ),
        (
            &variables,
            vec!["--parameter", "MaxConnections=7"],
            "MaxConnections is \"7\": expected one of 0, 1, 2",
        ),
        (
            &variables,
            vec!["--config-file", bad],
            "SftpUsr is no parameter of the template: the nearest one is SftpUser",
        ),
        (&variables, vec!["--config-file", bad], "SftpProof is \"all\": expected one of auto, hash"),
        (&variables, vec!["--config-file", text(&missing)], "missing.toml: No such file"),
    ] {
        let ran = place.doctor(variables, &arguments).await;
        assert_eq!(ran.status, 2, "{arguments:?} {ran:?}");
        assert!(ran.stdout.contains(words), "{words}\n{ran:?}");
        assert!(ran.stdout.contains("fail  settings") && !ran.stdout.contains("tcp   "), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    assert_eq!(std::fs::read_to_string(theirs).unwrap(), "version = 0.1\n");
}
