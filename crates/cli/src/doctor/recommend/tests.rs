//! Tests of the recommendation.

use std::time::Duration;

use bridge::{Settings, Variables};

use super::plain::{HOST_KEYS_MAX, parameter};
use super::*;
use crate::doctor::configuration::tests::configuration;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";

fn recommended(more: &[(&str, &str)], facts: &Facts) -> Option<Recommendation> {
    let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", KEY)];
    Recommendation::new(&configuration(&[&least, more].concat(), &[]).unwrap(), facts)
}

fn good() -> Facts {
    Facts {
        host_key: Some(KEY.into()),
        write: Some(true),
        stat: Some(true),
        read: Some(true),
        hash: Some(false),
        rename: Some(true),
        rename_new: Some(true),
        keep: Some(true),
        second_connection: Some(true),
        ..Facts::default()
    }
}

fn changes(more: &[(&str, &str)], facts: &Facts) -> Vec<(&'static str, String)> {
    let recommended = recommended(more, facts).unwrap();
    let changed = |name: &str| recommended.changes.contains_key(name);
    recommended.settings.iter().filter(|(name, _)| changed(name)).cloned().collect()
}

fn change(name: &'static str, value: &str) -> Vec<(&'static str, String)> {
    vec![(name, value.to_owned())]
}

#[test]
fn nothing_is_recommended_before_a_file_was_written() {
    assert!(recommended(&[], &Facts::default()).is_none());
    assert!(recommended(&[], &Facts { write: Some(false), ..good() }).is_none());
}

#[test]
fn what_works_stays() {
    assert_eq!(changes(&[], &good()), []);
    assert_eq!(changes(&[("SFTP_PROOF", "size"), ("SFTP_MAX_CONNECTIONS", "4")], &good()), []);
    assert_eq!(changes(&[("SFTP_PROOF", "none")], &good()), []);
}

#[test]
fn a_proof_that_is_not_given_is_not_demanded() {
    let blind = Facts { stat: Some(false), read: Some(false), ..good() };
    assert_eq!(changes(&[("SFTP_PROOF", "hash")], &good()), change("SFTP_PROOF", "auto"));
    assert_eq!(changes(&[("SFTP_PROOF", "read-back")], &blind), change("SFTP_PROOF", "auto"));
    assert_eq!(changes(&[("SFTP_PROOF", "size")], &blind), change("SFTP_PROOF", "auto"));
    assert_eq!(changes(&[], &blind), [], "what can be proved later is not given up today");
}

#[test]
fn what_is_demanded_and_refused_is_only_tried() {
    let refused = Facts { chmod: Some(false), chmod_dir: Some(false), mtime: Some(false), ..good() };
    for (name, value, recommended) in [
        ("SFTP_FILE_MODE", "0640", "try:0640"),
        ("SFTP_DIR_MODE", "750", "try:750"),
        ("SFTP_DIR_MODE", "require:0750", "try:0750"),
        ("SFTP_PRESERVE_MTIME", "require", "try"),
    ] {
        assert_eq!(changes(&[(name, value)], &refused), change(name, recommended));
        for lenient in [recommended, "off"] {
            assert_eq!(changes(&[(name, lenient)], &refused), [], "{lenient}");
        }
    }
    assert_eq!(changes(&[], &refused), []);
}

#[test]
fn what_cannot_be_kept_is_replaced() {
    let (blind, swept) = (Facts { keep: Some(false), ..good() }, Some(true));
    for policy in ["fail", "keep-both"] {
        assert_eq!(changes(&[("SFTP_IF_EXISTS", policy)], &blind), change("SFTP_IF_EXISTS", "replace"));
    }
    assert_eq!(changes(&[("SFTP_IF_EXISTS", "skip")], &blind), []);
    let replacing = Facts { rename: Some(false), rename_new: Some(true), ..good() };
    assert_eq!(changes(&[("SFTP_IF_EXISTS", "fail")], &replacing), []);
    assert_eq!(changes(&[], &replacing), change("SFTP_PUBLISH", "direct"));
    let more = [
        ("SFTP_IF_EXISTS", "fail"),
        ("SFTP_STAGING_DIRECTORY", "stage"),
        ("SFTP_PARTIAL_NAME", "{name}.{id}"),
    ];
    let direct = [
        ("SFTP_IF_EXISTS", "replace"),
        ("SFTP_PUBLISH", "direct"),
        ("SFTP_PARTIAL_NAME", ""),
        ("SFTP_STAGING_DIRECTORY", ""),
    ];
    let direct = direct.map(|(name, value)| (name, value.to_owned()));
    assert_eq!(changes(&more, &Facts { swept, ..good() }), direct);
    let staging = Facts { staging: Some(false), ..good() };
    assert_eq!(changes(&more, &staging), change("SFTP_STAGING_DIRECTORY", ""));
}

#[test]
fn old_algorithms_are_given_up_but_for_the_key() {
    let legacy = [("SFTP_ALGORITHMS", "legacy")];
    let modern = |signs_with_sha1| Facts { legacy: Some(false), signs_with_sha1, ..good() };
    assert_eq!(changes(&legacy, &modern(Some(false))), change("SFTP_ALGORITHMS", "modern"));
    assert_eq!(changes(&legacy, &modern(Some(true))), change("SFTP_ALGORITHMS", "modern,+ssh-rsa"));
    assert_eq!(changes(&legacy, &Facts { legacy: Some(true), ..good() }), []);
}

#[test]
fn a_single_connection_and_a_far_one() {
    let single = Facts { second_connection: Some(false), ..good() };
    let recommended = recommended(&[("SFTP_MAX_CONNECTIONS", "4")], &single).unwrap();
    assert!(recommended.settings.contains(&("SFTP_MAX_CONNECTIONS", "1".into())));
    assert!(recommended.settings.contains(&("SFTP_KEEP_CONNECTION", "0".into())));
    let parameters = recommended.parameters();
    assert!(parameters.contains(&("MaxConnections".into(), "1".into())));
    assert!(parameters.contains(&("ConnectionsPerFile".into(), "1".into())));
    let far = Facts { round_trip: Some(Duration::from_millis(50)), ..good() };
    assert_eq!(changes(&[], &far), change("SFTP_MAX_CONNECTIONS", "2"));
}

#[test]
fn host_keys_are_put_on_one_line() {
    let several = format!("# ours\n{FINGERPRINT}\n{KEY}\n");
    let recommended = recommended(&[("SFTP_TRUSTED_HOST_KEYS", &several)], &good()).unwrap();
    assert!(recommended.settings.contains(&("SFTP_TRUSTED_HOST_KEYS", format!("{FINGERPRINT},{KEY}"))));
}

#[test]
fn it_can_be_pasted() {
    let more = [("SFTP_LOCATION", "in box's"), ("SFTP_USER", r"DOMAIN\acme")];
    let recommended = recommended(&more, &good()).unwrap();
    let text = recommended.to_string();
    for line in [
        "  sam deploy --stack-name sftp-... --parameter-overrides",
        r#"    SftpUser='"DOMAIN\acme"'"#,
        "The settings are right as they are.",
        "  export SFTP_HOST=h\n",
        r"  export SFTP_LOCATION='in box'\''s'",
        &format!("    SftpTrustedHostKeys='\"{KEY}\"'"),
        "    SftpHost=h \\\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

const TEMPLATE: &str = include_str!("../../../../../sam/template.yaml");

/// Why the template would not take this value for a parameter.
fn problem(parameter: &str, value: &str) -> Option<String> {
    let (_, rest) = TEMPLATE.split_once(&format!("\n  {parameter}:\n")).expect(parameter);
    let lines: Vec<&str> = rest.lines().take_while(|line| line.starts_with("    ")).collect();
    let property = |name: &str| {
        let start = format!("    {name}: ");
        lines.iter().find_map(|line| line.strip_prefix(&start))
    };
    if let Some(pattern) = property("AllowedPattern") {
        let pattern = pattern.trim_matches('\'').replace("''", "'");
        // As CloudFormation does it: the whole value.
        if !regex_lite::Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(value) {
            return Some(format!("{parameter}={value} does not match {pattern}"));
        }
    }
    if let Some(allowed) = property("AllowedValues") {
        let mut allowed = allowed.trim_matches(['[', ']']).split(',');
        if !allowed.any(|word| word.trim().trim_matches('"') == value) {
            return Some(format!("{parameter}={value} is not one of the allowed values"));
        }
    }
    if let Some(most) = property("MaxLength").and_then(|most| most.parse::<usize>().ok())
        && value.len() > most
    {
        return Some(format!("{parameter} has {} characters of {most}", value.len()));
    }
    let least: Option<u32> = property("MinValue").and_then(|least| least.parse().ok());
    match (least, value.parse::<u32>()) {
        (Some(_), Err(_)) => Some(format!("{parameter}={value} is no number")),
        _ => None,
    }
}

#[test]
fn the_template_takes_what_is_recommended() {
    let several = format!("# ours\n{KEY}\n@cert-authority * {KEY}\n{FINGERPRINT}");
    let many = vec![KEY; 20].join("\n");
    let sets: [&[(&str, &str)]; 5] = [
        &[],
        &[
            ("SFTP_PORT", "0022"),
            ("SFTP_USER", "acme"),
            ("SFTP_LOCATION", "/in box"),
            ("SFTP_SECRET_ID", ""),
            ("SFTP_S3_SSH_KEY", "s3://my-bucket/keys/id"),
            ("SFTP_TRUSTED_HOST_KEYS", &several),
            ("SFTP_AUTHENTICATION", "password  publickey, keyboard-interactive,"),
            ("SFTP_ALGORITHMS", "+ssh-rsa  ^aes256-ctr,\t-ecdh-*"),
            ("SFTP_MAX_CONNECTIONS", "16"),
        ],
        &[("SFTP_ALGORITHMS", "legacy -3des-cbc,"), ("SFTP_TRUSTED_HOST_KEYS", &many)],
        &[
            ("SFTP_FILE_MODE", "640"),
            ("SFTP_DIR_MODE", "try:0750"),
            ("SFTP_PRESERVE_MTIME", "require"),
            ("SFTP_IF_EXISTS", "keep-both"),
            ("SFTP_PROOF", "hash"),
            ("SFTP_PARTIAL_NAME", "{name}.{id}.filepart"),
            ("SFTP_STAGING_DIRECTORY", "/stage"),
            ("SFTP_REMOTE_PATH", "{date:%Y}/{key}"),
        ],
        &[("SFTP_SECRET_ID", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:acme-AbCdEf")],
    ];
    let bad = Facts {
        other_location: Some("incoming".into()),
        chmod: Some(false),
        chmod_dir: Some(false),
        mtime: Some(false),
        mkdir: Some(false),
        second_connection: Some(false),
        partial_name: Some("{id}.{name}".into()),
        ..good()
    };
    let direct = Facts { swept: Some(true), ..good() };
    for more in sets {
        for facts in [&good(), &bad, &direct] {
            let recommended = recommended(more, facts).unwrap();
            let parameters = recommended.parameters();
            assert!(parameters.len() > 5);
            for (parameter, value) in parameters {
                assert_eq!(problem(&parameter, &value), None, "{more:?}");
            }
            let set: Variables = recommended.settings.into_iter().collect();
            Settings::parse(&set).unwrap();
        }
    }
    assert!(problem("SftpS3SshKey", "s3://b/k").is_some() && problem("SftpPublish", "move").is_some());
}

#[test]
fn values_mean_the_same_in_their_plainest_form() {
    for (name, value, plainest) in [
        ("SFTP_PORT", "0022", "22"),
        ("SFTP_S3_SSH_KEY", "s3://my-bucket/keys/id", "my-bucket/keys/id"),
        ("SFTP_AUTHENTICATION", "password publickey", "password,publickey"),
        ("SFTP_ALGORITHMS", "+ssh-rsa ^aes256-ctr", "modern,+ssh-rsa,^aes256-ctr"),
        ("SFTP_ALGORITHMS", "legacy, -3des-cbc", "legacy,-3des-cbc"),
    ] {
        let no_secret = ("SFTP_SECRET_ID", if name == "SFTP_S3_SSH_KEY" { "" } else { "s" });
        let recommended = recommended(&[no_secret, (name, value)], &good()).unwrap();
        assert!(recommended.settings.contains(&(name, plainest.into())), "{:?}", recommended.settings);
        assert!(recommended.changes.is_empty());
    }
    let many = vec![KEY; 40].join("\n");
    let recommended = recommended(&[("SFTP_TRUSTED_HOST_KEYS", &many)], &good()).unwrap();
    let fingerprints = vec![FINGERPRINT; 40].join(",");
    assert!(recommended.settings.contains(&("SFTP_TRUSTED_HOST_KEYS", fingerprints)));
}

#[test]
fn host_keys_are_no_longer_than_the_template_takes() {
    let keys = TEMPLATE.split("\n  SftpTrustedHostKeys:\n").nth(1).unwrap();
    let max = keys.split("MaxLength: ").nth(1).unwrap().lines().next().unwrap();
    assert_eq!(max.parse(), Ok(HOST_KEYS_MAX));
}

#[test]
fn parameters_are_named_like_settings() {
    assert_eq!(parameter("SFTP_S3_SSH_KEY"), "SftpS3SshKey");
    let not_the_users = ["SFTP_MAX_CONNECTIONS", "SFTP_KEEP_CONNECTION"];
    for setting in SETTINGS.iter().filter(|setting| setting.name.starts_with("SFTP_")) {
        if !not_the_users.contains(&setting.name) {
            let line = format!("\n  {}:\n", parameter(setting.name));
            assert!(TEMPLATE.contains(&line), "{line}");
        }
    }
}

#[test]
fn to_a_stack_that_only_collects_nothing_of_deliveries_is_recommended() {
    let only = [("COLLECT_ONLY", "true"), ("COLLECT_BUCKET", "bucket")];
    let listed = || Facts { listing: Some(true), ..Facts::default() };
    assert!(recommended(&only, &Facts::default()).is_none(), "the directory was not listed");
    assert_eq!(changes(&only, &listed()), []);
    let refused = Facts { stay: Some("our user may not move files"), ..listed() };
    assert_eq!(changes(&only, &refused), change("COLLECT_AFTERWARDS", "leave"));
    let parameters = recommended(&only, &refused).unwrap().parameters();
    let has = |name: &str| parameters.iter().any(|(parameter, _)| parameter == name);
    assert!(has("CollectOnly") && has("CollectAfterwards") && !has("SftpProof"), "{parameters:?}");
    // Collecting takes several connections for a file, too.
    let one = Facts { second_connection: Some(false), ..listed() };
    let several = [("COLLECT_ONLY", "true"), ("COLLECT_BUCKET", "bucket"), ("SFTP_MAX_CONNECTIONS", "4")];
    assert!(changes(&several, &one).contains(&change("SFTP_MAX_CONNECTIONS", "1")[0]));
    let far =
        Facts { second_connection: Some(true), round_trip: Some(Duration::from_millis(50)), ..listed() };
    assert_eq!(changes(&only, &far), change("SFTP_MAX_CONNECTIONS", "2"));
}
