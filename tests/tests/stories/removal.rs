//! What is really left in the bucket after `S3_AFTER_DELIVERY`, and whether the receipt says just that.

use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bridge::{Outcome, Receipt};
use serde_json::Value;

use crate::support::Bridge;

impl Bridge {
    async fn removing(policy: &str) -> Self {
        let mut bridge = Self::new().await;
        bridge.set("S3_AFTER_DELIVERY", policy);
        bridge.set("S3_MOVE_PREFIX", "old/");
        bridge
    }

    async fn set_versioning(&self, status: BucketVersioningStatus) {
        let versioning = VersioningConfiguration::builder().status(status).build();
        let request = self.aws.s3().put_bucket_versioning().bucket(&self.bucket);
        request.versioning_configuration(versioning).send().await.unwrap();
    }

    /// What the bucket holds of a key, the newest first: the ids of versions; of delete markers too, behind a `-`.
    async fn history(&self, object_key: &str) -> (Vec<String>, usize) {
        let request = self.aws.s3().list_object_versions().bucket(&self.bucket).prefix(object_key);
        let listed = request.send().await.unwrap();
        let versions = listed.versions().iter().filter(|version| version.key() == Some(object_key));
        let markers = listed.delete_markers().iter().filter(|marker| marker.key() == Some(object_key));
        (versions.map(|version| version.version_id().unwrap().to_owned()).collect(), markers.count())
    }

    /// Publishes, does something, and then sees to the object.
    async fn delivers_and(&self, event: &Value, between: impl AsyncFnOnce()) -> Receipt {
        let credential = self.fetch_key(event).await.unwrap();
        let complete = self.transfer_all(event, 0).await.unwrap().0.checkpoint().unwrap();
        let progress = self.verify_remote(event, &credential, complete).await.unwrap();
        between().await;
        let published = progress.checkpoint().expect("the document has to say first that it is published");
        self.verify_all(event, &credential, published).await.unwrap().0
    }
}

/// The marker would fill a listing of two entries, and the older version be delivered over the newer one.
#[tokio::test]
async fn story_100_delete_markers_hide_no_older_version() {
    for policy in ["delete", "move"] {
        // How many markers lie between the versions, and how many over them.
        for (between, over) in [(1, 0), (0, 1), (1, 1), (120, 0)] {
            let bridge = Bridge::removing(policy).await.versioned().await;
            let older = bridge.put("report.csv", b"older".to_vec()).await;
            for _ in 0..between {
                bridge.remove("report.csv").await;
            }
            let newer = bridge.put("report.csv", b"newer".to_vec()).await;
            let take_away = async || {
                for _ in 0..over {
                    bridge.remove("report.csv").await;
                }
            };
            let receipt = bridge.delivers_and(&newer, take_away).await;
            let what = format!("{policy}, {between} between, {over} over: {receipt:?}");
            assert_eq!(
                (receipt.outcome, receipt.after_delivery.as_ref()),
                (Outcome::Delivered, None),
                "{what}"
            );
            assert!(receipt.warnings[0].contains("older version"), "{what}");
            assert_eq!(bridge.history("report.csv").await.0.len(), 2, "{what}");
            assert_eq!(bridge.deliver(&older).await.unwrap().outcome, Outcome::Superseded, "{what}");
            assert_eq!(bridge.remote("report.csv").unwrap(), b"newer", "{what}");
        }
    }
}

/// Versioning was turned on, or suspended, after or before the upload: the object's version is called `null`, and
/// deleting without a version's id only hides it.
#[tokio::test]
async fn story_101_deleted_means_that_the_null_version_is_gone_for_good() {
    use BucketVersioningStatus::{Enabled, Suspended};
    for policy in ["delete", "move"] {
        for (before, after) in [(None, Some(Enabled)), (None, Some(Suspended)), (Some(Suspended), None)] {
            let bridge = Bridge::removing(policy).await;
            if let Some(status) = before.clone() {
                bridge.set_versioning(status).await;
            }
            let event = bridge.put("file.txt", b"x".to_vec()).await;
            if let Some(status) = after.clone() {
                bridge.set_versioning(status).await;
            }
            let receipt = bridge.deliver(&event).await.unwrap();
            let what = format!("{policy}, {before:?}, {after:?}: {receipt:?}");
            let said = if policy == "move" { "moved to old/file.txt" } else { "deleted" };
            assert_eq!(receipt.after_delivery.as_deref(), Some(said), "{what}");
            assert!(receipt.warnings.is_empty(), "{what}");
            assert_eq!(bridge.history("file.txt").await.0, Vec::<String>::new(), "{what}");
        }
    }
}

/// Equal bytes have the same etag; but the version on top is another upload, with an event of its own.
#[tokio::test]
async fn story_102_a_null_version_is_removed_from_below_a_newer_upload_of_the_same_bytes() {
    for policy in ["delete", "move"] {
        for body in ["x", "other"] {
            let bridge = Bridge::removing(policy).await;
            let event = bridge.put("file.txt", b"x".to_vec()).await;
            let newer = async || {
                bridge.set_versioning(BucketVersioningStatus::Enabled).await;
                bridge.put("file.txt", body.as_bytes().to_vec()).await;
            };
            let receipt = bridge.delivers_and(&event, newer).await;
            let what = format!("{policy}, {body}: {receipt:?}");
            let said = if policy == "move" { "moved to old/file.txt" } else { "deleted" };
            assert_eq!(receipt.after_delivery.as_deref(), Some(said), "{what}");
            let (versions, markers) = bridge.history("file.txt").await;
            assert_eq!((versions.len(), markers), (1, 0), "{what}: {versions:?}");
            assert_ne!(versions[0], "null", "the newer upload stays: {what}");
        }
    }
}

#[tokio::test]
async fn story_103_the_receipt_says_deleted_only_of_what_it_deleted() {
    for (policy, versioned) in [("delete", false), ("delete", true), ("move", false)] {
        let mut bridge = Bridge::removing(policy).await;
        if versioned {
            bridge = bridge.versioned().await;
        }
        // A newer upload has taken its place; of a version that is kept, that is no reason.
        let event = bridge.put("replaced.txt", b"older".to_vec()).await;
        let receipt =
            bridge.delivers_and(&event, async || drop(bridge.put("replaced.txt", b"newer".to_vec()).await));
        let receipt = receipt.await;
        let said = receipt.after_delivery.clone().unwrap_or_default();
        let warned = receipt.warnings.concat();
        match (policy, versioned) {
            ("delete", false) => {
                assert!(said.contains("a newer upload") && said.contains("nothing"), "{receipt:?}")
            }
            ("delete", _) => assert_eq!(said, "deleted"),
            _ => assert!(said.is_empty() && warned.contains("a newer upload"), "{receipt:?}"),
        }
        assert_eq!(bridge.history("replaced.txt").await.0.len(), 1, "the newer upload stays");

        // Another program has deleted all its versions.
        let event = bridge.put("gone.txt", b"x".to_vec()).await;
        let version_id = event["detail"]["object"]["version-id"].as_str().map(str::to_owned);
        let delete = async || {
            let request = bridge.aws.s3().delete_object().bucket(&bridge.bucket).key("gone.txt");
            request.set_version_id(version_id.clone()).send().await.unwrap();
        };
        let receipt = bridge.delivers_and(&event, delete).await;
        let said = receipt.after_delivery.clone().unwrap_or_default();
        match policy {
            "delete" => assert!(said.contains("already gone"), "{receipt:?}"),
            _ => assert!(said.is_empty() && receipt.warnings[0].contains("gone"), "{receipt:?}"),
        }
    }
}
