//! `SFTP_FILE_MODE`, `SFTP_DIR_MODE`, `SFTP_PRESERVE_MTIME` and `SFTP_FSYNC`: what files are beside their contents.

use super::{Problems, Variables, choice};

/// What happens where the server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The delivery goes on, and the receipt has a warning.
    Try,
    /// Nothing is published.
    Require,
}

/// A mode that files or directories are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// `0o640` and the like.
    pub bits: u32,
    /// Whether it has to be.
    pub demand: Demand,
}

/// What files are beside their contents; `None`: what the server makes of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeSettings {
    /// `SFTP_FILE_MODE`.
    pub file_mode: Option<Mode>,
    /// `SFTP_DIR_MODE`, of the directories that the bridge makes.
    pub dir_mode: Option<Mode>,
    /// `SFTP_PRESERVE_MTIME`: whether a file has the time at which S3 stored the object.
    pub mtime: Option<Demand>,
    /// `SFTP_FSYNC`: whether the server writes a file to its disk before it is published.
    pub fsync: Option<Demand>,
}

impl AttributeSettings {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let demands = [("off", None), ("try", Some(Demand::Try)), ("require", Some(Demand::Require))];
        let mtime = choice(variables, problems, "SFTP_PRESERVE_MTIME", &demands);
        let demands = [("try", Some(Demand::Try)), ("off", None), ("require", Some(Demand::Require))];
        let fsync = choice(variables, problems, "SFTP_FSYNC", &demands);
        Self {
            file_mode: mode(variables, problems, "SFTP_FILE_MODE", 0o600, "0640"),
            dir_mode: mode(variables, problems, "SFTP_DIR_MODE", 0o700, "0750"),
            mtime,
            fsync,
        }
    }
}

/// `off`, `0640` or `require:0640`, or `try:0640`. Without what the `owner` needs, which is who we are, a delivery could
/// neither be proved nor go on after a failure.
fn mode(
    variables: &Variables,
    problems: &mut Problems,
    name: &'static str,
    owner: u32,
    example: &str,
) -> Option<Mode> {
    let text = variables.get(name).filter(|text| *text != "off")?;
    let (demand, digits) = match text.split_once(':') {
        Some(("try", digits)) => (Demand::Try, digits),
        Some(("require", digits)) => (Demand::Require, digits),
        _ => (Demand::Require, text),
    };
    let octal = matches!(digits.len(), 3 | 4) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let bits = u32::from_str_radix(digits, 8).ok().filter(|_| octal);
    let problem = match bits {
        Some(bits) if bits & owner == owner => return Some(Mode { bits, demand }),
        Some(_) => format!(
            "expected a mode that includes {owner:04o}, such as {example}, or the bridge could not go on with its own"
        ),
        None => format!("expected off, an octal mode such as {example}, require:{example} or try:{example}"),
    };
    problems.wrong(name, text, &problem);
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn modes_are_octal_and_required_unless_only_tried() {
        let mode = |value| parse(&[("SFTP_FILE_MODE", value)]).map(|settings| settings.attributes.file_mode);
        assert_eq!(mode("").unwrap(), None);
        assert_eq!(mode("off").unwrap(), None);
        assert_eq!(mode("0640").unwrap(), Some(Mode { bits: 0o640, demand: Demand::Require }));
        assert_eq!(mode("require:0640"), mode("0640"));
        assert_eq!(mode("try:664").unwrap(), Some(Mode { bits: 0o664, demand: Demand::Try }));
        for wrong in [
            "640k",
            "+640",
            "0o640",
            "0980",
            "6",
            "00640",
            "try:",
            "require",
            "try:off",
            "must:0640",
            "rw-r--r--",
        ] {
            let error = mode(wrong).unwrap_err();
            let expected = format!("SFTP_FILE_MODE is {wrong:?}: expected off, an octal mode such as 0640");
            assert!(error.message().contains(&expected), "{error}");
        }
        assert!(mode("0440").unwrap_err().message().contains("includes 0600"));
        let error = parse(&[("SFTP_DIR_MODE", "0640"), ("SFTP_PRESERVE_MTIME", "yes")]).unwrap_err();
        assert!(error.message().contains("includes 0700"), "{error}");
        assert!(error.message().contains("SFTP_PRESERVE_MTIME is \"yes\": expected off, try or require"));
    }
}
