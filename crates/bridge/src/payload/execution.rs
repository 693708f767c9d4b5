//! The execution that a call belongs to.

use serde::{Deserialize, Deserializer, Serialize};

/// The execution a call belongs to, from the state machine's context object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// The execution's ARN.
    #[serde(default, deserialize_with = "null_is_default")]
    pub id: String,
    /// The execution's name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// When it started, RFC 3339.
    #[serde(default, deserialize_with = "null_is_default")]
    pub start_time: String,
    /// The state machine's ARN.
    #[serde(default, deserialize_with = "null_is_default")]
    pub state_machine_id: String,
    /// How often it was redriven. Absent on some engines: 0.
    #[serde(default, deserialize_with = "null_is_default")]
    pub redrive_count: u32,
    /// How often the current state was retried, or entered again with a new credential.
    #[serde(default, deserialize_with = "null_is_default")]
    pub retry_count: u32,
    /// When the current state was entered, RFC 3339: its retries do not change it. So a new process can tell how long the
    /// delivery has been waiting, for the partner or for its turn. Absent in other steps, and on some engines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entered_time: Option<String>,
}

/// Step Functions leaves an unknown context field out; local engines say `null`.
pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decode;

    #[test]
    fn a_missing_or_null_redrive_count_is_zero() {
        for execution in [json!({}), json!({"redrive_count": null, "name": "n"})] {
            assert_eq!(decode::<Execution>(execution).unwrap().redrive_count, 0);
        }
    }

    #[test]
    fn a_payload_from_before_the_time_of_the_state_still_decodes() {
        let text = "2026-11-27T09:00:00Z";
        for (execution, entered) in [
            (json!({"name": "n", "retry_count": 3}), None),
            (json!({"entered_time": null}), None),
            (json!({"entered_time": text}), Some(text)),
        ] {
            assert_eq!(decode::<Execution>(execution).unwrap().entered_time.as_deref(), entered);
        }
        assert_eq!(serde_json::to_value(Execution::default()).unwrap().get("entered_time"), None);
    }
}
