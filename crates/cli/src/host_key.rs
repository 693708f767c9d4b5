//! `host-key`: prints the host keys of a server, for people to compare with what the partner told them.

use std::process::ExitCode;

use serde_json::{Value, json};
use sftp::probe::{self, HostKeys};
use sftp::{Endpoint, Options};

use crate::failure;
use crate::output::{self, Layout};

/// Printed with every key.
const WARNING: &str = "These keys are not verified: an attacker between you and the server could present others. Before \
                       you set them, compare the fingerprints with those that the partner gave you by phone, in a contract \
                       or on a website.";

/// Parses `HOST`, `HOST:PORT`, `[2001:db8::1]:PORT` or an IPv6 address. Ignores `sftp://` before it.
pub(crate) fn parse(text: &str) -> std::result::Result<Endpoint, String> {
    let expected = "expected HOST, HOST:PORT or [IPV6]:PORT";
    let text = text.strip_prefix("sftp://").unwrap_or(text).trim_end_matches('/');
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').or((rest.is_empty()).then_some("22"))),
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, Some("22")),
        },
    };
    let port = port.and_then(|port| port.parse().ok()).filter(|port| *port > 0).ok_or(expected)?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@')) {
        return Err(expected.into());
    }
    Ok(Endpoint { host: host.to_owned(), port })
}

/// Asks the server for its host keys, and prints them.
pub(crate) async fn run(endpoint: &Endpoint, json: bool) -> ExitCode {
    match probe::host_keys(endpoint, &Options::default()).await {
        Ok(keys) if json => output::say_json(&as_json(endpoint, &keys), Layout::Pretty),
        Ok(keys) => output::say(&as_lines(endpoint, &keys)),
        Err(error) => return failure::print(&error.into()),
    }
    ExitCode::SUCCESS
}

fn as_lines(endpoint: &Endpoint, presented: &HostKeys) -> Vec<String> {
    let mut lines = vec![format!("{endpoint} presents:"), String::new()];
    for key in &presented.keys {
        let (kind, fingerprint, names) = match &key.authority {
            None => (key.key_type.clone(), &key.fingerprint, String::new()),
            Some(authority) => (
                format!("the authority of its {} certificate", key.key_type),
                &authority.fingerprint,
                format!(", valid for {}", quoted(&authority.principals)),
            ),
        };
        lines.extend([format!("{fingerprint}  {kind}{names}"), key.setting(), String::new()]);
    }
    if let Some(gap) = presented.gap() {
        lines.extend([format!("The server may have more keys: {gap}"), String::new()]);
    }
    lines.push(WARNING.into());
    lines.push("Set SFTP_TRUSTED_HOST_KEYS to one of the keys, or to several, separated by commas.".into());
    lines
}

/// Joins names with commas. A name with a comma or white space is quoted, so that it cannot look like several.
fn quoted(names: &[String]) -> String {
    let is_plain = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == ',');
    let names = names.iter().map(|name| if is_plain(name) { name.clone() } else { format!("{name:?}") });
    names.collect::<Vec<_>>().join(", ")
}

fn as_json(endpoint: &Endpoint, presented: &HostKeys) -> Value {
    let keys: Vec<Value> = presented
        .keys
        .iter()
        .map(|key| {
            let mut value = json!({
                "key_type": key.key_type,
                "fingerprint": key.fingerprint,
                "public_key": key.public_key,
                "trusted_host_key": key.setting(),
            });
            if let Some(authority) = &key.authority {
                value["authority"] = json!({
                    "fingerprint": authority.fingerprint,
                    "public_key": authority.public_key,
                    "principals": authority.principals,
                });
            }
            value
        })
        .collect();
    let mut value =
        json!({"host": endpoint.host, "port": endpoint.port, "host_keys": keys, "warning": WARNING});
    if let Some(problem) = &presented.problem {
        value["not_asked"] = json!(presented.not_asked);
        value["problem"] = json!(problem.message());
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sftp::probe::{Authority, HostKey};

    use super::*;
    use crate::output::tests::{assert_plain, hostile};

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("sftp.example.com", "sftp.example.com", 22),
            ("sftp.example.com:2222", "sftp.example.com", 2222),
            ("sftp://sftp.example.com:2222/", "sftp.example.com", 2222),
            ("[2001:db8::1]:2222", "2001:db8::1", 2222),
            ("[2001:db8::1]", "2001:db8::1", 22),
            ("2001:db8::1", "2001:db8::1", 22),
        ] {
            assert_eq!(parse(text), Ok(Endpoint { host: host.into(), port }), "{text}");
        }
        for text in ["", ":22", "h:", "h:x", "h:0", "h:70000", "user@h", "[::1]x", "a b", "h/path"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn story_40_principals_and_key_types_stand_on_their_own_line(text in hostile()) {
            let presented = |text: &str| {
                let key = |authority| HostKey {
                    key_type: text.into(),
                    fingerprint: "SHA256:f".into(),
                    public_key: format!("{text} AAAA"),
                    authority,
                };
                let authority = Authority {
                    fingerprint: "SHA256:a".into(),
                    public_key: "ssh-ed25519 AAAA".into(),
                    principals: vec![text.into(), "sftp.example.com".into()],
                };
                let (not_asked, problem) = (vec![text.to_owned()], Some(sftp::ErrorKind::ConnectFailed.error(text)));
                HostKeys { keys: vec![key(None), key(Some(authority))], not_asked, problem }
            };
            let lines = |text: &str| {
                let endpoint = Endpoint { host: text.into(), port: 22 };
                as_lines(&endpoint, &presented(text))
            };
            assert_plain(&lines(&text));
            prop_assert_eq!(lines(&text).len(), lines("plain").len());
        }
    }

    #[test]
    fn a_principal_that_looks_like_several_is_quoted() {
        let names = ["a.example".to_owned(), "b, SHA256:forged".to_owned(), "c\nd".to_owned()];
        assert_eq!(quoted(&names), r#"a.example, "b, SHA256:forged", "c\nd""#);
    }
}
