//! What the operator asks for: everything, or one path.

use bridge::collect::{RemoteFile, url};

use crate::address::Server;

/// A path below the directory that is collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty: everything.
    path: String,
}

/// How an entry of the directory is related to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// It is the target, or below it.
    Within,
    /// The target is below it.
    Above,
    /// It has nothing to do with it.
    Elsewhere,
}

impl Target {
    /// A path below `directory`, or `sftp://HOST/PATH` of a file or a directory there.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub(super) fn parse(text: Option<&str>, server: &Server, directory: &str) -> Result<Self, String> {
        let text = text.unwrap_or_default();
        let path = if text.starts_with("sftp://") {
            let below = below(directory);
            // With the port, as this command prints it, or without, as records name files.
            let root = server.address(&below);
            let in_records = url(&server.host, &below);
            let rest = text.strip_prefix(&root).or_else(|| text.strip_prefix(&in_records));
            let Some(rest) = rest else {
                return Err(format!(
                    "{text:?} is not below {root:?}, which SFTP_HOST, SFTP_PORT and COLLECT_DIRECTORY name"
                ));
            };
            rest
        } else {
            text
        };
        let path = path.trim_end_matches('/');
        if path.starts_with('/') || path.split('/').any(|component| [".", ".."].contains(&component)) {
            return Err(format!("{text:?}: expected a path below COLLECT_DIRECTORY ({directory:?})"));
        }
        Ok(Self { path: path.to_owned() })
    }

    /// The path below the directory. Empty: everything.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// How an entry at this path is related to the target.
    pub(super) fn relation(&self, path: &str) -> Relation {
        let is_within = |path: &str, other: &str| {
            path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if self.path.is_empty() || is_within(path, &self.path) {
            Relation::Within
        } else if is_within(&self.path, path) {
            Relation::Above
        } else {
            Relation::Elsewhere
        }
    }
}

/// What stands before every path below the directory.
fn below(directory: &str) -> String {
    let file = RemoteFile {
        host: String::new(),
        directory: directory.to_owned(),
        path: String::new(),
        size: 0,
        modified: None,
    };
    file.remote_path()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        Server { host: "h".into(), port: 22 }
    }

    #[test]
    fn a_path_stands_below_the_directory_or_is_named_as_in_records() {
        for (text, directory, path) in [
            (None, "out", ""),
            (Some("a/b.csv"), "out", "a/b.csv"),
            (Some("a/"), "out", "a"),
            (Some("sftp://h/out/a/b.csv"), "out", "a/b.csv"),
            (Some("sftp://h//out/b.csv"), "/out", "b.csv"),
            (Some("sftp://h/b.csv"), "", "b.csv"),
        ] {
            let with_port = Server { port: 2222, ..server() };
            assert_eq!(Target::parse(text, &with_port, directory).unwrap().path, path, "{text:?}");
            assert_eq!(Target::parse(text, &server(), directory).unwrap().path, path, "{text:?}");
        }
        for text in ["/a", "a/../b", "..", "sftp://other/out/a", "sftp://h/in/a", "sftp://h:23/out/a"] {
            assert!(Target::parse(Some(text), &server(), "out").is_err(), "{text}");
        }
    }

    #[test]
    fn a_target_is_a_file_or_what_is_below_a_directory() {
        let target = Target::parse(Some("a/b"), &server(), "out").unwrap();
        for (path, relation) in [
            ("a/b", Relation::Within),
            ("a/b/c", Relation::Within),
            ("a", Relation::Above),
            ("a/bc", Relation::Elsewhere),
            ("b", Relation::Elsewhere),
        ] {
            assert_eq!(target.relation(path), relation, "{path}");
        }
        let all = Target::parse(None, &server(), "out").unwrap();
        assert_eq!(all.relation("x"), Relation::Within);
    }
}
