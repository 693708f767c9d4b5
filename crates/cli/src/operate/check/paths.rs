//! Where an object's file is on the server.

use bridge::{IfExists, Outcome, ReceiptKey, Route, Settings, object_part};

use crate::moments::rfc3339;
use crate::operate::holdings::{Holding, Upload};
use crate::operate::problem::Problem;
use crate::operate::records::Records;

/// Where files are. Deliveries make the path with the same code.
pub(super) struct Paths {
    records: Records,
    bucket: String,
}

impl Paths {
    pub(super) fn new(records: Records, bucket: &str) -> Self {
        Self { records, bucket: bucket.to_owned() }
    }

    /// The path of this upload's file, or why it has none.
    pub(super) async fn of(
        &self,
        settings: &Settings,
        upload: &Upload,
        holding: &Holding,
    ) -> Result<Result<String, String>, Problem> {
        if let Holding::Delivered(outcome) = holding
            && only_the_receipt_knows(settings)
            && let Some(path) = self.path_in_receipt(upload, *outcome).await?
        {
            return Ok(Ok(path));
        }
        Ok(expected(settings, &self.bucket, upload))
    }

    async fn path_in_receipt(&self, upload: &Upload, outcome: Outcome) -> Result<Option<String>, Problem> {
        let key = ReceiptKey { object: object_part(&upload.object_key), version: upload.mark(), outcome };
        let receipt = self.records.get(&key.to_string()).await?;
        Ok(receipt.and_then(|receipt| receipt["remote_path"].as_str().map(str::to_owned)))
    }
}

/// The event's time may be another than the object's, and only the delivery knows which number a kept file got.
fn only_the_receipt_knows(settings: &Settings) -> bool {
    settings.policy.remote_path.has_date() || settings.policy.if_exists == IfExists::KeepBoth
}

fn expected(settings: &Settings, bucket: &str, upload: &Upload) -> Result<String, String> {
    let time = rfc3339(upload.last_modified);
    let route = Route::new(&settings.location, &settings.policy, &upload.summary(bucket), "", &time);
    route.map(|route| route.path().to_owned()).map_err(|error| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::holdings::tests::{settings, upload};

    #[test]
    fn the_path_is_that_of_a_delivery() {
        let more = [
            ("SFTP_LOCATION", "in"),
            ("SFTP_REMOTE_PATH", "{date:%Y}/{name}"),
            ("SFTP_STRIP_PREFIX", "out/"),
        ];
        let settings = settings(&more);
        assert_eq!(expected(&settings, "b", &upload("out/x/a.csv", "v")), Ok("in/2026/a.csv".into()));
        assert!(expected(&settings, "b", &upload("a.csv", "v")).unwrap_err().contains("SFTP_STRIP_PREFIX"));
        assert!(only_the_receipt_knows(&settings));
    }

    #[test]
    fn a_receipt_is_read_only_where_the_path_cannot_be_known() {
        assert!(!only_the_receipt_knows(&settings(&[])));
        assert!(only_the_receipt_knows(&settings(&[("SFTP_IF_EXISTS", "keep-both")])));
    }
}
