//! The file that is written.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bridge::{ErrorName, Result};
use toml_edit::{DocumentMut, Item, Table, value};

use super::file::{Parameters, PartnerFile};
use super::{parameters, sam};

/// The first line of every file that this command has written.
const MARK: &str = "# Written by s3-sftp-bridge doctor --write";
/// The state machine is called like its stack, and its name has at most 71 characters.
const STACK_NAME_MAX: usize = 71;
/// Of these parameters, another value is another partner.
const WHO: [&str; 3] = ["SftpHost", "SftpPort", "SftpUser"];

/// The file that is written.
#[derive(Debug)]
pub(in crate::doctor) struct Target {
    path: PathBuf,
    pub(in crate::doctor) stack_name: String,
}

/// Whether a file of another server may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::doctor) enum OtherServer {
    /// The file may be that of another partner.
    IsRefused,
    /// The settings come from this very file, so the partner has moved.
    IsTheSamePartner,
}

impl Target {
    /// # Errors
    /// `InvalidConfig` if no stack can be named after the file.
    pub(in crate::doctor) fn new(path: &Path) -> Result<Self> {
        let shown = path.display();
        let wrong = |problem: &str| ErrorName::InvalidConfig.error(format!("--write {shown}: {problem}"));
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".toml"));
        let name = name.ok_or_else(|| wrong("expected the partner's name and .toml, such as acme.toml"))?;
        if name == "samconfig" {
            return Err(wrong(
                "the SAM CLI reads samconfig.toml without being asked: choose the partner's name",
            ));
        }
        // Nothing is replaced in the name, or two files might have one stack.
        let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !is_word {
            let problem =
                "the stack is named after the file: expected only letters, digits and hyphens before .toml";
            return Err(wrong(problem));
        }
        let stack_name = format!("sftp-{name}");
        if stack_name.len() > STACK_NAME_MAX {
            return Err(wrong(
                "the stack is named after the file, and that name has more than 71 characters",
            ));
        }
        Ok(Self { path: path.to_owned(), stack_name })
    }

    pub(in crate::doctor) fn path(&self) -> &Path {
        &self.path
    }

    /// The parameters that the file that is there names.
    pub(in crate::doctor) fn named(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let file = PartnerFile::parse(&self.path, &text);
        file.map(|file| file.parameters.into_keys().collect()).unwrap_or_default()
    }

    /// # Errors
    /// `InvalidConfig` if the file that is there is another stack's, another partner's or somebody else's.
    pub(in crate::doctor) fn check(&self, parameters: &Parameters, other_server: OtherServer) -> Result<()> {
        let shown = self.path.display();
        let keep = |problem: String| {
            let advice = "choose another name for this partner, or move the file away";
            Err(ErrorName::InvalidConfig.error(format!("--write {shown}: {problem}: {advice}")))
        };
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return keep(format!("the file is there and cannot be read ({error})")),
        };
        if !text.starts_with(MARK) {
            return keep("the file is there, and this command has not written it".into());
        }
        let Ok(present) = PartnerFile::parse(&self.path, &text) else {
            return keep("the file is there, and its settings cannot be read".into());
        };
        if present.stack_name != self.stack_name {
            return keep(format!("the file is there, for the stack {}", present.stack_name));
        }
        let value = |of: &Parameters, name: &str| {
            let default = || parameters::find(name).ok().and_then(|it| it.default.clone());
            of.get(name).cloned().or_else(default).unwrap_or_default()
        };
        let differs = |name: &&&str| value(parameters, name) != value(&present.parameters, name);
        match WHO.iter().find(differs) {
            Some(name) if other_server == OtherServer::IsRefused => keep(format!(
                "the file is there, for another partner: its {name} is {:?}",
                value(&present.parameters, name)
            )),
            _ => Ok(()),
        }
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// The file that is there stays as it was.
    pub(in crate::doctor) fn write(&self, parameters: &Parameters) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::Builder::new()
            .prefix(".s3-sftp-bridge-")
            .permissions(std::fs::Permissions::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(self.text(parameters).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    /// The file's text.
    fn text(&self, parameters: &Parameters) -> String {
        let name = self.path.file_name().unwrap_or_default().display();
        let head = format!(
            "{MARK}, for the stack {stack}.\n\
             # One partner has one file and one stack. To go back to a default, write the default: a stack keeps the value\n\
             # of a parameter that is not named here. After a change, check the file again before you deploy it:\n\
             #   s3-sftp-bridge doctor --config-file {name}\n\
             #   sam deploy --config-file {name}\n",
            stack = self.stack_name
        );
        let mut overrides = Table::new();
        // In the template's order, so that what most people look for comes first.
        let known = parameters::all().iter().filter_map(|it| Some((it.name, parameters.get(it.name)?)));
        for (name, text) in known {
            overrides.insert(name, value(sam::write(text)));
        }
        let mut deploy = Table::new();
        for (name, item) in [
            ("capabilities", value("CAPABILITY_IAM")),
            ("confirm_changeset", value(true)),
            ("fail_on_empty_changeset", value(false)),
            ("resolve_s3", value(true)),
            ("s3_prefix", value(self.stack_name.as_str())),
        ] {
            deploy.insert(name, item);
        }
        deploy.insert("parameter_overrides", Item::Table(overrides));
        let mut global = Table::new();
        global.insert("stack_name", value(self.stack_name.as_str()));
        let mut default = Table::new();
        default.set_implicit(true);
        for (command, table) in [("global", global), ("deploy", deploy)] {
            let mut section = Table::new();
            section.set_implicit(true);
            section.insert("parameters", Item::Table(table));
            default.insert(command, Item::Table(section));
        }
        let mut document = DocumentMut::new();
        document.insert("version", value(0.1));
        document.insert("default", Item::Table(default));
        head + &document.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(more: &[(&str, &str)]) -> Parameters {
        let least = [("SftpHost", "h"), ("SftpUser", "acme"), ("SftpTrustedHostKeys", "SHA256:x")];
        least.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn a_stack_is_named_after_its_file_and_only_after_it() {
        assert_eq!(Target::new(Path::new("/a/acme-2.toml")).unwrap().stack_name, "sftp-acme-2");
        let long = format!("{}.toml", "a".repeat(67));
        for (path, words) in [
            ("acme", "such as acme.toml"),
            (".toml", "only letters, digits and hyphens"),
            ("a_b.toml", "only letters, digits and hyphens"),
            ("a b.toml", "only letters, digits and hyphens"),
            ("samconfig.toml", "choose the partner's name"),
            (&long, "more than 71 characters"),
        ] {
            let error = Target::new(Path::new(path)).unwrap_err();
            assert!(error.message().contains(words), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("acme.toml")).unwrap();
        let several = "# ours\nssh-ed25519 AAAA a@b\n\"SHA256:x\"";
        let odd =
            [("SftpLocation", "in box's \"1\""), ("SftpTrustedHostKeys", several), ("SftpUser", r"D\u")];
        let parameters = parameters(&odd);
        target.write(&parameters).unwrap();
        let file = PartnerFile::read(target.path()).unwrap();
        assert_eq!((file.stack_name.as_str(), file.parameters), ("sftp-acme", parameters));
        let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, ["acme.toml"]);
    }

    #[test]
    fn another_partners_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.toml");
        let target = Target::new(&path).unwrap();
        let present = parameters(&[]);
        let check = |parameters: &Parameters| target.check(parameters, OtherServer::IsRefused);
        assert!(check(&present).is_ok(), "nothing is there");
        target.write(&present).unwrap();
        assert!(check(&present).is_ok() && check(&parameters(&[("SftpPort", "22")])).is_ok());
        let moved = parameters(&[("SftpHost", "other")]);
        let error = check(&moved).unwrap_err();
        assert!(error.message().contains("for another partner: its SftpHost is \"h\""), "{error}");
        assert!(target.check(&moved, OtherServer::IsTheSamePartner).is_ok());
        assert!(check(&parameters(&[("SftpUser", "b")])).is_err());
        assert!(check(&parameters(&[("SftpPort", "2222")])).is_err());

        let text = std::fs::read_to_string(&path).unwrap();
        for (other, words) in [
            (text.replace("\"sftp-acme\"", "\"sftp-other\""), "for the stack sftp-other"),
            (text.replace("Written by", "By"), "this command has not written it"),
            (text.replace("version", "?"), "cannot be read"),
        ] {
            std::fs::write(&path, &other).unwrap();
            for other_server in [OtherServer::IsRefused, OtherServer::IsTheSamePartner] {
                let error = target.check(&present, other_server).unwrap_err();
                let message = error.message();
                assert!(message.contains(words) && message.contains("move the file away"), "{message}");
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }
}
