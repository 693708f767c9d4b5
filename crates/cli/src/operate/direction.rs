//! What a failure is about: the delivery of an object, the collection of a file, or a look at the directory that is
//! collected.

use bridge::FailureKey;
use bridge::collect::url;

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

    /// The name that records have for a file on the server, if this is one. `collect` and `list` print it with a port that is
    /// not 22, and records do without.
    pub(crate) fn file(text: &str) -> Option<String> {
        let rest = text.strip_prefix(SCHEME)?;
        let (server, path) = rest.split_once('/').unwrap_or((rest, ""));
        Some(url(without_port(server), path))
    }
}

/// The host of `HOST:PORT`, or of `[HOST]:PORT` if it is an IPv6 address.
fn without_port(server: &str) -> &str {
    if let Some((host, _)) = server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match server.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => server,
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

    #[test]
    fn a_file_is_named_as_in_records_whatever_its_port() {
        for (text, name) in [
            ("sftp://h/out/a.csv", Some("sftp://h/out/a.csv")),
            ("sftp://h:2222//out/a:1.csv", Some("sftp://h//out/a:1.csv")),
            ("sftp://[2001:db8::1]:2222/a", Some("sftp://2001:db8::1/a")),
            ("sftp://2001:db8::1/a", Some("sftp://2001:db8::1/a")),
            ("s3://b/sftp://h/a", None),
            ("b/a", None),
        ] {
            assert_eq!(Direction::file(text).as_deref(), name, "{text}");
        }
    }
}
