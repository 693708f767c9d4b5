//! The steps of `docs/migrating.md` for users of py-s3-sftp-bridge, as far as the local AWS plays them: an old bucket with
//! a notification, the private key as an object in S3, and a queue of what failed. The test is the old bridge.

use std::time::Duration;

use aws_sdk_s3::types::{Event, EventBridgeConfiguration, NotificationConfiguration, QueueConfiguration};
use integration_tests::cli;
use integration_tests::messages::Queue;
use integration_tests::ministack::{self, MiniStack};
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{PATIENCE, receipt};

const BUCKET: &str = "s3-sftp-bridge-moving-000000000000";
const KEYS: &str = "s3-sftp-bridge-ssh-keys-000000000000";
const NAME: &str = "s3-sftp-bridge-moving";

/// The old bridge: a queue that gets its notifications, in place of its function.
struct OldBridge<'a> {
    aws: &'static MiniStack,
    partner: &'a Partner,
    queue: Queue<'static>,
}

impl OldBridge<'_> {
    /// The bucket's notifications: to this bridge, to EventBridge, or to both.
    async fn configure(&self, is_notified: bool, has_event_bridge: bool) {
        let queue = QueueConfiguration::builder()
            .queue_arn(self.queue.arn())
            .events(Event::from("s3:ObjectCreated:*"));
        let configuration = NotificationConfiguration::builder()
            .set_queue_configurations(is_notified.then(|| vec![queue.build().unwrap()]))
            .set_event_bridge_configuration(
                has_event_bridge.then(|| EventBridgeConfiguration::builder().build()),
            );
        let s3 = self.aws.s3();
        let put = s3.put_bucket_notification_configuration().bucket(BUCKET);
        put.notification_configuration(configuration.build()).send().await.unwrap();
        // S3's own message about a new configuration.
        self.notified().await;
    }

    /// Turns EventBridge on as the page says: reads the present configuration, and adds to it.
    async fn add_event_bridge(&self) {
        let s3 = self.aws.s3();
        let present = s3.get_bucket_notification_configuration().bucket(BUCKET).send().await.unwrap();
        assert_eq!(present.queue_configurations().len(), 1);
        let configuration = NotificationConfiguration::builder()
            .set_queue_configurations(present.queue_configurations)
            .event_bridge_configuration(EventBridgeConfiguration::builder().build());
        let put = s3.put_bucket_notification_configuration().bucket(BUCKET);
        put.notification_configuration(configuration.build()).send().await.unwrap();
        let present = s3.get_bucket_notification_configuration().bucket(BUCKET).send().await.unwrap();
        assert_eq!(present.queue_configurations()[0].queue_arn(), self.queue.arn(), "it is still there");
        assert!(present.event_bridge_configuration().is_some());
        self.notified().await;
    }

    /// The keys of the notifications so far, as S3 writes them.
    async fn notified(&self) -> Vec<String> {
        let messages = self.queue.take().await.unwrap();
        let records = messages.iter().filter_map(|message| message["Records"].as_array()).flatten();
        records.map(|record| record["s3"]["object"]["key"].as_str().unwrap().to_owned()).collect()
    }

    /// Delivers what it was notified of: straight to the final name. A key that S3 has encoded is not found in the bucket;
    /// that message is put into the queue of failures.
    async fn deliver(&self, failed: &Queue<'_>) -> usize {
        let keys = self.notified().await;
        for key in &keys {
            let object = self.aws.s3().get_object().bucket(BUCKET).key(key).send().await;
            let Ok(object) = object else {
                failed
                    .send(&json!({"Records": [{"eventSource": "aws:s3", "s3": {
                        "bucket": {"name": BUCKET}, "object": {"key": key},
                    }}]}))
                    .await
                    .unwrap();
                continue;
            };
            let bytes = object.body.collect().await.unwrap().into_bytes();
            std::fs::write(self.partner.root.join("share").join(key), bytes).unwrap();
        }
        keys.len()
    }

    /// What the partner has.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.partner.root.join("share")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// The old resources: the bucket, and the private key as an object.
async fn old_resources(aws: &MiniStack, partner: &Partner) {
    let s3 = aws.s3();
    for bucket in [BUCKET, KEYS] {
        s3.create_bucket().bucket(bucket).send().await.unwrap();
    }
    let private_key = partner.client_key.private.clone().into_bytes();
    s3.put_object().bucket(KEYS).key("moving/mykey.pem").body(private_key.into()).send().await.unwrap();
    std::fs::create_dir(partner.root.join("share")).unwrap();
}

async fn new_stack(aws: &'static MiniStack, partner: &Partner) -> Stack<'static> {
    let (port, key) = (partner.port.to_string(), format!("{KEYS}/moving/mykey.pem"));
    let parameters = [
        ("SftpHost", partner.host.as_str()),
        ("SftpPort", &port),
        ("SftpUser", &partner.user),
        ("SftpLocation", "share"),
        ("SftpTrustedHostKeys", &partner.host_key.public),
        ("SftpS3SshKey", &key),
        ("BucketName", BUCKET),
    ];
    Stack::deploy(aws, NAME, &parameters).await.unwrap()
}

async fn command(aws: &MiniStack, arguments: &[&str]) -> (Value, i32) {
    let ran =
        cli::run(cli::operate(aws.environment(), &[arguments, &["--stack", NAME, "--json"]].concat()).await)
            .await;
    let last = ran.stdout.lines().last().unwrap_or_default();
    let whole = serde_json::from_str(&ran.stdout).or_else(|_| serde_json::from_str(last));
    (whole.unwrap_or_else(|error| panic!("{error}: {ran:?}")), ran.status)
}

#[tokio::test]
async fn story_241_a_bridge_that_replaces_the_predecessor_loses_nothing_on_the_way() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    old_resources(aws, &partner).await;
    let failed = aws.create_queue("moving-failed").await.unwrap();
    let queue = aws.create_queue("moving-notified").await.unwrap();
    let old = OldBridge { aws, partner: &partner, queue };
    old.configure(true, false).await;
    let put = async |key: &str| {
        let body = key.as_bytes().to_vec().into();
        aws.s3().put_object().bucket(BUCKET).key(key).body(body).send().await.unwrap();
    };

    // Before: the old bridge alone. It has never delivered keys that S3 encodes.
    put("before.txt").await;
    put("left over ü+1.txt").await;
    assert_eq!(old.deliver(&failed).await, 2);

    // The stack is there, and EventBridge is off: still the old bridge alone.
    let stack = new_stack(aws, &partner).await;
    put("between.txt").await;
    assert_eq!(old.deliver(&failed).await, 1);
    assert!(stack.executions().await.unwrap().is_empty());
    assert_eq!(old.files(), ["before.txt", "between.txt"]);

    // Step 3: both, the new one first, and the other way round.
    old.add_event_bridge().await;
    put("new first.txt").await;
    let delivered = stack.wait_for_object("new first.txt", PATIENCE).await.unwrap();
    assert_eq!(receipt(&delivered)["outcome"], "delivered");
    std::fs::write(partner.root.join("share/old-first.txt"), "old-first.txt").unwrap();
    put("old-first.txt").await;
    let proved = stack.wait_for_object("old-first.txt", PATIENCE).await.unwrap();
    assert_eq!(
        (&receipt(&proved)["outcome"], &receipt(&proved)["bytes_sent"]),
        (&json!("already_delivered"), &json!(0))
    );
    put("both.txt").await;
    stack.wait_for_object("both.txt", PATIENCE).await.unwrap();
    assert_eq!(old.deliver(&failed).await, 3, "the old one is still notified");

    // Step 4: the old notification off, EventBridge still on. Nothing of the last minutes is owed.
    let (summary, status) = command(aws, &["check", &format!("s3://{BUCKET}/both"), "--since", "1h"]).await;
    assert_eq!((&summary["summary"]["owed"], status), (&json!(0), 0), "{summary}");
    old.configure(false, true).await;
    let alone = stack.deliver("after.txt", b"after.txt".to_vec()).await.unwrap();
    assert_eq!(receipt(&alone)["outcome"], "delivered");
    assert!(old.notified().await.is_empty());

    // Step 5: what is left in the old queue, decoded.
    let left: Vec<Value> = failed.take_many(2, Duration::from_secs(10)).await.unwrap();
    let keys = left.iter().map(|message| message["Records"][0]["s3"]["object"]["key"].as_str().unwrap());
    let keys: Vec<String> = keys
        .map(|key| percent_decode_str(&key.replace('+', " ")).decode_utf8().unwrap().into_owned())
        .collect();
    assert_eq!(keys, ["left over ü+1.txt", "new first.txt"]);
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(manifest.path(), keys.join("\n")).unwrap();
    let file = manifest.path().to_str().unwrap();
    command(aws, &["backfill", &format!("s3://{BUCKET}/"), "--manifest", file, "--yes"]).await;
    stack.wait_for_object("left over ü+1.txt", PATIENCE).await.unwrap();

    // Every object is there once, whole, under its own name, and nothing else is.
    let expected = [
        "after.txt",
        "before.txt",
        "between.txt",
        "both.txt",
        "left over ü+1.txt",
        "new first.txt",
        "old-first.txt",
    ];
    assert_eq!(old.files(), expected);
    for name in expected {
        assert_eq!(std::fs::read(partner.root.join("share").join(name)).unwrap(), name.as_bytes());
    }
}
