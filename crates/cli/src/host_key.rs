//! `host-key`: what a server presents, for people to compare with what the partner told them.

use std::fmt::Write as _;

use bridge::Result;
use serde_json::{Value, json};
use sftp::probe::{self, HostKeys};
use sftp::{Endpoint, Options};

/// The warning that stands with every key: printing it is not checking it.
const WARNING: &str = "Whoever answers at this address could have printed these keys. Before you set them, compare the \
                       fingerprints with those that the partner gave you by another way (telephone, contract, website).";

/// `HOST`, `HOST:PORT`, `[2001:db8::1]:PORT` or an IPv6 address alone; `sftp://` before it is overlooked.
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

/// Asks the server, and says what it presented.
pub(crate) async fn run(endpoint: &Endpoint, json: bool) -> Result<String> {
    let keys = probe::host_keys(endpoint, &Options::default()).await?;
    Ok(if json { as_json(endpoint, &keys) } else { as_text(endpoint, &keys) })
}

fn as_text(endpoint: &Endpoint, presented: &HostKeys) -> String {
    let mut text = format!("{endpoint} presents:\n\n");
    for key in &presented.keys {
        let (kind, fingerprint, names) = match &key.authority {
            None => (key.key_type.clone(), &key.fingerprint, String::new()),
            Some(authority) => (
                format!("the authority of its {} certificate", key.key_type),
                &authority.fingerprint,
                format!(", which vouches for {}", authority.principals.join(", ")),
            ),
        };
        let _ = writeln!(text, "{fingerprint}  {kind}{names}\n{}\n", key.setting());
    }
    if let Some(gap) = presented.gap() {
        let _ = writeln!(text, "It may have more: {gap}\n");
    }
    text.push_str(WARNING);
    text.push_str(
        "\nOne of the lines is enough for SFTP_TRUSTED_HOST_KEYS; several are separated by commas.",
    );
    text
}

fn as_json(endpoint: &Endpoint, presented: &HostKeys) -> String {
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
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
