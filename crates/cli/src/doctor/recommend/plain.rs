//! Values in the form that the template accepts, and quoted for a shell.

use bridge::{CredentialLocation, Settings, TrustedHostKeys};

/// Maximum length of the host keys in the template, in characters. A test compares the two.
pub(super) const HOST_KEYS_MAX: usize = 1900;

/// The value of a setting in its plainest form, from the parsed settings: the patterns of the template accept no other,
/// and a value that could be parsed is not a secret that somebody pasted by mistake.
pub(super) fn plain(settings: &Settings, name: &str, value: &str) -> String {
    match name {
        "SFTP_PORT" => settings.port.to_string(),
        "SFTP_S3_SSH_KEY" => match &settings.credential {
            CredentialLocation::S3 { bucket, object_key } => format!("{bucket}/{object_key}"),
            CredentialLocation::SecretsManager { .. } => String::new(),
        },
        "SFTP_TRUSTED_HOST_KEYS" => host_keys(&settings.trusted_host_keys, value),
        "SFTP_AUTHENTICATION" => {
            settings.login.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(",")
        }
        "SFTP_ALGORITHMS" => {
            let words = value.split(|c: char| c == ',' || c.is_ascii_whitespace());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let is_named = words.first().is_some_and(|word| !word.starts_with(['+', '-', '^']));
            let preset = if is_named { None } else { Some("modern") };
            preset.into_iter().chain(words).collect::<Vec<_>>().join(",")
        }
        "SFTP_MAX_CONNECTIONS" => settings.max_connections.to_string(),
        "SFTP_KEEP_CONNECTION" => settings.keep_connection.as_secs().to_string(),
        _ => value.to_owned(),
    }
}

/// Keys on several lines are put on one. If they are too long for the template, their fingerprints are used.
fn host_keys(trusted: &TrustedHostKeys, value: &str) -> String {
    let lines = value.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.collect::<Vec<_>>().join(",");
    let is_same = TrustedHostKeys::parse(&line).is_ok_and(|parsed| parsed == *trusted);
    if is_same && line.len() <= HOST_KEYS_MAX { line } else { trusted.to_string().replace(", ", ",") }
}

/// The parameter of the template for a setting: `SftpS3SshKey` for `SFTP_S3_SSH_KEY`.
pub(super) fn parameter(setting: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_ascii_lowercase())
    };
    setting.split('_').map(word).collect()
}

fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:+=@,".contains(c))
}

/// Quoted for a shell.
pub(super) fn quoted(value: &str) -> String {
    if is_plain(value) { value.to_owned() } else { format!("'{}'", value.replace('\'', r"'\''")) }
}

/// Quoted for a shell, and inside that for the SAM CLI, which removes the inner quotes and the backslashes before quotes,
/// but no others: `DOMAIN\acme` stays as it is.
pub(super) fn doubly_quoted(value: &str) -> String {
    let inner = value.replace('"', "\\\"");
    if is_plain(value) { value.to_owned() } else { quoted(&format!("\"{inner}\"")) }
}
