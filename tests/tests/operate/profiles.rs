//! Credentials as people have them: from a program, and from IAM Identity Center.

use std::path::Path;

use integration_tests::cli::{self, Ran};

use crate::Desk;

const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// `failures` without keys in the environment, with this configuration of AWS.
async fn failures(desk: &Desk, home: &Path, config: &str, more: &[(&'static str, &str)]) -> Ran {
    let file = home.join("config");
    std::fs::write(&file, config).unwrap();
    let mut environment = desk.environment();
    let ours = ["HOME", "AWS_CONFIG_FILE"];
    environment.retain(|(name, _)| !KEYS.contains(name) && !ours.contains(name));
    let ours = ours.into_iter().zip([home, &file].map(|path| path.to_str().unwrap()));
    environment.extend(ours.chain(more.iter().copied()).map(|(name, value)| (name, value.to_owned())));
    let profile: &[&str] = if more.is_empty() { &["--profile", "acme"] } else { &[] };
    cli::run(cli::operate(environment, &[&["failures"], profile].concat()).await).await
}

#[tokio::test]
async fn story_209_a_profile_may_name_a_program_that_gives_the_credentials() {
    let desk = Desk::new("profiles-program").await;
    let home = tempfile::tempdir().unwrap();
    let program = home.path().join("credentials");
    let answer = r#"{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"}"#;
    std::fs::write(&program, format!("echo '{answer}'\n")).unwrap();
    let config = format!("[profile acme]\ncredential_process = sh {}\n", program.display());
    for more in [&[][..], &[("AWS_PROFILE", "acme")]] {
        let ran = failures(&desk, home.path(), &config, more).await;
        assert_eq!((ran.status, ran.stdout.as_str()), (0, "no open failures\n"), "{ran:?}");
    }
}

#[tokio::test]
async fn story_209_who_is_not_logged_in_is_told_how() {
    let desk = Desk::new("profiles-sso").await;
    let home = tempfile::tempdir().unwrap();
    let config = "[profile acme]\nsso_session = company\nsso_account_id = 123456789012\nsso_role_name = operator\n\
                  [sso-session company]\nsso_region = us-east-1\nsso_start_url = https://company.awsapps.com/start\n";
    for more in [&[][..], &[("AWS_PROFILE", "acme")]] {
        let ran = failures(&desk, home.path(), config, more).await;
        assert_eq!(ran.status, 2, "{ran:?}");
        assert!(ran.stderr.contains("log in first: aws sso login --profile acme"), "{ran:?}");
    }
}
