//! What an execution was started with.

use serde::Deserialize;
use serde_json::Value;

use crate::collect::RemoteFile;
use crate::decode::decode;
use crate::error::Result;
use crate::event::ObjectCreated;

/// What an execution is about, as its input says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// Of `bridge`: the delivery of an object.
    Object(ObjectCreated),
    /// Of `collect`: the collection of a file.
    File(RemoteFile),
    /// Of `watch`: a look at the directory that is collected.
    Look,
}

#[derive(Deserialize)]
struct OfFile {
    file: RemoteFile,
}

impl Started {
    /// Reads the input of an execution: `{"file": …}`, `{"look": true}`, or S3's event.
    ///
    /// # Errors
    /// `InvalidInput` naming the field.
    pub fn of(input: Value) -> Result<Self> {
        if input.get("file").is_some() {
            return decode::<OfFile>(input).map(|OfFile { file }| Self::File(file));
        }
        if input["look"] == true {
            return Ok(Self::Look);
        }
        ObjectCreated::from_event(input).map(Self::Object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_says_what_the_execution_is_about() {
        let file = json!({"host": "h", "directory": "out", "path": "a.csv", "size": 5});
        let started = Started::of(json!({ "file": file })).unwrap();
        assert!(matches!(started, Started::File(file) if file.url() == "sftp://h/out/a.csv"));
        assert_eq!(Started::of(json!({"look": true})).unwrap(), Started::Look);
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}});
        assert!(matches!(Started::of(event).unwrap(), Started::Object(object) if object.object_key == "k"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (input, expected) in [
            (json!({"file": null}), "field `file`: expected struct RemoteFile"),
            (json!({"file": {"host": "h"}}), "field `file`: missing field `directory`"),
            (json!({"look": "yes"}), "the input: missing field `detail`"),
            (json!({}), "the input: missing field `detail`"),
            (json!("garbage"), "the input: "),
        ] {
            let error = Started::of(input.clone()).unwrap_err();
            assert!(error.message().contains(expected), "{input}: {error}");
        }
    }
}
