//! `S3_AFTER_DELIVERY`: what happens to the object after its file is published.

use super::problems::Problems;
use super::read::{choice, key_prefix};
use super::table::{S3_AFTER_DELIVERY, S3_KEY_PREFIX, S3_MOVE_PREFIX};
use super::variables::Variables;

/// What happens to the delivered version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AfterDelivery {
    /// Nothing.
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
        let move_prefix = key_prefix(variables, problems, &S3_MOVE_PREFIX);
        let rule_prefix = key_prefix(variables, problems, &S3_KEY_PREFIX);
        let moved = Self::Move { prefix: move_prefix.unwrap_or_default().to_owned() };
        let choices =
            [("keep", &Self::Keep), ("tag", &Self::Tag), ("delete", &Self::Delete), ("move", &moved)];
        let chosen = choice(variables, problems, &S3_AFTER_DELIVERY, &choices).clone();
        match (&chosen, move_prefix, rule_prefix) {
            (Self::Move { .. }, None, _) => {
                let problem =
                    "is not set, but S3_AFTER_DELIVERY is move: set the prefix to move objects below";
                problems.add(&S3_MOVE_PREFIX, problem);
            }
            (Self::Move { .. }, Some(prefix), Some(rule)) if matches_rule(prefix, rule) => {
                let problem = format!(
                    "moved objects would be delivered again, because their keys begin with the rule's prefix {rule:?}; expected a prefix that keeps them out of it, such as delivered/"
                );
                problems.wrong(&S3_MOVE_PREFIX, prefix, &problem);
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

/// Whether a key that begins with `rule` still begins with it after `prefix` is put before the key.
fn matches_rule(prefix: &str, rule: &str) -> bool {
    match rule.strip_prefix(prefix) {
        Some(rest) => rule.starts_with(rest),
        None => prefix.starts_with(rule),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> crate::Result<AfterDelivery> {
        Problems::of(variables, |variables, problems| Some(AfterDelivery::parse(variables, problems)))
    }

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
            assert_eq!(matches_rule(prefix, rule), starts, "{prefix} {rule}");
            assert_eq!(format!("{prefix}{rule}x").starts_with(rule), starts, "{prefix} {rule}");
        }
        let moving = [("S3_AFTER_DELIVERY", "move"), ("S3_MOVE_PREFIX", "out/old/")];
        assert_eq!(parse(&moving).unwrap(), AfterDelivery::Move { prefix: "out/old/".into() });
        let error = parse(&[moving[0], moving[1], ("S3_KEY_PREFIX", "out/")]).unwrap_err();
        assert!(error.message().contains("S3_MOVE_PREFIX is \"out/old/\""), "{error}");
        let error = parse(&moving[..1]).unwrap_err();
        assert!(error.message().contains("S3_MOVE_PREFIX is not set"), "{error}");
        let error = parse(&[("S3_AFTER_DELIVERY", "burn")]).unwrap_err();
        assert!(error.message().contains("S3_AFTER_DELIVERY is \"burn\": expected keep, tag"), "{error}");
    }
}
