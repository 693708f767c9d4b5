//! `S3_AFTER_DELIVERY`: what becomes of the object once its file is published.

use super::{Problems, Variables, choice, prefix};

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
        let to = prefix(variables, problems, "S3_MOVE_PREFIX");
        let rule = prefix(variables, problems, "S3_KEY_PREFIX");
        let moved = Self::Move { prefix: to.unwrap_or_default().to_owned() };
        let choices =
            [("keep", &Self::Keep), ("tag", &Self::Tag), ("delete", &Self::Delete), ("move", &moved)];
        let chosen = choice(variables, problems, "S3_AFTER_DELIVERY", &choices).clone();
        match (&chosen, to, rule) {
            (Self::Move { .. }, None, _) => {
                problems
                    .add("S3_MOVE_PREFIX", "is not set: S3_AFTER_DELIVERY=move needs a prefix to move to");
            }
            (Self::Move { .. }, Some(to), Some(rule)) if starts_the_rule(to, rule) => {
                let problem = format!(
                    "what is moved would be delivered again, for the rule's prefix is {rule:?}, expected one that keeps keys out of it, such as delivered/"
                );
                problems.wrong("S3_MOVE_PREFIX", to, &problem);
            }
            _ => {}
        }
        chosen
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
