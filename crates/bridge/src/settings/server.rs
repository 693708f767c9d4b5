//! The server, the user on it, and the directories for files.

use std::net::Ipv6Addr;

use super::names::NOT_HOME;
use super::pasted::may_be_secret;
use super::problems::Problems;
use super::table::{SFTP_HOST, SFTP_LOCATION, SFTP_USER, Setting};
use super::variables::Variables;
use crate::paths::problem_of_location;

/// `SFTP_HOST`, if it is a host.
pub(super) fn host<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let Some(host) = variables.get(&SFTP_HOST) else {
        problems.add(&SFTP_HOST, "is not set: set it to the name or address of the partner's server");
        return None;
    };
    if (is_dns_name(host) || host.parse::<Ipv6Addr>().is_ok()) && !may_be_secret(host) {
        return Some(host);
    }
    let expected = "expected only a name or an address, without scheme, user, brackets or path; the port belongs in SFTP_PORT";
    if host.contains('@') {
        let problem =
            format!("contains an @, and is not shown, because it may contain a password: {expected}");
        problems.add(&SFTP_HOST, &problem);
    } else {
        problems.wrong(&SFTP_HOST, host, expected);
    }
    None
}

/// A DNS name or an IPv4 address. A label has at most 63 characters.
fn is_dns_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
}

/// `SFTP_USER`, if it is set and valid.
pub(super) fn user<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    let user = variables.get(&SFTP_USER)?;
    if user.contains(char::is_control) || may_be_secret(user) {
        problems.wrong(&SFTP_USER, user, "expected a user name without control characters");
        return None;
    }
    Some(user)
}

/// `SFTP_LOCATION`, if it is set and valid.
pub(super) fn location<'v>(variables: &'v Variables, problems: &mut Problems) -> Option<&'v str> {
    directory(variables, problems, &SFTP_LOCATION, "incoming")
}

/// A directory on the server that begins in the home directory or at the root, if it is set and valid. `example` is one.
pub(super) fn directory<'v>(
    variables: &'v Variables,
    problems: &mut Problems,
    setting: &Setting,
    example: &str,
) -> Option<&'v str> {
    let directory = variables.get(setting)?;
    if let Some(problem) = problem_of_location(directory) {
        let expected =
            format!("expected a directory such as {example}, or with a leading slash /data/{example}");
        problems.wrong(setting, directory, &format!("its {problem}, {expected}"));
        return None;
    }
    if directory.starts_with('~') {
        let below_home = directory.split_once('/').map_or("", |(_, rest)| rest.trim_matches('/'));
        let expected = match below_home {
            "" => "expected nothing, which is the home directory".to_owned(),
            rest => format!("expected {rest:?}"),
        };
        let otherwise = format!("for a directory that really has this name, ./{directory}");
        problems.wrong(setting, directory, &format!("{NOT_HOME}, {expected}; or {otherwise}"));
        return None;
    }
    Some(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(value: &str) -> crate::Result<String> {
        Problems::of(&[("SFTP_HOST", value)], |variables, problems| {
            host(variables, problems).map(str::to_owned)
        })
    }

    fn location_of(value: &str) -> crate::Result<String> {
        Problems::of(&[("SFTP_LOCATION", value)], |variables, problems| {
            location(variables, problems).map(str::to_owned)
        })
    }

    #[test]
    fn a_host_is_a_host() {
        for host in ["sftp.example.com", "h", "a_b.example.", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"]
        {
            assert_eq!(host_of(host).unwrap(), host);
        }
        let long = format!("{}.example", "x".repeat(64));
        for host in ["sftp://h", "h/path", "a b", "h:2222", "[::1]", "[::1]:22", "::1:x", "a..b", ".", &long]
        {
            let error = host_of(host).unwrap_err();
            let expected = format!("SFTP_HOST is {host:?}: expected only a name or an address");
            assert!(
                error.message().starts_with(&expected) && error.message().contains("SFTP_PORT"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_password_in_the_address_is_not_shown() {
        for host in ["sftp://u:hunter2@h", "u:hunter2@h", "hunter2@h:22", "u:hunter2/@h"] {
            let error = host_of(host).unwrap_err();
            assert!(error.message().starts_with("SFTP_HOST "), "{error}");
            assert!(!error.message().contains("hunter2"), "{error}");
        }
        let error = location_of("sftp://u:hunter2@h/in").unwrap_err();
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
            let error = location_of(location).unwrap_err();
            let beginning = format!("SFTP_LOCATION is {location:?}: SFTP does not expand ~");
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
            assert_eq!(location_of(location).unwrap(), location);
        }
        for location in
            ["..", "../in", "in/../../x", "in//box", "//in", "in/./box", "in\nbox", &"x".repeat(256)]
        {
            let error = location_of(location).unwrap_err();
            let expected = format!("SFTP_LOCATION is {location:?}: its component ");
            assert!(
                error.message().starts_with(&expected) && error.message().contains("expected"),
                "{error}"
            );
        }
    }
}
