//! Uploads of which no record tells, held against the executions that run.

use std::collections::HashMap;

use bridge::{ObjectCreated, VersionMark};
use serde_json::Value;

use super::upload::Upload;

/// EventBridge may be this much earlier than S3's clock, in seconds.
const CLOCKS: i64 = 300;

/// Uploads of which no record tells.
pub(crate) struct Unexplained {
    bucket: String,
    uploads: Vec<Upload>,
    by_key: HashMap<String, usize>,
    /// The execution of each upload, once it is known.
    executions: Vec<Option<String>>,
    left: usize,
}

impl Unexplained {
    pub(crate) fn new(bucket: &str, uploads: Vec<Upload>) -> Self {
        let by_key = uploads.iter().enumerate().map(|(index, upload)| (upload.object_key.clone(), index));
        Self {
            bucket: bucket.to_owned(),
            by_key: by_key.collect(),
            executions: vec![None; uploads.len()],
            left: uploads.len(),
            uploads,
        }
    }

    /// How many uploads have no execution yet.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// When the first execution can have started that delivers one of these uploads, in seconds since 1970. `None` if all
    /// have an execution.
    pub(crate) fn earliest_start(&self) -> Option<i64> {
        let open = self.uploads.iter().zip(&self.executions).filter(|(_, execution)| execution.is_none());
        open.map(|(upload, _)| upload.last_modified - CLOCKS).min()
    }

    /// Notes the upload that this execution delivers, by its input.
    pub(crate) fn note(&mut self, execution: &str, input: &str) {
        let event = serde_json::from_str::<Value>(input).ok();
        let Some(event) = event.and_then(|event| ObjectCreated::from_event(event).ok()) else { return };
        if event.bucket != self.bucket {
            return;
        }
        let Some(index) = self.by_key.get(&event.object_key).copied() else { return };
        if delivers(&event, &self.uploads[index]) && self.executions[index].is_none() {
            self.executions[index] = Some(execution.to_owned());
            self.left -= 1;
        }
    }

    /// Each upload with its execution.
    pub(crate) fn into_uploads(self) -> impl Iterator<Item = (Upload, Option<String>)> {
        self.uploads.into_iter().zip(self.executions)
    }
}

/// An input that was typed by hand may name no version: it delivers the current one.
fn delivers(event: &ObjectCreated, upload: &Upload) -> bool {
    let mark = VersionMark::from(event);
    let names_no_version = event.version_id.is_none() && event.etag.is_none();
    let is_same_contents = event.version_id.is_none() && event.etag == upload.etag;
    names_no_version || is_same_contents || upload.mark().agrees_with(&mark)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::upload::tests::upload;
    use super::*;

    fn event(bucket: &str, key: &str, version_id: &str, etag: &str) -> String {
        let object = json!({"key": key, "version-id": version_id, "etag": etag});
        json!({"detail": {"bucket": {"name": bucket}, "object": object}}).to_string()
    }

    #[test]
    fn story_213_an_execution_explains_the_upload_that_it_delivers_and_no_other() {
        for (input, explains) in [
            (event("b", "k", "v2", "e"), true),
            (event("b", "k", "v1", "e"), false),
            (event("b", "k", "", ""), true),
            (event("b", "k", "", "e"), true),
            (event("b", "k", "", "f"), false),
            (event("other", "k", "v2", "e"), false),
            (event("b", "K", "v2", "e"), false),
            ("garbage".to_owned(), false),
        ] {
            let mut unexplained = Unexplained::new("b", vec![upload("k", "v2"), upload("l", "v1")]);
            unexplained.note("arn:1", &input);
            unexplained.note("arn:2", &input);
            assert_eq!(unexplained.left(), if explains { 1 } else { 2 }, "{input}");
            let (_, execution) = unexplained.into_uploads().next().unwrap();
            assert_eq!(execution.as_deref(), explains.then_some("arn:1"), "{input}");
        }
    }

    #[test]
    fn executions_that_started_before_all_uploads_are_not_looked_at() {
        let at = |object_key, last_modified| Upload { last_modified, ..upload(object_key, "v") };
        let mut unexplained = Unexplained::new("b", vec![at("old", 1_000), at("new", 9_000)]);
        assert_eq!(unexplained.earliest_start(), Some(700));
        unexplained.note("arn", &event("b", "old", "v", "e"));
        assert_eq!(unexplained.earliest_start(), Some(8_700), "only the new one is left");
        unexplained.note("arn", &event("b", "new", "v", "e"));
        assert_eq!(unexplained.earliest_start(), None);
    }
}
