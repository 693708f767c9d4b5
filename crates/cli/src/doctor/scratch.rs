//! The files and directories that the checks make on the server. Their names are unique, and all are removed again.

use bridge::{DeliveryPolicy, ObjectSummary, PartialName, Publish, RemotePathTemplate, Route};
use sftp::Sftp;

use super::configuration::EXAMPLE_TIME;

/// Our files and directories on the server.
pub(super) struct Scratch {
    id: String,
    location: String,
    /// As the settings have it, but the remote path is the object key.
    policy: Option<DeliveryPolicy>,
    form: Form,
    example: Example,
    files: Vec<String>,
    /// Outermost first.
    directories: Vec<String>,
}

/// How our final names begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With a dot: readers ignore the file.
    Hidden,
    /// Without a dot, for servers that refuse one.
    Visible,
}

/// What our names have in common with the name of a delivered file.
#[derive(Default)]
struct Example {
    /// `.csv`, or nothing.
    ending: String,
    /// Minimum length, in bytes.
    length: usize,
}

impl Example {
    /// The final name that a delivery gives to the object of this key.
    fn of(policy: &DeliveryPolicy, object_key: &str) -> Self {
        let path =
            remote_paths("", policy, object_key).map(|paths| paths.path().to_owned()).unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let ending = name.rfind('.').filter(|dot| *dot > 0).map_or("", |dot| &name[dot..]);
        Self { ending: ending.to_owned(), length: name.len() }
    }
}

/// The paths of a delivery of this object.
fn remote_paths(location: &str, policy: &DeliveryPolicy, object_key: &str) -> Option<Route> {
    let object = ObjectSummary {
        bucket: "bucket".into(),
        object_key: object_key.to_owned(),
        etag: None,
        version_id: None,
        size: None,
        last_modified: None,
        checksum: None,
        hash: None,
    };
    Route::new(location, policy, &object, "doctor", EXAMPLE_TIME).ok()
}

/// Beginning of our names, after the dot.
const PREFIX: &str = "s3-sftp-bridge-doctor-";

impl Scratch {
    /// Partial files get their names and directories from `policy`, as in deliveries. With an object key, our names have
    /// the ending and the length of that object's final name.
    pub(super) fn new(policy: &DeliveryPolicy, object_key: Option<&str>) -> Self {
        let example = object_key.map(|object_key| Example::of(policy, object_key)).unwrap_or_default();
        let policy = RemotePathTemplate::parse("{key}").map(|remote_path| DeliveryPolicy {
            remote_path,
            strip_prefix: String::new(),
            ..policy.clone()
        });
        Self {
            id: format!("{PREFIX}{:016x}", fastrand::u64(..)),
            location: String::new(),
            policy: policy.ok(),
            form: Form::Hidden,
            example,
            files: Vec::new(),
            directories: Vec::new(),
        }
    }

    /// Uses this directory from now on, as `SFTP_LOCATION`.
    pub(super) fn move_to(&mut self, location: &str) {
        self.location = location.to_owned();
    }

    /// Puts partial files into the directory of the final name from now on.
    pub(super) fn unstage(&mut self) {
        self.policy = self.policy.take().map(beside);
    }

    /// The staging directory, if there is one.
    pub(super) fn staging(&self) -> Option<String> {
        let Publish::Rename { staging_directory: Some(_), .. } = self.policy.as_ref()?.publish else {
            return None;
        };
        self.above().pop()
    }

    /// The directories above partial files, outermost first.
    pub(super) fn above(&self) -> Vec<String> {
        let paths = self.policy.as_ref().and_then(|policy| self.paths(policy));
        let directories = paths.iter().flat_map(Route::upload_directories);
        directories.map(str::to_owned).collect()
    }

    /// The paths of an object that has our name as its key.
    fn paths(&self, policy: &DeliveryPolicy) -> Option<Route> {
        remote_paths(&self.location, policy, &self.name(Form::Visible, ""))
    }

    /// Whether partial files have names of their own.
    pub(super) fn has_partial_names(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| matches!(policy.publish, Publish::Rename { .. }))
    }

    /// The template for names of partial files.
    pub(super) fn partial_name(&self) -> Option<PartialName> {
        match &self.policy.as_ref()?.publish {
            Publish::Rename { partial_name, .. } => Some(partial_name.clone()),
            Publish::Direct => None,
        }
    }

    /// Uses another template for names of partial files from now on.
    pub(super) fn call_partial(&mut self, name: PartialName) {
        if let Some(policy) = &mut self.policy
            && let Publish::Rename { partial_name, .. } = &mut policy.publish
        {
            *partial_name = name;
        }
    }

    /// Our final name without a leading dot.
    pub(super) fn visible_name(&self) -> String {
        self.name(Form::Visible, "")
    }

    /// Uses names without a leading dot from now on. Returns whether that is a change.
    pub(super) fn show(&mut self) -> bool {
        std::mem::replace(&mut self.form, Form::Visible) == Form::Hidden
    }

    /// Uses names with a leading dot again.
    pub(super) fn hide(&mut self) {
        self.form = Form::Hidden;
    }

    fn name(&self, form: Form, suffix: &str) -> String {
        let dot = if form == Form::Hidden { "." } else { "" };
        let Example { ending, length } = &self.example;
        let beginning = format!("{dot}{}{suffix}", self.id);
        let padding = "-".repeat(length.saturating_sub(beginning.len() + ending.len()));
        format!("{beginning}{padding}{ending}")
    }

    /// A name of this length, or of the length of our other names if they are longer. It is remembered.
    pub(super) fn file_of(&mut self, length: usize) -> String {
        let dot = usize::from(self.form == Form::Hidden);
        let others = dot + self.id.len() + self.example.ending.len();
        self.file(&"-".repeat(length.saturating_sub(others)))
    }

    /// A name for a partial file, as in a delivery. It is remembered.
    pub(super) fn partial(&mut self) -> String {
        self.partial_of(self.policy.clone())
    }

    /// A name for a partial file in the directory of the final name. It is remembered.
    pub(super) fn partial_beside(&mut self) -> String {
        self.partial_of(self.policy.clone().map(beside))
    }

    fn partial_of(&mut self, policy: Option<DeliveryPolicy>) -> String {
        let paths = policy.and_then(|policy| self.paths(&policy));
        // With SFTP_PUBLISH=direct there is only the final name. Ours begins with a dot nevertheless.
        let partial = paths.as_ref().and_then(Route::partial).map(str::to_owned);
        let path = partial.unwrap_or_else(|| self.path(".partial"));
        self.remember(&path);
        path
    }

    /// A name for a file. It is remembered, and removed at the end unless [`forget`](Self::forget) is called.
    pub(super) fn file(&mut self, suffix: &str) -> String {
        let path = self.path(suffix);
        self.remember(&path);
        path
    }

    /// A path of ours that is not remembered.
    pub(super) fn path(&self, suffix: &str) -> String {
        let directory = match self.location.as_str() {
            "" => String::new(),
            location => format!("{}/", location.trim_end_matches('/')),
        };
        format!("{directory}{}", self.name(self.form, suffix))
    }

    pub(super) fn remember(&mut self, path: &str) {
        if !self.files.iter().any(|file| file == path) {
            self.files.push(path.to_owned());
        }
    }

    /// The checks are about to make this directory, or have made it.
    pub(super) fn remember_directory(&mut self, path: &str) {
        self.directories.push(path.to_owned());
    }

    /// Whether the checks have made this directory.
    pub(super) fn has_made(&self, directory: &str) -> bool {
        self.directories.iter().any(|made| made == directory)
    }

    /// All remembered names, in words.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.files.iter().chain(&self.directories).map(String::as_str).collect();
        names.join(", ")
    }

    /// The file or directory does not exist any more.
    pub(super) fn forget(&mut self, path: &str) {
        self.files.retain(|file| file != path);
        self.directories.retain(|directory| directory != path);
    }

    /// Remembers the new name of a file instead of the old one.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        self.forget(from);
        self.remember(to);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    /// Removes everything. Returns the refusals; what the server refused to remove stays remembered.
    pub(super) async fn clear(&mut self, sftp: &Sftp) -> Vec<String> {
        let mut problems = Vec::new();
        for file in self.files.clone() {
            match sftp.remove(&file).await {
                Ok(()) => self.forget(&file),
                // Some servers have one status for every failure.
                Err(error) if error.is_not_found() || matches!(sftp.stat(&file).await, Ok(None)) => {
                    self.forget(&file);
                }
                Err(error) => problems.push(bridge::Error::from(error).message().to_owned()),
            }
        }
        for directory in self.directories.clone().into_iter().rev() {
            match sftp.rmdir(&directory).await {
                Ok(()) => self.forget(&directory),
                Err(error) if error.is_not_found() || matches!(sftp.stat(&directory).await, Ok(None)) => {
                    self.forget(&directory);
                }
                Err(error) => problems.push(bridge::Error::from(error).message().to_owned()),
            }
        }
        problems
    }
}

fn beside(policy: DeliveryPolicy) -> DeliveryPolicy {
    let publish = match policy.publish {
        Publish::Rename { partial_name, .. } => Publish::Rename { partial_name, staging_directory: None },
        Publish::Direct => Publish::Direct,
    };
    DeliveryPolicy { publish, ..policy }
}

#[cfg(test)]
mod tests {
    use super::super::configuration::tests::configuration;
    use super::*;

    fn scratch(more: &[(&str, &str)]) -> Scratch {
        let key = format!("SHA256:{}", "A".repeat(43));
        let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", &key)];
        let configuration = configuration(&[&least, more].concat(), &[]).unwrap();
        Scratch::new(&configuration.settings.policy, None)
    }

    #[test]
    fn names_are_ours_alone_and_remembered_until_they_are_gone() {
        let mut scratch = scratch(&[("SFTP_REMOTE_PATH", "{date:%Y}/{key}"), ("SFTP_STRIP_PREFIX", "a/")]);
        for (location, directory) in [("", ""), ("/", "/"), ("in/", "in/"), ("/in", "/in/")] {
            scratch.move_to(location);
            for file in [scratch.file(".sample"), scratch.partial()] {
                let ours = file.strip_prefix(directory).unwrap();
                assert!(ours.starts_with(&format!(".{PREFIX}")) && !ours.contains('/'), "{file}");
                scratch.renamed(&file, "other");
                scratch.forget("other");
            }
            assert!(scratch.is_empty());
        }
        assert_ne!(scratch.path(""), self::scratch(&[]).path(""));
    }

    #[test]
    fn names_are_like_those_of_deliveries() {
        let policy = scratch(&[("SFTP_REMOTE_PATH", "{date:%Y}/{stem}_{date:%Y%m%d}.{ext}")]).policy.unwrap();
        let key = format!("out/{}.tar.gz", "n".repeat(120));
        let mut scratch = Scratch::new(&DeliveryPolicy { ..policy.clone() }, Some(&key));
        let file = scratch.file("");
        assert!(file.starts_with(&format!(".{PREFIX}")) && file.ends_with(".gz"), "{file}");
        assert_eq!(file.len(), 127);
        assert!(scratch.show() && !scratch.show());
        assert_eq!((scratch.file("").len(), scratch.visible_name().len()), (127, 127));
        let partial = scratch.partial();
        assert!(partial.starts_with(&format!(".{}.", scratch.visible_name())), "{partial}");
        scratch.call_partial(PartialName::parse("{id}.part").unwrap());
        assert!(scratch.partial().ends_with(".part") && !scratch.partial().starts_with('.'));
        assert_eq!(scratch.file_of(200).len(), 200);
    }

    #[test]
    fn partial_files_have_the_name_and_directory_of_the_settings() {
        let mut scratch =
            scratch(&[("SFTP_PARTIAL_NAME", "{name}.{id}.part"), ("SFTP_STAGING_DIRECTORY", "a/b")]);
        scratch.move_to("in");
        let partial = scratch.partial();
        assert!(partial.starts_with(&format!("in/a/b/{PREFIX}")) && partial.ends_with(".part"), "{partial}");
        assert_eq!(scratch.staging().as_deref(), Some("in/a/b"));
        assert_eq!(scratch.above(), ["in", "in/a", "in/a/b"]);
        scratch.unstage();
        let partial = scratch.partial();
        assert!(partial.starts_with(&format!("in/{PREFIX}")) && partial.ends_with(".part"), "{partial}");
        assert_eq!((scratch.staging(), scratch.above()), (None, vec!["in".to_owned()]));

        let mut direct = self::scratch(&[("SFTP_PUBLISH", "direct")]);
        assert!(direct.partial().starts_with(&format!(".{PREFIX}")) && direct.staging().is_none());
    }
}
