//! Recognises secrets that were pasted into a setting by mistake, so that no message shows them.

/// Text at the beginning and end of private keys: PEM, the formats of ssh.com and PuTTY, and OpenSSH's in base64.
const MARKS: [&str; 6] =
    ["--BEGIN", "-- BEGIN", "PRIVATE KEY--", "PRIVATE KEY --", "PuTTY-User-Key-File", "b3BlbnNzaC1rZXk"];
/// Fields of a secret in JSON.
const FIELDS: [&str; 3] = ["PrivateKey", "Passphrase", "Password"];
/// Letters and digits that are examined together: half a line of a PEM file.
const WINDOW: usize = 32;
/// Zeros in base64. Each field of an SSH key begins with its length in four bytes, most of which are zero.
const ZEROS: &str = "AAAA";

/// Whether the text contains a private key, the JSON of a secret, or a URL with a user, which may include a password. No
/// valid value of a setting contains any of these.
pub fn is_secret(text: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_json = text.contains('{') && text.contains('"') && has(&FIELDS);
    let mut addresses = text.split_whitespace().filter_map(|word| word.split_once("://"));
    has(&MARKS) || is_json || addresses.any(|(_, address)| address.contains('@'))
}

/// Whether the text is a secret, or may be a line of a private key. Names consist of words, where most letters are followed
/// by one of the same kind (upper case, lower case, digit). In base64, three of five are not.
pub fn may_be_secret(text: &str) -> bool {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    is_secret(text)
        || text.split(|c| !is_base64(c)).any(|run| {
            let letters: Vec<u8> = run.bytes().filter(u8::is_ascii_alphanumeric).collect();
            let has_lengths = letters.len() >= WINDOW && run.contains(ZEROS);
            has_lengths || letters.windows(WINDOW).any(is_mixed)
        })
}

fn is_mixed(window: &[u8]) -> bool {
    let kind = |byte: u8| (byte.is_ascii_uppercase(), byte.is_ascii_lowercase());
    let changes = window.windows(2).filter(|pair| kind(pair[0]) != kind(pair[1])).count();
    let count = |is: fn(&u8) -> bool| window.iter().filter(|byte| is(byte)).count();
    // Hexadecimal digits change kind as often, but have only one case.
    changes >= 15 && count(u8::is_ascii_uppercase) >= 4 && count(u8::is_ascii_lowercase) >= 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_secrets() {
        for name in [
            "sftp.partner.example",
            "prod/Partners/AcmeCorp/SftpBridge2024/PrivateKey",
            "ProductionPartnerAcmeSftpCredentialsSecretC35B7F0A-Hq3x9TzDqW1k",
            "aws/transfer/s-0123456789abcdef0/AcmeUser",
            "keys/5f4dcc3b5aa765d61d8327deb882cf99e10adc3949ba59abbe56e057f20f883e",
            "Keys/5F4DCC3B5AA765D61D8327DEB882CF99/3F2504E04F8911D39A0C0305E82C3301",
            "keys/3f2504e0-4f89-11d3-9a0c-0305e82c3301/id_ed25519.pem",
            "modern,+aes256-cbc,-ecdh-*,^aes256-ctr,+diffie-hellman-group14-sha1",
            "{dir}/{stem}_{date:%Y%m%d%H%M%S}.{ext}",
            "user@partner.example",
            "# from https://partner.example/keys\nssh-ed25519 AAAA root@partner.example",
        ] {
            assert!(!may_be_secret(name), "{name}");
        }
    }

    #[test]
    fn secrets_are_known_by_their_marks() {
        for secret in [
            "-----BEGIN OPENSSH PRIVATE KEY----- b3Bl",
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
            "-----END RSA PRIVATE KEY-----",
            "PuTTY-User-Key-File-3: ssh-ed25519",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU",
            r#"{"Username":"u","Password":"hunter2"}"#,
            r#"{\"PrivateKey\": \"x\"}"#,
            "sftp://u:hunter2@h/in",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
    }
}
