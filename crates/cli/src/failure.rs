//! What a command prints when it fails.

use std::process::ExitCode;

use bridge::{Error, ErrorName, Place};

use crate::output;

/// Prints what failed and what to do. Returns the exit status.
pub(crate) fn print(error: &Error) -> ExitCode {
    output::note(&lines(error));
    match error.name {
        ErrorName::InvalidConfig => ExitCode::from(2),
        _ => ExitCode::from(1),
    }
}

fn lines(error: &Error) -> Vec<String> {
    let (hint, anchor) = (error.name.hint_for(Place::CommandLine), error.name.as_str().to_lowercase());
    vec![error.to_string(), format!("{hint} (docs/errors.md#{anchor})")]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::output::tests::{assert_plain, hostile};

    proptest! {
        #[test]
        fn an_error_is_two_lines_whatever_it_contains(text in hostile()) {
            let error = ErrorName::RemoteFailure.error(text);
            prop_assert!(!error.message().contains(bridge::is_unprintable));
            assert_plain(&lines(&error));
            prop_assert_eq!(lines(&error).len(), 2);
        }
    }
}
