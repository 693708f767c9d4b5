//! What the roles of a stack may do: the local AWS evaluates their policies here, as AWS does.

use integration_tests::ministack::{MiniStack, Options};
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;

use super::{input, receipt, records, run};

#[tokio::test]
async fn story_108_the_roles_may_do_what_a_delivery_needs_and_no_more() {
    let aws = MiniStack::start(Options { auth: true, ..Options::default() }).await.unwrap();
    let partner = Partner::start().await.unwrap();
    let value = serde_json::json!({"Username": partner.user, "PrivateKey": partner.client_key.private});
    let arn = aws.create_secret("permissions/sftp", &value.to_string()).await.unwrap();
    // As Secrets Manager takes it, too: without the hyphen and the six characters at its end.
    let secret = &arn[..arn.len() - 7];
    assert!(secret.ends_with(":secret:permissions/sftp"), "{arn}");
    let port = partner.port.to_string();
    let queue = aws.create_queue("notices").await.unwrap();
    let topic = aws.create_topic("notices", &queue).await.unwrap();
    let parameters = [
        ("SftpHost", partner.host.as_str()),
        ("SftpPort", &port),
        ("SftpSecretId", secret),
        ("SftpTrustedHostKeys", &partner.host_key.public),
        ("KeyPrefix", "out/"),
        ("KeySuffix", "/x"),
        ("AfterDelivery", "delete"),
        ("StateMachineName", "another-name"),
        ("NoticeTopicArn", &topic),
    ];
    let stack = Stack::deploy(&aws, "permissions", &parameters).await.unwrap();
    assert!(stack.state_machine().ends_with(":another-name"), "{}", stack.state_machine());

    // Both refuse requests without TLS, which all requests are here.
    for bucket in [stack.bucket(), stack.record_bucket()] {
        aws.s3().delete_bucket_policy().bucket(bucket).send().await.unwrap();
    }

    // Listing the versions of a key below the prefix is needed for that. Prefix and suffix share a slash in the first.
    for object_key in ["out/x", "out/below/x"] {
        let delivered = stack.deliver(object_key, b"x".to_vec()).await.unwrap();
        assert_eq!(delivered.error, None, "{:?}", delivered.cause);
        let receipt = receipt(&delivered);
        assert_eq!(
            (&receipt["outcome"], &receipt["after_delivery"]),
            (&"delivered".into(), &"deleted".into())
        );
        assert!(receipt["warnings"].is_null(), "{receipt}");
    }

    stack.upload("elsewhere/x", b"x".to_vec()).await.unwrap();
    let failed = run(&stack, &input(&stack, "elsewhere/x")).await;
    assert_eq!(failed.error.as_deref(), Some("ObjectUnreadable"), "{failed:?}");
    assert!(failed.cause.as_ref().unwrap().contains("403"), "{failed:?}");
    // The record tells what the history says: the function may read that of this state machine.
    let record = stack.failure_record(&failed).await.unwrap().expect("a failed execution has a record");
    assert!(record.contains("elsewhere/x"), "{record}");
    assert!(!record.contains("attempts_problem"), "{record}");

    // Step Functions' event about it reaches the function, which may ask about the execution.
    records::logged(&stack, "nothing to record", &failed).await;
    records::logged(&stack, "the notice is sent", &failed).await;

    // A failure that is made good for is settled. No warning says that a receipt was not written.
    std::fs::write(partner.root.join("out/fails"), "in the way").unwrap();
    let failed = stack.deliver("out/fails/x", b"x".to_vec()).await.unwrap();
    assert_eq!(failed.error.as_deref(), Some("RemotePathRejected"), "{failed:?}");
    std::fs::remove_file(partner.root.join("out/fails")).unwrap();
    let again = run(&stack, &failed.input).await;
    assert!(receipt(&again)["warnings"].is_null(), "{again:?}");
    let keys = stack.records("").await.unwrap().into_keys().collect::<Vec<_>>();
    let count = |prefix: &str| keys.iter().filter(|key| key.starts_with(prefix)).count();
    let found = ["receipts/objects/", "receipts/days/", "failures/open/out/", "failures/settled/"].map(count);
    assert_eq!(found, [3, 3, 0, 1], "{keys:?}");
}
