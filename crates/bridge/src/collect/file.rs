//! A file on the partner's server, as it was seen.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Step Functions' limit for the name of an execution, in characters.
const NAME_MAX: usize = 80;

/// Characters of the hash in the name of an execution: 128 bits in hexadecimal.
const HASH_LENGTH: usize = 32;

/// Maximum number of executions of one file, if all before have stored nothing. Each of them was started because the file
/// was there, and found it gone or another one in its place.
pub const ATTEMPTS_MAX: u32 = 20;

/// Characters for the number of an execution, with a dash.
const ATTEMPT_LENGTH: usize = 3;

/// A file on the partner's server, as a listing showed it. One execution collects it. Another size or another time is
/// another file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RemoteFile {
    /// The server's host name.
    pub host: String,
    /// The directory that is collected, as in `COLLECT_DIRECTORY`.
    pub directory: String,
    /// Path below that directory. Every component is a plain name.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Time of the last modification, in seconds since 1970, if the server tells it. It is compared with itself only: the
    /// partner's clock may be wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u32>,
}

impl RemoteFile {
    /// The path on the server.
    pub fn remote_path(&self) -> String {
        beneath(&self.directory, &self.path)
    }

    /// What records and people call it: `sftp://HOST/PATH`.
    pub fn url(&self) -> String {
        url(&self.host, &self.remote_path())
    }

    /// The last component of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// What a look must show for the file to be this one.
    pub fn is_same(&self, size: Option<u64>, modified: Option<u32>) -> bool {
        size == Some(self.size) && modified == self.modified
    }

    /// The name of the execution that collects it. Step Functions refuses a second start with the same name, so the file is
    /// collected once. A part of the file's name makes it readable; the hash makes it unique.
    pub fn execution_name(&self) -> String {
        self.execution_name_of(1)
    }

    /// The name of the execution with this number, from 1 to [`ATTEMPTS_MAX`]. There is a second one only if the first has
    /// stored nothing, and the file is there again.
    pub fn execution_name_of(&self, attempt: u32) -> String {
        let mut hash = Sha256::new();
        let size = self.size.to_string();
        let modified = self.modified.map(|modified| modified.to_string()).unwrap_or_default();
        for part in [&self.host, &self.remote_path(), &size, &modified] {
            hash.update(part.as_bytes());
            // No part contains it.
            hash.update([0]);
        }
        let hash = hex::encode(hash.finalize());
        let number = if attempt > 1 { format!("-{attempt}") } else { String::new() };
        let readable =
            self.name().chars().filter(|c| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(c));
        let readable: String = readable.take(NAME_MAX - HASH_LENGTH - 1 - ATTEMPT_LENGTH).collect();
        format!("{readable}{number}-{}", &hash[..HASH_LENGTH])
    }
}

/// What records and people call a path on a server.
pub fn url(host: &str, path: &str) -> String {
    format!("sftp://{host}/{path}")
}

/// The path of something below a directory. An empty directory is the one in which the session starts.
pub(crate) fn beneath(directory: &str, path: &str) -> String {
    match directory {
        "" => path.to_owned(),
        directory if directory.ends_with('/') => format!("{directory}{path}"),
        directory => format!("{directory}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn file(path: &str, size: u64, modified: Option<u32>) -> RemoteFile {
        let (host, directory) = ("sftp.example.com".into(), "out".into());
        RemoteFile { host, directory, path: path.into(), size, modified }
    }

    #[test]
    fn a_name_is_made_of_server_path_size_and_time() {
        let one = file("a/price list.csv", 5, Some(1));
        let name = one.execution_name();
        assert!(name.starts_with("pricelist.csv-") && name.len() <= NAME_MAX, "{name}");
        assert_eq!(one.clone().execution_name(), name);
        let others = [
            file("b/price list.csv", 5, Some(1)),
            file("a/price list.csv", 6, Some(1)),
            file("a/price list.csv", 5, Some(2)),
            file("a/price list.csv", 5, None),
            RemoteFile { host: "other".into(), ..one.clone() },
            RemoteFile { directory: "in".into(), ..one.clone() },
        ];
        for other in others {
            assert_ne!(other.execution_name(), name, "{other:?}");
        }
    }

    #[test]
    fn every_name_fits_and_has_only_characters_that_step_functions_takes() {
        for path in ["ä", &"x".repeat(255), "a b<>{}[]?*\"#%\\^|~`$&,;:/c", "-"] {
            let mut names = BTreeSet::new();
            for attempt in 1..=ATTEMPTS_MAX {
                let name = file(path, 0, None).execution_name_of(attempt);
                assert!((1..=NAME_MAX).contains(&name.len()), "{name}");
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)), "{name}");
                assert!(names.insert(name));
            }
            assert!(names.contains(&file(path, 0, None).execution_name()));
        }
    }

    #[test]
    fn a_path_stands_below_its_directory() {
        assert_eq!(file("a/b c", 0, None).url(), "sftp://sftp.example.com/out/a/b c");
        for (directory, path) in [("", "a/b"), ("out", "out/a/b"), ("/out/", "/out/a/b"), ("/", "/a/b")] {
            let file = RemoteFile { directory: directory.into(), ..file("a/b", 0, None) };
            assert_eq!(file.remote_path(), path);
        }
    }
}
