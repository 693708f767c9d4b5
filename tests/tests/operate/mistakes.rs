//! Wrong arguments, no credentials, no such stack: a clear message, and nothing is changed.

use integration_tests::cli;
use integration_tests::ministack;
use integration_tests::small_stack::Afterwards;

use crate::Desk;

#[tokio::test]
async fn story_205_wrong_arguments_change_nothing() {
    let desk = Desk::new("mistakes-arguments").await;
    let arn = desk.stack.fail("e1", "a.txt", "RemoteFull", Afterwards::Succeeds).await.unwrap();
    for (arguments, words) in [
        (&["failures", "--since", "yesterday"][..], "expected an age"),
        (&["failures", "--prefix"], "--prefix"),
        (&["failures", "show"], "<ID|KEY>"),
        (&["failures", "show", "failures/open/x"], "not the key of a failure record"),
        (&["redrive", "--limit", "many"], "--limit"),
        (&["backfill"], "<OBJECTS>"),
        (&["backfill", "s3://another-bucket/in/"], "another-bucket"),
        (&["backfill", "s3://mistakes-arguments-objects", "--newer-than", "yesterday"], "expected an age"),
        (&["backfill", "--manifest", "/no/such/file"], "/no/such/file"),
        (
            &["backfill", "s3://mistakes-arguments-objects", "--stack", "no-such-stack"],
            "no stack \"no-such-stack\"",
        ),
        (&["redrive", "--stack", ""], "--stack"),
        (&["redrive", "e1"], "unexpected argument"),
        (&["redrive", "--stack", "no-such-stack"], "no stack \"no-such-stack\" in us-east-1"),
    ] {
        let ran = desk.run(arguments).await;
        assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(words) && ran.stdout.is_empty(), "{arguments:?}: {ran:?}");
    }
    assert_eq!(desk.redriver.calls("RedriveExecution"), 0);
    assert_eq!(desk.stack.status(&arn).await.unwrap().as_str(), "FAILED");
}

#[tokio::test]
async fn story_205_without_credentials_region_or_stack() {
    let aws = ministack::shared().await;
    let without = |names: &[&str]| {
        let mut environment = aws.environment();
        environment.retain(|(name, _)| !names.contains(name));
        environment
    };
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let regions = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    for (environment, arguments, words) in [
        (without(&keys), &["--stack", "s"][..], "no AWS credentials were found"),
        (without(&regions), &["--stack", "s"], "no AWS region is set"),
        (
            without(&[]),
            &["--stack", "s", "--profile", "acme"],
            "the AWS profile \"acme\" gives no credentials",
        ),
        (without(&[]), &[], "--stack <NAME>"),
    ] {
        for command in [&["failures"][..], &["redrive"], &["backfill", "s3://b/k"]] {
            let arguments = [command, arguments].concat();
            let ran = cli::run(cli::operate(environment.clone(), &arguments).await).await;
            assert_eq!(ran.status, 2, "{arguments:?}: {ran:?}");
            assert!(ran.stderr.contains(words), "{arguments:?}: {}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn story_205_aws_cannot_be_reached() {
    let aws = ministack::shared().await;
    let mut environment = aws.environment();
    environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL");
    environment.push(("AWS_ENDPOINT_URL", "http://127.0.0.1:9".into()));
    let ran = cli::run(cli::operate(environment, &["failures", "--stack", "s"]).await).await;
    assert_eq!(ran.status, 1, "{ran:?}");
    assert!(ran.stderr.contains("looking up the stack \"s\""), "{}", ran.stderr);
}
