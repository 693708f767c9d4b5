//! Where the credential is stored.

use super::names::is_bucket_name;
use super::pasted::may_be_secret;
use super::problems::Problems;
use super::table::{SFTP_S3_SSH_KEY, SFTP_SECRET_ID};
use super::variables::Variables;

/// Where the credential is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialLocation {
    /// `SFTP_SECRET_ID`.
    SecretsManager {
        /// Name or ARN.
        secret_id: String,
    },
    /// `SFTP_S3_SSH_KEY`.
    S3 {
        /// The bucket.
        bucket: String,
        /// The key of the object that holds the private key.
        object_key: String,
    },
}

impl CredentialLocation {
    /// Whether the credential is this object of S3. It may lie in the very bucket whose objects are delivered.
    pub fn is_object(&self, bucket: &str, object_key: &str) -> bool {
        match self {
            Self::S3 { bucket: its_bucket, object_key: its_key } => {
                its_bucket == bucket && its_key == object_key
            }
            Self::SecretsManager { .. } => false,
        }
    }

    /// Problems never repeat the value, because people paste the private key itself here. A value that may be one is
    /// refused: later messages show the location.
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Option<Self> {
        let (secret_id, object) = (variables.get(&SFTP_SECRET_ID), variables.get(&SFTP_S3_SSH_KEY));
        let secret = secret_id.and_then(|secret_id| Self::secret(secret_id, problems));
        let object_location = object.and_then(|path| Self::object(path, problems));
        match (secret_id, object) {
            (Some(_), Some(_)) => {
                problems.add(&SFTP_SECRET_ID, "and SFTP_S3_SSH_KEY are both set: expected only one of them");
                None
            }
            (None, None) => {
                let problem = "is not set, and neither is SFTP_S3_SSH_KEY: set one of them to where the credential is stored";
                problems.add(&SFTP_SECRET_ID, problem);
                None
            }
            _ => secret.or(object_location),
        }
    }

    fn secret(secret_id: &str, problems: &mut Problems) -> Option<Self> {
        if is_secret_id(secret_id) {
            return Some(Self::SecretsManager { secret_id: secret_id.to_owned() });
        }
        problems.add(
            &SFTP_SECRET_ID,
            "is not shown, because it may be a secret itself: expected a secret's name, at most 512 letters, digits and /_+=.@!-, or its ARN, arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME",
        );
        None
    }

    /// `bucket/path/to/key`, with or without `s3://`.
    fn object(path: &str, problems: &mut Problems) -> Option<Self> {
        let parts = path.strip_prefix("s3://").unwrap_or(path).split_once('/');
        let is_object = |(bucket, object_key): &(&str, &str)| {
            is_bucket_name(bucket)
                && (1..=1024).contains(&object_key.len())
                && !object_key.contains(char::is_control)
        };
        match parts.filter(is_object).filter(|_| !may_be_secret(path)) {
            Some((bucket, object_key)) => {
                Some(Self::S3 { bucket: bucket.to_owned(), object_key: object_key.to_owned() })
            }
            None => {
                problems.add(
                    &SFTP_S3_SSH_KEY,
                    "is not shown, because it may be a private key itself: expected bucket/path/to/key, the object that holds the private key",
                );
                None
            }
        }
    }
}

/// A secret's name (AWS puts `!` into names that it makes) or its ARN. For a name that looks like a line of a private key,
/// give the ARN.
fn is_secret_id(text: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty() && all(name, |byte| byte.is_ascii_alphanumeric() || b"/_+=.@!-".contains(&byte))
    };
    let is_word = |word: &str| {
        !word.is_empty()
            && all(word, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_account = |account: &str| account.len() == 12 && all(account, |byte| byte.is_ascii_digit());
    let fields: Vec<&str> = text.split(':').collect();
    match fields[..] {
        ["arn", partition, "secretsmanager", region, account, "secret", name] => {
            is_word(partition) && is_word(region) && is_account(account) && is_name(name)
        }
        [name] => is_name(name) && name.len() <= 512 && !may_be_secret(name),
        _ => false,
    }
}

fn all(text: &str, is_allowed: impl Fn(u8) -> bool) -> bool {
    text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(name: &'static str, value: &str) -> crate::Result<CredentialLocation> {
        Problems::of(&[(name, value)], CredentialLocation::parse)
    }

    #[test]
    fn names_and_arns_of_secrets() {
        let arn = "arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:a/b_c+d=e.f@g!h-Ab12Cd";
        // As CloudFormation makes them.
        let mixed =
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:aB1cD2eF3gH4iJ5kL6mN7oP8qR9sT0uV1wX2";
        for name in ["partner", "prod/sftp/acme_1+x=y.z@b-c", "events!connection/x", arn, mixed] {
            let expected = CredentialLocation::SecretsManager { secret_id: name.into() };
            assert_eq!(location("SFTP_SECRET_ID", name), Ok(expected));
        }
        for wrong in [
            "two words",
            "hunter2#",
            "a\nb",
            "a:b",
            "arn:aws:s3:::bucket/key",
            "arn:aws:secretsmanager:eu-west-1:1234:secret:x",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:",
            &"a-".repeat(257),
        ] {
            let error = location("SFTP_SECRET_ID", wrong).unwrap_err();
            assert!(error.message().starts_with("SFTP_SECRET_ID is not shown"), "{error}");
            assert!(!error.message().contains(wrong), "{error}");
        }
    }

    #[test]
    fn the_predecessors_key_location() {
        let expected = CredentialLocation::S3 { bucket: "keys".into(), object_key: "path/to/a key".into() };
        for path in ["keys/path/to/a key", "s3://keys/path/to/a key"] {
            assert_eq!(location("SFTP_S3_SSH_KEY", path).as_ref(), Ok(&expected));
        }
        for wrong in
            ["keys", "keys/", "/key", "Keys/key", "ab/key", "-keys/key", "https://keys/key", "keys/a\tb"]
        {
            let error = location("SFTP_S3_SSH_KEY", wrong).unwrap_err();
            let message = error.message().replace("bucket/path/to/key", "");
            assert!(
                message.starts_with("SFTP_S3_SSH_KEY is not shown") && !message.contains(wrong),
                "{error}"
            );
        }
        let both = [("SFTP_S3_SSH_KEY", "keys/key"), ("SFTP_SECRET_ID", "partner")];
        let both = Problems::of(&both, CredentialLocation::parse).unwrap_err();
        assert!(both.message().contains("both set"), "{both}");
    }

    /// In every encoding, as people paste it: whole, on one line, without its first and last line, and single lines.
    #[test]
    fn a_pasted_private_key_goes_nowhere() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sftp/testdata/keys");
        let mut pasted = Vec::new();
        for file in std::fs::read_dir(folder).unwrap() {
            let key = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let lines: Vec<&str> = key.lines().filter(|line| !line.is_empty()).collect();
            // The constants of a curve that is spelled out are no secret.
            let is_body = |line: &&str| !line.contains(['-', ':']) && !line.contains("////");
            let body: Vec<&str> = lines.iter().copied().filter(is_body).collect();
            pasted.extend([key.clone(), key.replace('\n', "\\n"), key.replace('\n', " ")]);
            pasted.extend([body.concat(), body.join("\n"), body.join(" ")]);
            pasted.extend(body.iter().filter(|line| line.len() >= 40).map(|line| (*line).to_owned()));
        }
        assert!(pasted.len() > 200);
        for text in pasted {
            for name in ["SFTP_SECRET_ID", "SFTP_S3_SSH_KEY"] {
                for text in [text.clone(), format!("s3://{text}"), format!("keys/{text}")] {
                    let error = location(name, &text).expect_err(&text);
                    let shown = format!("{error} {error:?}");
                    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
                    let secret = words.filter(|word| word.len() >= 8).find(|word| shown.contains(word));
                    assert_eq!(secret, None, "{shown}");
                }
            }
        }
    }
}
