//! What the checks leave on the server for a moment: names that nobody else has, all of which are taken away again.

use sftp::Sftp;

/// The names that are in use.
pub(super) struct Scratch {
    id: String,
    /// `""`, or with a slash behind.
    directory: String,
    files: Vec<String>,
    /// Outermost first.
    directories: Vec<String>,
}

/// What is ours begins with this.
const PREFIX: &str = ".s3-sftp-bridge-doctor-";

impl Scratch {
    pub(super) fn new() -> Self {
        let id = format!("{PREFIX}{:016x}", fastrand::u64(..));
        Self { id, directory: String::new(), files: Vec::new(), directories: Vec::new() }
    }

    /// Puts files into this directory from now on, as `deliver` does.
    pub(super) fn move_to(&mut self, location: &str) {
        self.directory = match location {
            "" | "/" => location.to_owned(),
            location => format!("{}/", location.trim_end_matches('/')),
        };
    }

    /// A name for a file, to be removed until [`forget`](Self::forget) is told that it is gone.
    pub(super) fn file(&mut self, suffix: &str) -> String {
        let path = self.path(suffix);
        self.remember(&path);
        path
    }

    /// A name for something else; it is not remembered.
    pub(super) fn path(&self, suffix: &str) -> String {
        format!("{}{}{suffix}", self.directory, self.id)
    }

    pub(super) fn remember(&mut self, path: &str) {
        if !self.files.iter().any(|file| file == path) {
            self.files.push(path.to_owned());
        }
    }

    /// We are making this directory.
    pub(super) fn remember_directory(&mut self, path: &str) {
        self.directories.push(path.to_owned());
    }

    /// There is no such file or directory of ours any more.
    pub(super) fn forget(&mut self, path: &str) {
        self.files.retain(|file| file != path);
        self.directories.retain(|directory| directory != path);
    }

    /// What was renamed is remembered under its new name.
    pub(super) fn renamed(&mut self, from: &str, to: &str) {
        self.forget(from);
        self.remember(to);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    /// Removes all of it, and returns how the server refused what it refused; that stays remembered.
    pub(super) async fn clear(&mut self, sftp: &Sftp) -> Vec<String> {
        let mut problems = Vec::new();
        for file in self.files.clone() {
            match sftp.remove(&file).await {
                Ok(()) => self.forget(&file),
                // Some servers have but one word for all that goes wrong.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ours_alone_and_remembered_until_they_are_gone() {
        let mut scratch = Scratch::new();
        for (location, directory) in [("", ""), ("/", "/"), ("in/", "in/"), ("/in", "/in/")] {
            scratch.move_to(location);
            let file = scratch.file(".partial");
            assert!(
                file.starts_with(&format!("{directory}{PREFIX}")) && file.ends_with(".partial"),
                "{file}"
            );
            assert_ne!(file, Scratch::new().file(".partial"));
            scratch.renamed(&file, "other");
            scratch.forget("other");
            assert!(scratch.is_empty());
        }
    }
}
