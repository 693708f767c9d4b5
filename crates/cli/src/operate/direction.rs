//! What a failure is about: the delivery of an object, the collection of a file, or a look at the directory that is
//! collected.

use bridge::FailureKey;

/// What every name of the other direction begins with.
const SCHEME: &str = "sftp://";

/// What a failure, or an execution, is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    Delivery,
    Collection,
    Look,
}

impl Direction {
    /// Of a failure. In records, `sftp://HOST/PATH` is in the place of the object's key.
    pub(crate) fn of(failure: &FailureKey) -> Self {
        match failure.object.starts_with(SCHEME) {
            false => Self::Delivery,
            true if failure.version.is_look() => Self::Look,
            true => Self::Collection,
        }
    }

    /// Of what is named so.
    pub(crate) fn is_file(name: &str) -> bool {
        name.starts_with(SCHEME)
    }
}

#[cfg(test)]
mod tests {
    use bridge::VersionMark;

    use super::*;

    #[test]
    fn a_failure_says_what_it_is_about() {
        for (name, version, direction) in [
            ("in/a.csv", VersionMark::parse("look"), Direction::Delivery),
            ("", VersionMark::parse("unknown"), Direction::Delivery),
            ("sftp://h/out/a.csv", VersionMark::parse("5-7"), Direction::Collection),
            ("sftp://h/out", VersionMark::look(), Direction::Look),
        ] {
            let failure = FailureKey::open(name, version, "2026-11-27T09:15:00Z", "RemoteFull", "c");
            assert_eq!(Direction::of(&failure), direction, "{name}");
        }
    }
}
