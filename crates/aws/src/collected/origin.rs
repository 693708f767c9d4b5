//! The metadata of a collected object: the file that it was made of.

use std::collections::HashMap;

use bridge::collect::RemoteFile;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::name;

/// S3 keeps 2 KB of metadata in all. A longer path is cut here, and a hash takes the place of the rest.
const PATH_MAX: usize = 1_100;

/// What metadata may hold without an escape: S3 takes ASCII in headers.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// Where an object comes from, by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The server's host name.
    pub host: String,
    path: String,
    size: Option<u64>,
    modified: Option<u32>,
    /// The execution that stored the object.
    pub execution: Option<String>,
}

impl Origin {
    /// What the metadata says; `None` if the object was not collected.
    pub fn of(metadata: Option<&HashMap<String, String>>) -> Option<Self> {
        let text = |name: &str| metadata?.get(name).cloned();
        let host = text(name::HOST)?;
        Some(Self {
            host: percent_decode_str(&host).decode_utf8_lossy().into_owned(),
            path: text(name::PATH).unwrap_or_default(),
            size: text(name::SIZE).and_then(|size| size.parse().ok()),
            modified: text(name::MODIFIED).and_then(|seconds| seconds.parse().ok()),
            execution: text(name::EXECUTION),
        })
    }

    /// Whether the object comes from this host. To DNS, neither case nor a dot at the end makes another name.
    pub fn is_from(&self, host: &str) -> bool {
        let [own, other] = [self.host.as_str(), host].map(|host| host.trim_end_matches('.'));
        own.eq_ignore_ascii_case(other)
    }

    /// Whether the object is made of another file of the same server, which was modified later. Of a file with the same
    /// path this says nothing: which one is there now, only a look at the path tells.
    pub fn is_later_than(&self, file: &RemoteFile) -> bool {
        let is_later = self.modified.zip(file.modified).is_some_and(|(own, other)| own > other);
        is_later && self.is_from(&file.host) && self.path != path_of(file)
    }

    /// The file, for people.
    pub fn describe(&self) -> String {
        let path = percent_decode_str(&self.path).decode_utf8_lossy();
        let modified = self.modified.map(|modified| format!(", modified at {modified} (seconds since 1970)"));
        format!("{path:?}{}", modified.unwrap_or_default())
    }

    /// Whether the object is this very file: the same path on the same server, with the same size and time.
    pub fn is(&self, file: &RemoteFile) -> bool {
        self.is_from(&file.host) && self.path == path_of(file) && file.is_same(self.size, self.modified)
    }
}

/// The metadata of an object that is made of this file.
pub fn metadata(
    file: &RemoteFile,
    host_key_fingerprint: &str,
    execution: &str,
    mark_synched: bool,
) -> HashMap<String, String> {
    let modified = file.modified.map(|modified| (name::MODIFIED, modified.to_string()));
    let synched = mark_synched.then(|| (name::SYNCHED, "true".to_owned()));
    let always = [
        (name::HOST, encoded(&file.host)),
        (name::PATH, path_of(file)),
        (name::SIZE, file.size.to_string()),
        (name::HOST_KEY, host_key_fingerprint.to_owned()),
        (name::EXECUTION, encoded(execution)),
    ];
    // The command line may have no execution. S3 is given no empty value.
    let all = always.into_iter().chain(modified).chain(synched).filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn path_of(file: &RemoteFile) -> String {
    let mut path = encoded(&file.remote_path());
    if path.len() > PATH_MAX {
        path.truncate(PATH_MAX);
        // The hash of the whole path, among others.
        let name = file.execution_name();
        path += "...";
        path += name.rsplit('-').next().unwrap_or_default();
    }
    path
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> RemoteFile {
        RemoteFile {
            host: "sftp.example.com".into(),
            directory: "out".into(),
            path: path.into(),
            size: 5,
            modified: Some(1_700_000_000),
        }
    }

    fn of(file: &RemoteFile) -> HashMap<String, String> {
        metadata(file, "SHA256:abc/+", "arn:aws:states:us-east-1:0:execution:collect:n", false)
    }

    #[test]
    fn the_metadata_names_the_file_and_the_execution() {
        let metadata = of(&file("a b/ü%.csv"));
        let expected = [
            (name::HOST, "sftp.example.com"),
            (name::PATH, "out/a%20b/%C3%BC%25.csv"),
            (name::SIZE, "5"),
            (name::MODIFIED, "1700000000"),
            (name::HOST_KEY, "SHA256:abc/+"),
            (name::EXECUTION, "arn:aws:states:us-east-1:0:execution:collect:n"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(metadata, HashMap::from(expected));
        let marked = super::metadata(&file("f"), "", "", true);
        assert_eq!(marked[name::SYNCHED], "true");
        assert!(!marked.contains_key(name::EXECUTION), "an empty value is no value");
    }

    #[test]
    fn an_object_is_the_file_if_all_four_are_the_same() {
        let collected = file("a/f.csv");
        let origin = Origin::of(Some(&of(&collected))).unwrap();
        assert!(origin.is(&collected));
        assert_eq!(origin.execution.as_deref(), Some("arn:aws:states:us-east-1:0:execution:collect:n"));
        let others = [
            file("b/f.csv"),
            RemoteFile { host: "other".into(), ..collected.clone() },
            RemoteFile { size: 6, ..collected.clone() },
            RemoteFile { modified: Some(1), ..collected.clone() },
            RemoteFile { modified: None, ..collected.clone() },
        ];
        for other in others {
            assert!(!origin.is(&other), "{other:?}");
        }
        let timeless = RemoteFile { modified: None, ..collected };
        assert!(Origin::of(Some(&of(&timeless))).unwrap().is(&timeless), "the server tells no time");
    }

    #[test]
    fn a_later_file_is_another_one_of_the_same_server() {
        let origin = Origin::of(Some(&of(&file("latest.csv")))).unwrap();
        let older = RemoteFile { modified: Some(1_699_999_999), ..file("older.csv") };
        assert!(origin.is_later_than(&older));
        assert_eq!(origin.describe(), "\"out/latest.csv\", modified at 1700000000 (seconds since 1970)");
        for other in [
            file("at-the-same-time.csv"),
            RemoteFile { modified: None, ..older.clone() },
            RemoteFile { host: "other".into(), ..older.clone() },
            RemoteFile { path: "latest.csv".into(), ..older },
        ] {
            assert!(!origin.is_later_than(&other), "{other:?}");
        }
    }

    #[test]
    fn a_host_has_one_name_however_it_is_written() {
        let origin = Origin::of(Some(&of(&file("f")))).unwrap();
        for (host, is_it) in [
            ("sftp.example.com", true),
            ("SFTP.Example.com.", true),
            ("example.com", false),
            ("sftp.example.com.evil.example", false),
            ("", false),
        ] {
            assert_eq!(origin.is_from(host), is_it, "{host}");
        }
        let address = RemoteFile { host: "2001:db8::1".into(), ..file("f") };
        assert!(Origin::of(Some(&of(&address))).unwrap().is_from("2001:DB8::1"));
    }

    #[test]
    fn other_objects_come_from_nowhere() {
        assert_eq!(Origin::of(None), None);
        assert_eq!(Origin::of(Some(&HashMap::from([(name::PATH.to_owned(), "f".to_owned())]))), None);
    }

    #[test]
    fn the_metadata_is_as_small_as_s3_wants_it() {
        let path = ["ü".repeat(127), "🙂".repeat(60), "x".repeat(255)].join("/");
        let host = "h".repeat(253);
        let longest = RemoteFile { host, size: u64::MAX, modified: Some(u32::MAX), ..file(&path) };
        let metadata = super::metadata(&longest, &"f".repeat(50), &"e".repeat(256), true);
        let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= 2 * 1024, "{bytes}");
        assert!(Origin::of(Some(&metadata)).unwrap().is(&longest));
        let path = format!("{}y", &path[..path.len() - 1]);
        assert!(!Origin::of(Some(&metadata)).unwrap().is(&RemoteFile { path, ..longest }));
    }
}
