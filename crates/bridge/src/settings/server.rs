//! Which server it is, who we are there, and where files are put.

use std::net::Ipv6Addr;

use super::pasted::may_be_secret;
use super::{Problems, Variables};
use crate::paths::problem_of_location;

/// `SFTP_HOST`, if it is one.
pub(super) fn host<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let Some(host) = variables.get("SFTP_HOST") else {
        problems.add("SFTP_HOST", "is not set: the partner's server, a name or an address");
        return None;
    };
    if (is_name(host) || host.parse::<Ipv6Addr>().is_ok()) && !may_be_secret(host) {
        return Some(host);
    }
    let expected = "expected a name or an address alone, without scheme, user, brackets or path, and the port in SFTP_PORT";
    match host.contains('@') {
        true => problems.add(
            "SFTP_HOST",
            &format!("has an @, and is not shown, for a password may be in it: {expected}"),
        ),
        false => problems.wrong("SFTP_HOST", host, expected),
    }
    None
}

/// A name in the DNS, or an IPv4 address. A longer label than 63 characters cannot be looked up.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

/// `SFTP_USER`, if it is set and can be one.
pub(super) fn user<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let user = variables.get("SFTP_USER")?;
    if user.contains(char::is_control) || may_be_secret(user) {
        problems.wrong("SFTP_USER", user, "expected a user name without control characters");
        return None;
    }
    Some(user)
}

/// `SFTP_LOCATION`, if it is set and can be one.
pub(super) fn location<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let location = variables.get("SFTP_LOCATION")?;
    if let Some(problem) = problem_of_location(location) {
        let expected = "expected a directory such as incoming, or with a leading slash /data/incoming";
        problems.wrong("SFTP_LOCATION", location, &format!("its {problem}, {expected}"));
        return None;
    }
    if location.starts_with('~') {
        let below_home = location.split_once('/').map_or("", |(_, rest)| rest.trim_matches('/'));
        let expected = match below_home {
            "" => "expected nothing, which is the home directory".to_owned(),
            rest => format!("expected {rest:?}"),
        };
        let otherwise = format!("for a directory that is really called so, ./{location}");
        problems.wrong("SFTP_LOCATION", location, &format!("{NOT_HOME}, {expected}; or {otherwise}"));
        return None;
    }
    Some(location)
}

/// What is wrong with a path that a shell would take for one in the home directory.
pub(super) const NOT_HOME: &str = "SFTP does not know ~, and would make a directory of that name; a path without a leading slash begins in the home directory already";

/// Whether a shell would put the home directory in place of the path's first component.
pub(super) fn is_shells_home(path: &str) -> bool {
    path.split('/').next() == Some("~")
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn a_host_is_a_host() {
        for host in ["sftp.example.com", "h", "a_b.example.", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]
        {
            assert_eq!(parse(&[("SFTP_HOST", host)]).unwrap().host, host);
        }
        let long = format!("{}.example", "x".repeat(64));
        for host in ["sftp://h", "h/path", "a b", "h:2222", "[::1]", "[::1]:22", "::1:x", "a..b", ".", &long]
        {
            let error = parse(&[("SFTP_HOST", host)]).unwrap_err();
            let expected = format!("SFTP_HOST is {host:?}: expected a name or an address alone");
            assert!(
                error.message().starts_with(&expected) && error.message().contains("SFTP_PORT"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        for host in ["sftp://u:hunter2@h", "u:hunter2@h", "hunter2@h:22", "u:hunter2/@h"] {
            let error = parse(&[("SFTP_HOST", host)]).unwrap_err();
            assert!(error.message().starts_with("SFTP_HOST "), "{error}");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
        let error = parse(&[("SFTP_LOCATION", "sftp://u:hunter2@h/in")]).unwrap_err();
        assert!(error.message().contains("SFTP_LOCATION") && !error.message().contains("hunter2"), "{error}");
    }

    #[test]
    fn story_124_a_location_is_not_what_a_shell_makes_of_it() {
        for (location, expected) in [
            ("~", "expected nothing, which is the home directory; or"),
            ("~/", "expected nothing, which is the home directory; or"),
            ("~/in/box", "expected \"in/box\"; or"),
            ("~acme/in/", "expected \"in\"; or"),
        ] {
            let error = parse(&[("SFTP_LOCATION", location)]).unwrap_err();
            let beginning = format!("SFTP_LOCATION is {location:?}: SFTP does not know ~");
            assert!(error.message().starts_with(&beginning), "{error}");
            let escape = format!("./{location}");
            assert!(error.message().contains(expected) && error.message().ends_with(&escape), "{error}");
        }
    }

    #[test]
    fn locations() {
        for location in [
            "in",
            "in/",
            "in/box//",
            "/",
            "/in/box",
            ".",
            "./in",
            "räksmörgås/a b",
            "C:\\in",
            "./~/in",
            "in/~",
        ] {
            assert_eq!(parse(&[("SFTP_LOCATION", location)]).unwrap().location, location);
        }
        for location in
            ["..", "../in", "in/../../x", "in//box", "//in", "in/./box", "in\nbox", &"x".repeat(256)]
        {
            let error = parse(&[("SFTP_LOCATION", location)]).unwrap_err();
            let expected = format!("SFTP_LOCATION is {location:?}: its component ");
            assert!(
                error.message().starts_with(&expected) && error.message().contains("expected"),
                "{error}"
            );
        }
    }
}
