//! `S3_AFTER_DELIVERY`: what becomes of the object once its file is published.

use super::{Problems, Variables};

/// What becomes of the delivered version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AfterDelivery {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is tagged with the time and the execution.
    Tag,
    /// It is deleted.
    Delete,
    /// It is moved below this prefix of the same bucket.
    Move {
        /// `S3_MOVE_PREFIX`.
        prefix: String,
    },
}

impl AfterDelivery {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let prefix = variables.get("S3_MOVE_PREFIX");
        match (variables.get("S3_AFTER_DELIVERY"), prefix) {
            (None | Some("keep"), _) => Self::Keep,
            (Some("tag"), _) => Self::Tag,
            (Some("delete"), _) => Self::Delete,
            (Some("move"), Some(prefix)) => {
                if let Some(rule) = variables.get("S3_KEY_PREFIX")
                    && starts_the_rule(prefix, rule)
                {
                    let problem = format!(
                        "is {prefix:?}, and the rule's prefix is {rule:?}: what is moved would be delivered again"
                    );
                    problems.add("S3_MOVE_PREFIX", &problem);
                }
                Self::Move { prefix: prefix.to_owned() }
            }
            (Some("move"), None) => {
                problems
                    .add("S3_MOVE_PREFIX", "is not set: S3_AFTER_DELIVERY=move needs a prefix to move to");
                Self::Keep
            }
            (Some(other), _) => {
                problems
                    .add("S3_AFTER_DELIVERY", &format!("is {other:?}: expected keep, tag, delete or move"));
                Self::Keep
            }
        }
    }

    /// Whether the version is gone afterwards.
    pub fn removes(&self) -> bool {
        matches!(self, Self::Delete | Self::Move { .. })
    }
}

/// Whether the key of an object that the rule is for still begins with the rule's prefix when `prefix` is put before it.
fn starts_the_rule(prefix: &str, rule: &str) -> bool {
    match rule.strip_prefix(prefix) {
        Some(rest) => rule.starts_with(rest),
        None => prefix.starts_with(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn what_is_moved_must_not_come_back() {
        for (prefix, rule, starts) in [
            ("delivered/", "out/", false),
            ("out/", "out/", true),
            ("out/delivered/", "out/", true),
            ("ou", "out/", false),
            ("a", "aa", true),
            ("delivered/", "delivered/in/", false),
        ] {
            assert_eq!(starts_the_rule(prefix, rule), starts, "{prefix} {rule}");
            assert_eq!(format!("{prefix}{rule}x").starts_with(rule), starts, "{prefix} {rule}");
        }
        let moving = [("S3_AFTER_DELIVERY", "move"), ("S3_MOVE_PREFIX", "out/old/")];
        let settings = parse(&moving).unwrap();
        assert_eq!(settings.after_delivery, AfterDelivery::Move { prefix: "out/old/".into() });
        let error = parse(&[moving[0], moving[1], ("S3_KEY_PREFIX", "out/")]).unwrap_err();
        assert!(error.message().contains("S3_MOVE_PREFIX is \"out/old/\""), "{error}");
        let error = parse(&moving[..1]).unwrap_err();
        assert!(error.message().contains("S3_MOVE_PREFIX is not set"), "{error}");
        let error = parse(&[("S3_AFTER_DELIVERY", "burn")]).unwrap_err();
        assert!(error.message().contains("S3_AFTER_DELIVERY is \"burn\": expected keep, tag"), "{error}");
    }
}
