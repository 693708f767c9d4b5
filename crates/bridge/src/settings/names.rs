//! Names that several settings check.

/// Whether a bucket can have this name.
pub(super) fn is_bucket_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    (3..=63).contains(&text.len())
        && text.bytes().all(|byte| is_plain(byte) || b".-".contains(&byte))
        && ends.into_iter().flatten().all(is_plain)
}

/// Whether a topic of SNS that is no FIFO topic can have this ARN: `arn:aws:sns:REGION:ACCOUNT:NAME`.
pub(super) fn is_topic_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "sns", region, account, name] = parts[..] else { return false };
    let is_plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    is_plain(partition, "-")
        && is_plain(region, "-")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && name.len() <= 256
        && is_plain(name, "_-")
}

/// The problem with a path that a shell would expand to the home directory.
pub(super) const NOT_HOME: &str = "SFTP does not expand ~, and would create a directory of that name; a path without a leading slash begins in the home directory already";

/// Whether a shell would replace the path's first component by the home directory.
pub(super) fn begins_with_tilde(path: &str) -> bool {
    path.split('/').next() == Some("~")
}
