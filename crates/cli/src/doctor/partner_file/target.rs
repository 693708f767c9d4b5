//! The file that is written.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use bridge::{ErrorName, Result, may_be_secret};

use super::document::{self, MARK};
use super::file::{Parameters, PartnerFile};
use super::parameters;

/// The state machine is called like its stack, and its name has at most 71 characters.
const STACK_NAME_MAX: usize = 71;
/// Of these parameters, another value is another partner.
const WHO: [&str; 3] = ["SftpHost", "SftpPort", "SftpUser"];
/// Where `SftpUser` is empty, the credential names the user.
const CREDENTIAL: [&str; 2] = ["SftpSecretId", "SftpS3SshKey"];

/// The file that is written.
#[derive(Debug)]
pub(in crate::doctor) struct Target {
    path: PathBuf,
    pub(in crate::doctor) stack_name: String,
    /// For a new file.
    region: Option<String>,
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
    pub(in crate::doctor) fn new(path: &Path, region: Option<&str>) -> Result<Self> {
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
        let is_region = |it: &&str| it.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let region = region.filter(is_region).map(str::to_owned);
        Ok(Self { path: path.to_owned(), stack_name, region })
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
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() => return Ok(()),
            Err(error) => return keep(format!("the file is there and cannot be read ({error})")),
        };
        if !text.starts_with(MARK) {
            return keep("the file is there, and this command has not written it".into());
        }
        let Ok(present) = PartnerFile::parse(&self.path, &text) else {
            return keep("the file is there, and its settings cannot be read".into());
        };
        if present.stack_name != self.stack_name {
            let name = Some(present.stack_name).filter(|name| !may_be_secret(name));
            let other = name.map_or("another stack".into(), |name| format!("the stack {name}"));
            return keep(format!("the file is there, for {other}"));
        }
        let value = |of: &Parameters, name: &str| {
            let given = of.get(name).map(String::as_str);
            given.or_else(|| parameters::default(name)).unwrap_or_default().to_owned()
        };
        let differs = |name: &&&str| value(parameters, name) != value(&present.parameters, name);
        let has_user = !value(parameters, "SftpUser").is_empty();
        let credential = CREDENTIAL.iter().filter(|_| !has_user);
        match WHO.iter().chain(credential).find(differs) {
            Some(name) if other_server == OtherServer::IsRefused => keep(format!(
                "the file is there, for another partner: its {}",
                parameters::shown(name, &value(&present.parameters, name))
            )),
            _ => Ok(()),
        }
    }

    /// Writes the file in one step.
    ///
    /// # Errors
    /// The file that is there stays as it was.
    pub(in crate::doctor) fn write(&self, parameters: &Parameters) -> io::Result<()> {
        let path = self.real_path()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let permissions = match std::fs::metadata(&path) {
            Ok(present) => present.permissions(),
            Err(_) => Permissions::from_mode(0o644),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".s3-sftp-bridge-")
            .permissions(permissions)
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(self.text(parameters)?.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        Ok(())
    }

    /// Where a symbolic link leads: it stays one.
    fn real_path(&self) -> io::Result<PathBuf> {
        match std::fs::canonicalize(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.path.is_symlink() => {
                Ok(self.path.clone())
            }
            found => found,
        }
    }

    /// The file's text.
    fn text(&self, parameters: &Parameters) -> io::Result<String> {
        let present = match std::fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.new_text(parameters)),
            present => present?,
        };
        // It was checked, but before the examination.
        let is_ours = self.check(parameters, OtherServer::IsTheSamePartner).is_ok();
        let edited = is_ours.then(|| document::edited(&present, parameters)).flatten();
        edited.ok_or_else(|| io::Error::other("somebody has changed the file meanwhile"))
    }

    fn new_text(&self, parameters: &Parameters) -> String {
        let file_name = self.path.file_name().unwrap_or_default().display().to_string();
        let (stack_name, region) = (self.stack_name.as_str(), self.region.as_deref());
        document::New { file_name, stack_name, region, parameters }.text()
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
        assert_eq!(Target::new(Path::new("/a/acme-2.toml"), None).unwrap().stack_name, "sftp-acme-2");
        let long = format!("{}.toml", "a".repeat(67));
        for (path, words) in [
            ("acme", "such as acme.toml"),
            (".toml", "only letters, digits and hyphens"),
            ("a_b.toml", "only letters, digits and hyphens"),
            ("a b.toml", "only letters, digits and hyphens"),
            ("samconfig.toml", "choose the partner's name"),
            (&long, "more than 71 characters"),
        ] {
            let error = Target::new(Path::new(path), None).unwrap_err();
            assert!(error.message().contains(words), "{path}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_whatever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("acme.toml"), None).unwrap();
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
    fn a_file_that_is_there_is_edited_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (real, path) = (folder.path().join("real"), folder.path().join("acme.toml"));
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let target = Target::new(&path, Some("eu-west-1")).unwrap();
        let error = target.check(&parameters(&[]), OtherServer::IsRefused).unwrap_err();
        assert!(error.message().contains("cannot be read"), "a link to nothing: {error}");
        assert!(target.write(&parameters(&[])).is_err());

        std::fs::write(&real, Target::new(&path, None).unwrap().new_text(&parameters(&[]))).unwrap();
        std::fs::set_permissions(&real, Permissions::from_mode(0o600)).unwrap();
        let ours =
            std::fs::read_to_string(&real).unwrap().replace("resolve_s3 = true", "s3_bucket = \"b\" # b");
        std::fs::write(&real, &ours).unwrap();
        target.write(&parameters(&[("SftpHost", "new")])).unwrap();
        assert!(path.is_symlink());
        let expected = ours.replace("SftpHost = \"h\"", "SftpHost = \"new\"");
        assert_eq!(std::fs::read_to_string(&real).unwrap(), expected, "and it gets no region");
        assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::write(&real, "version = 0.1\n").unwrap();
        let error = target.write(&parameters(&[])).unwrap_err();
        assert!(error.to_string().contains("meanwhile"), "{error}");
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "version = 0.1\n");
    }

    #[test]
    fn a_new_file_names_the_region() {
        let text = |region| Target::new(Path::new("acme.toml"), region).unwrap().new_text(&parameters(&[]));
        let line = "stack_name = \"sftp-acme\"\nregion = \"eu-west-1\"\n";
        assert!(text(Some("eu-west-1")).contains(line), "{}", text(Some("eu-west-1")));
        assert!(!text(None).contains("region") && !text(Some("a b")).contains("region"));
    }

    #[test]
    fn what_may_be_a_secret_in_the_present_file_is_not_shown() {
        const LINE: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.toml");
        let target = Target::new(&path, None).unwrap();
        let text = target.new_text(&parameters(&[]));
        for (from, words) in [
            ("\"acme\"", "for another partner: its SftpUser has a value that is not shown"),
            ("\"sftp-acme\"", "for another stack"),
        ] {
            std::fs::write(&path, text.replace(from, &format!("{LINE:?}"))).unwrap();
            let error = target.check(&parameters(&[]), OtherServer::IsRefused).unwrap_err();
            assert!(error.message().contains(words) && !error.message().contains("b3Blb"), "{error}");
        }
    }

    #[test]
    fn without_a_user_the_credential_tells_partners_apart() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::new(&folder.path().join("acme.toml"), None).unwrap();
        let check = |more: &[(&str, &str)]| target.check(&parameters(more), OtherServer::IsRefused);
        target.write(&parameters(&[("SftpSecretId", "s/acme")])).unwrap();
        assert!(check(&[("SftpSecretId", "s/new")]).is_ok(), "the user says who it is");
        target.write(&parameters(&[("SftpUser", ""), ("SftpSecretId", "s/acme")])).unwrap();
        assert!(check(&[("SftpUser", ""), ("SftpSecretId", "s/acme")]).is_ok());
        let error = check(&[("SftpUser", ""), ("SftpSecretId", "s/globex")]).unwrap_err();
        assert!(error.message().contains("its SftpSecretId has a value that is not shown"), "{error}");
        assert!(check(&[("SftpUser", ""), ("SftpS3SshKey", "b/globex")]).is_err());
    }

    #[test]
    fn another_partners_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("acme.toml");
        let target = Target::new(&path, None).unwrap();
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
