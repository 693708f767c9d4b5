//! From an object key to a safe path on the partner's server.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ErrorName, PinnedObject, Result};

/// NAME_MAX of nearly every file system, bytes.
const COMPONENT_MAX: usize = 255;

/// Where one object version goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePaths {
    /// The final name, that readers look for.
    pub path: String,
    /// The partial file beside it. Its name is stable for the object version, so that every attempt resumes the
    /// same file, and differs between versions, so that two never write into one.
    pub partial: String,
}

impl RemotePaths {
    /// Checks the object key and places it under `location` (`""`: the directory the server logs us into).
    ///
    /// # Errors
    /// `RemotePathRejected` naming the component that is unsafe or too long.
    pub fn new(location: &str, object: &PinnedObject) -> Result<Self> {
        Self::check(&object.object_key)?;
        let location = match location {
            "" => String::new(),
            "/" => "/".to_owned(),
            location => format!("{}/", location.trim_end_matches('/')),
        };
        let path = format!("{location}{}", object.object_key);
        let (directory, name) = path
            .rsplit_once('/')
            .map_or(("", path.as_str()), |(_, name)| (&path[..path.len() - name.len()], name));
        let partial = format!("{directory}{}", partial_name(name, object));
        Ok(Self { path, partial })
    }

    /// Where a marker goes that has the file's name and `suffix`.
    ///
    /// # Errors
    /// `RemotePathRejected` if its name is too long.
    pub fn marker(&self, suffix: &str, object: &PinnedObject) -> Result<Self> {
        let path = format!("{}{suffix}", self.path);
        let name = path.rsplit('/').next().unwrap_or_default();
        check_component(name)?;
        // Apart from the file's own partial name, also where a long name is cut before the suffix.
        let marker = PinnedObject { object_key: format!("{}{suffix}", object.object_key), ..object.clone() };
        let directory =
            self.partial.rsplit_once('/').map_or(String::new(), |(directory, _)| format!("{directory}/"));
        let partial = format!("{directory}{}", partial_name(name, &marker));
        Ok(Self { path, partial })
    }

    /// Checks the object key alone, before anything is asked of anyone.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn check(object_key: &str) -> Result<()> {
        object_key.split('/').try_for_each(check_component)
    }

    /// The directories above the file, outermost first; without those of the root.
    pub fn directories(&self) -> Vec<&str> {
        self.path
            .match_indices('/')
            .map(|(index, _)| &self.path[..index])
            .filter(|path| !path.is_empty())
            .collect()
    }
}

fn check_component(component: &str) -> Result<()> {
    let problem = match component {
        "" => "is empty (the name starts or ends with `/`, or has `//`)",
        "." | ".." => "would leave the directory",
        _ if component.len() > COMPONENT_MAX => "is longer than 255 bytes",
        _ if component.contains('\\') => "has a backslash, which some servers take for a separator",
        _ if component.chars().any(char::is_control) => "has a control character",
        _ => return Ok(()),
    };
    let shown: String = component.chars().take(64).collect();
    Err(ErrorName::RemotePathRejected
        .error(format!("the object key's component {shown:?} {problem}; nothing was sent")))
}

/// `.{name}.{16 hex digits}.partial`; the name is cut where the whole would be too long.
fn partial_name(name: &str, object: &PinnedObject) -> String {
    let mut identity = Sha256::new();
    for part in [&object.bucket, &object.object_key, &object.etag, object.version_id.as_deref().unwrap_or("")]
    {
        identity.update((part.len() as u64).to_be_bytes());
        identity.update(part);
    }
    let identity: String = identity.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let suffix = format!(".{identity}.partial");
    let mut end = name.len().min(COMPONENT_MAX - 1 - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}{suffix}", &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(object_key: &str) -> PinnedObject {
        PinnedObject {
            bucket: "b".into(),
            object_key: object_key.into(),
            etag: "e".into(),
            version_id: Some("v1".into()),
            size: 1,
            last_modified: None,
            checksum: None,
            hash: None,
        }
    }

    #[test]
    fn story_01_names_are_exact() {
        let long = ["x".repeat(255), "y".repeat(255), "z".repeat(255), "w".repeat(255)].join("/");
        assert_eq!(long.len(), 1_023);
        for key in ["a b+c%2B.txt", "räksmörgås/ü.csv", "📦/🙂.bin", ".hidden", "...", long.as_str()]
        {
            let paths = RemotePaths::new("in/box/", &object(key)).unwrap();
            assert_eq!(paths.path, format!("in/box/{key}"));
            assert!(paths.partial.rsplit('/').next().unwrap().len() <= COMPONENT_MAX);
        }
    }

    #[test]
    fn locations() {
        let path = |location| RemotePaths::new(location, &object("d/f")).unwrap();
        assert_eq!(path("").path, "d/f");
        assert_eq!(path("").directories(), ["d"]);
        assert_eq!(path("/").path, "/d/f");
        assert_eq!(path("/").directories(), ["/d"]);
        assert_eq!(path("/in").directories(), ["/in", "/in/d"]);
        assert!(path("/in").partial.starts_with("/in/d/.f."), "{}", path("/in").partial);
    }

    #[test]
    fn story_03_unsafe_names_are_refused_by_component() {
        for (key, component) in [
            ("../../x", "\"..\""),
            ("/abs", "\"\""),
            ("a//b", "\"\""),
            ("folder/", "\"\""),
            (".", "\".\""),
            ("a/./b", "\".\""),
            ("a/..", "\"..\""),
            ("nul\0", "nul\\0"),
            ("line\nbreak", "line\\nbreak"),
            ("a\\b", "a\\\\b"),
            (&"x".repeat(256), "xxx"),
        ] {
            let error = RemotePaths::new("in", &object(key)).unwrap_err();
            assert_eq!(error.name, ErrorName::RemotePathRejected);
            assert!(error.message().contains(component), "{key:?}: {error}");
        }
    }

    #[test]
    fn a_marker_is_beside_the_file_and_has_a_partial_name_of_its_own() {
        for name in ["f", &"x".repeat(248)] {
            let (object, key) = (object(&format!("d/{name}")), format!("in/d/{name}"));
            let paths = RemotePaths::new("in", &object).unwrap();
            let marker = paths.marker(".sha256", &object).unwrap();
            assert_eq!(marker.path, format!("{key}.sha256"));
            assert!(marker.partial.starts_with("in/d/.") && marker.partial != paths.partial, "{marker:?}");
        }
        let object = object(&"x".repeat(249));
        let error = RemotePaths::new("", &object).unwrap().marker(".sha256", &object).unwrap_err();
        assert_eq!(error.name, ErrorName::RemotePathRejected);
    }

    #[test]
    fn the_partial_name_is_stable_for_a_version_and_differs_between_versions() {
        let partial = |object: &PinnedObject| RemotePaths::new("", object).unwrap().partial;
        let one = object("k");
        let other_version = PinnedObject { version_id: Some("v2".into()), ..one.clone() };
        let other_content = PinnedObject { etag: "f".into(), ..one.clone() };
        assert_eq!(partial(&one), partial(&one.clone()));
        assert_ne!(partial(&one), partial(&other_version));
        assert_ne!(partial(&one), partial(&other_content));
    }
}
