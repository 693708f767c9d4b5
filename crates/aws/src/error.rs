//! Failed AWS calls.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;

/// A failed call, classified and described.
#[derive(Clone, Debug)]
pub struct CallError {
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The service's error code, if it gave one.
    pub code: Option<String>,
    words: String,
}

/// Error codes that mean throttling although their HTTP status is below 500.
const THROTTLED: &[&str] = &[
    "BandwidthLimitExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestTimeout",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

impl CallError {
    /// Classifies an error of the SDK.
    pub fn of<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let code = error.code().map(str::to_owned);
        let words = match (error, &code) {
            (SdkError::ServiceError(_), Some(code)) => {
                let message = error.message().map(|message| format!(": {message}")).unwrap_or_default();
                format!("{code}{message}")
            }
            (SdkError::ServiceError(_), None) => String::new(),
            (SdkError::TimeoutError(_), _) => "no answer in time".into(),
            (SdkError::DispatchFailure(failure), _) => match failure.as_connector_error() {
                Some(error) => chain(error),
                None => "the request could not be sent".into(),
            },
            (SdkError::ConstructionFailure(_), _) => {
                "the request could not be built; check the AWS region and credentials of the environment"
                    .into()
            }
            _ => "the answer could not be read".into(),
        };
        let request_id = error.raw_response().and_then(|response| response.request_id());
        let request_id = request_id.map(|id| format!(", request id {id}")).unwrap_or_default();
        let words = match (status, words.as_str()) {
            (Some(status), "") => format!("HTTP status {status}{request_id}"),
            (Some(status), words) => format!("{words} (HTTP status {status}{request_id})"),
            (None, words) => words.to_owned(),
        };
        Self { status, code, words }
    }

    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        self.status.is_none_or(|status| status >= 500) || self.is_throttled()
    }

    /// Whether AWS wants fewer calls.
    pub fn is_throttled(&self) -> bool {
        self.status == Some(429) || self.code.as_deref().is_some_and(|code| THROTTLED.contains(&code))
    }
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.words)
    }
}

/// An error with its causes. The outermost error of the SDK says little (`other`, `dispatch failure`).
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let causes = std::iter::successors(Some(error), |error| error.source());
    for said in causes.map(ToString::to_string) {
        // Many errors repeat their cause.
        match words.last_mut() {
            Some(last) if last.contains(&said) => {}
            Some(last) if said.contains(last.as_str()) => *last = said,
            _ => words.push(said),
        }
    }
    words.retain(|said| said != "other");
    if words.is_empty() { "the request could not be sent".into() } else { words.join(": ") }
}

/// Describes a failed call.
pub fn in_words<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    CallError::of(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Said(&'static str, Option<Box<Said>>);

    impl std::fmt::Display for Said {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Said {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.1.as_ref().map(|source| &**source as _)
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let innermost = Said("no providers in chain provided credentials", None);
        let middle = Said("the credential provider was not enabled", Some(Box::new(innermost)));
        assert_eq!(
            chain(&Said("other", Some(Box::new(middle)))),
            "the credential provider was not enabled: no providers in chain provided credentials"
        );
        let repeating = Said("io: refused", Some(Box::new(Said("refused", None))));
        assert_eq!(chain(&repeating), "io: refused");
        assert_eq!(chain(&Said("other", None)), "the request could not be sent");
    }
}
