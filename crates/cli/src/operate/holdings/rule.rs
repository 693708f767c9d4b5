//! Which objects the stack delivers at all.

use bridge::Settings;

use super::upload::Upload;
use crate::operate::problem::Problem;
use crate::operate::stack::Stack;

/// What the stack delivers: the objects that its EventBridge rule starts executions for, and that its settings let pass.
pub(crate) struct Rule {
    pub(crate) bucket: String,
    /// `KeyPrefix`.
    pub(crate) key_prefix: String,
    /// `KeySuffix`.
    pub(crate) key_suffix: String,
    pub(crate) settings: Settings,
}

impl Rule {
    /// Of a stack.
    ///
    /// # Errors
    /// `Usage` if the stack delivers from another bucket, or not at all.
    pub(crate) fn of(stack: &Stack, bucket: &str) -> Result<Self, Problem> {
        if stack.only_collects() {
            let name = stack.name();
            return Err(Problem::Usage(format!("the stack {name:?} delivers nothing: CollectOnly is true")));
        }
        if bucket != stack.bucket() {
            return Err(Problem::Usage(format!(
                "the stack {:?} delivers from the bucket {:?}, and its records say nothing about {bucket:?}",
                stack.name(),
                stack.bucket()
            )));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key_prefix: stack.key_prefix().to_owned(),
            key_suffix: stack.key_suffix().to_owned(),
            settings: Settings::parse(&stack.settings())?,
        })
    }

    /// The reason why an upload is not delivered, if there is one.
    pub(crate) fn passes_over(&self, upload: &Upload) -> Option<String> {
        let Upload { object_key, size, .. } = upload;
        if !matches(object_key, &self.key_prefix, &self.key_suffix) {
            let Self { key_prefix, key_suffix, .. } = self;
            return Some(format!("the stack delivers only keys of the form {key_prefix}*{key_suffix}"));
        }
        self.settings.skips(&self.bucket, object_key, *size)
    }
}

/// Whether the template's rule starts an execution for this key. One slash may end the prefix and begin the suffix.
fn matches(object_key: &str, prefix: &str, suffix: &str) -> bool {
    let shared = usize::from(prefix.ends_with('/') && suffix.starts_with('/'));
    object_key.starts_with(prefix)
        && object_key.ends_with(suffix)
        && object_key.len() + shared >= prefix.len() + suffix.len()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::upload::tests::upload;
    use super::*;

    pub(crate) fn settings(more: &[(&str, &str)]) -> Settings {
        let least = [
            ("SFTP_HOST", "h"),
            ("SFTP_SECRET_ID", "s"),
            ("SFTP_TRUSTED_HOST_KEYS", "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ"),
        ];
        Settings::parse(&least.iter().chain(more).copied().collect()).unwrap()
    }

    #[test]
    fn prefix_and_suffix_are_those_of_the_rule() {
        for (key, prefix, suffix, expected) in [
            ("in/a.csv", "", "", true),
            ("in/a.csv", "in/", ".csv", true),
            ("out/a.csv", "in/", ".csv", false),
            ("in/a.txt", "in/", ".csv", false),
            ("in/x", "in/", "/x", true),
            ("in/y/x", "in/", "/x", true),
            ("in/.csv", "in/", ".csv", true),
            ("aba", "ab", "ba", false),
            ("in", "in/", "", false),
        ] {
            assert_eq!(matches(key, prefix, suffix), expected, "{key}: {prefix}*{suffix}");
        }
    }

    #[test]
    fn what_the_stack_does_not_deliver_has_a_reason() {
        let more = [("S3_EXCLUDE", "**/*.tmp"), ("SFTP_SKIP_EMPTY", "true")];
        let rule = Rule {
            bucket: "b".into(),
            key_prefix: "in/".into(),
            key_suffix: String::new(),
            settings: settings(&more),
        };
        let reason =
            |key: &str, size| rule.passes_over(&Upload { size, ..upload(key, "v") }).unwrap_or_default();
        assert_eq!(reason("in/a.csv", 1), "");
        assert!(reason("out/a.csv", 1).contains("in/*"));
        assert!(reason("in/a.tmp", 1).contains("S3_EXCLUDE"));
        assert!(reason("in/a.csv", 0).contains("SFTP_SKIP_EMPTY"));
        assert!(reason("in/folder/", 0).contains("folder marker"));
    }
}
