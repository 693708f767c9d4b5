//! Decodes payloads. Errors name the field and never repeat its value.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{ErrorName, Result};

/// Decodes a payload.
///
/// # Errors
/// `InvalidInput` with the field and what was expected. The value is left out, because it may be a secret that someone
/// pasted.
pub fn decode<T: DeserializeOwned>(payload: Value) -> Result<T> {
    serde_path_to_error::deserialize(payload).map_err(|error| {
        let path = error.path().to_string();
        let problem = without_value(&error.inner().to_string());
        let message = match path.as_str() {
            "." => format!("the input: {problem}"),
            path => format!("field `{path}`: {problem}"),
        };
        ErrorName::InvalidInput.error(message)
    })
}

/// serde's messages quote the value: `invalid type: string "x", expected u64`. Keeps only what was expected.
fn without_value(message: &str) -> String {
    if message.starts_with("missing field") {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "not of the expected form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[allow(dead_code)]
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[allow(dead_code)]
        size: u64,
    }

    fn message(payload: Value) -> String {
        decode::<Outer>(payload).unwrap_err().to_string()
    }

    #[test]
    fn the_field_is_named_and_the_value_is_not_quoted() {
        let message = message(json!({"inner": {"size": "-----BEGIN OPENSSH PRIVATE KEY-----"}}));
        assert_eq!(message, "InvalidInput: field `inner.size`: expected u64");
    }

    #[test]
    fn missing_fields_and_wrong_shapes() {
        assert_eq!(message(json!({"inner": {}})), "InvalidInput: field `inner`: missing field `size`");
        assert_eq!(message(json!("text")), "InvalidInput: the input: expected struct Outer");
        assert_eq!(message(json!({})), "InvalidInput: the input: missing field `inner`");
    }
}
