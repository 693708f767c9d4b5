//! `SFTP_FILE_MODE`, `SFTP_DIR_MODE`, `SFTP_PRESERVE_MTIME` and `SFTP_FSYNC`: attributes of files, and when they are on disk.

use super::problems::Problems;
use super::read::choice;
use super::table::{SFTP_DIR_MODE, SFTP_FILE_MODE, SFTP_FSYNC, SFTP_PRESERVE_MTIME, Setting};
use super::variables::Variables;

/// What happens if the server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The delivery continues, and the receipt has a warning.
    Try,
    /// Nothing is published.
    Require,
}

/// The mode of files or directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The permission bits, such as `0o640`.
    pub bits: u32,
    /// What happens if the server refuses it.
    pub demand: Demand,
}

/// Attributes of files. `None`: the server decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttributeSettings {
    /// `SFTP_FILE_MODE`.
    pub file_mode: Option<Mode>,
    /// `SFTP_DIR_MODE`: the mode of directories that the bridge creates.
    pub dir_mode: Option<Mode>,
    /// `SFTP_PRESERVE_MTIME`: whether a file gets the time at which S3 stored the object.
    pub mtime: Option<Demand>,
    /// `SFTP_FSYNC`: whether the server writes a file to its disk before it is published.
    pub fsync: Option<Demand>,
}

impl AttributeSettings {
    pub(super) fn parse(variables: &Variables, problems: &mut Problems) -> Self {
        let demands = [("off", None), ("try", Some(Demand::Try)), ("require", Some(Demand::Require))];
        Self {
            file_mode: mode(
                variables,
                problems,
                &SFTP_FILE_MODE,
                OwnerNeeds { bits: 0o600, example: "0640" },
            ),
            dir_mode: mode(variables, problems, &SFTP_DIR_MODE, OwnerNeeds { bits: 0o700, example: "0750" }),
            mtime: choice(variables, problems, &SFTP_PRESERVE_MTIME, &demands),
            fsync: choice(variables, problems, &SFTP_FSYNC, &demands),
        }
    }
}

/// The permissions that the bridge needs itself, as the owner of what it creates. Without them it could neither prove a
/// delivery nor resume it.
#[derive(Clone, Copy)]
struct OwnerNeeds {
    bits: u32,
    /// A mode that has them.
    example: &'static str,
}

/// `off`, `0640`, `require:0640` (the same), or `try:0640`.
fn mode(
    variables: &Variables,
    problems: &mut Problems,
    setting: &Setting,
    needs: OwnerNeeds,
) -> Option<Mode> {
    let text = variables.get_or_default(setting);
    if text == "off" {
        return None;
    }
    let (demand, digits) = match text.split_once(':') {
        Some(("try", digits)) => (Demand::Try, digits),
        Some(("require", digits)) => (Demand::Require, digits),
        _ => (Demand::Require, text),
    };
    let OwnerNeeds { bits: needed, example } = needs;
    let octal = matches!(digits.len(), 3 | 4) && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let problem = match u32::from_str_radix(digits, 8).ok().filter(|_| octal) {
        Some(bits) if bits & needed == needed => return Some(Mode { bits, demand }),
        Some(_) => format!(
            "expected a mode that includes {needed:04o}, such as {example}: without it the bridge cannot use what it created"
        ),
        None => format!("expected off, an octal mode such as {example}, require:{example} or try:{example}"),
    };
    problems.wrong(setting, text, &problem);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> crate::Result<AttributeSettings> {
        Problems::of(variables, |variables, problems| Some(AttributeSettings::parse(variables, problems)))
    }

    #[test]
    fn modes_are_octal_and_required_unless_only_tried() {
        let mode = |value| parse(&[("SFTP_FILE_MODE", value)]).map(|attributes| attributes.file_mode);
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
