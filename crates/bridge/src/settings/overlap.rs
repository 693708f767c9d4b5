//! No loops: what is delivered to the server must not be collected from it.

use super::policy::staging_directory;
use super::problems::Problems;
use super::server;
use super::table::{COLLECT_DIRECTORY, SFTP_REMOTE_PATH};
use super::variables::Variables;
use crate::paths::RemotePathTemplate;

/// A directory on the server.
#[derive(Clone)]
struct Place {
    /// Whether it begins at the root. Otherwise it begins in the directory in which the session starts.
    is_absolute: bool,
    /// In small letters: to some servers `In` and `in` are the same.
    components: Vec<String>,
}

/// Where one directory is, seen from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Same,
    Inside,
    Around,
    Apart,
    /// One begins at the root, the other where the session starts, which is not known here.
    Unknown,
}

impl Place {
    fn of(path: &str) -> Self {
        Self { is_absolute: path.starts_with('/'), components: Vec::new() }.with(path)
    }

    /// The directory at `path` below this one.
    fn with(mut self, path: &str) -> Self {
        let components = path.split(['/', '\\']).filter(|component| !matches!(*component, "" | "."));
        self.components.extend(components.map(str::to_lowercase));
        self
    }

    fn seen_from(&self, other: &Self) -> Relation {
        let (own, others) = (&self.components, &other.components);
        if self.is_absolute != other.is_absolute {
            return Relation::Unknown;
        }
        match (own.starts_with(others), others.starts_with(own)) {
            (true, true) => Relation::Same,
            (true, false) => Relation::Inside,
            (false, true) => Relation::Around,
            (false, false) => Relation::Apart,
        }
    }
}

/// Adds a problem if files that are delivered may be where files are collected. Problems of the other settings are
/// reported where these are parsed.
pub(super) fn refuse(variables: &Variables, problems: &mut Problems, directory: &str, recursive: bool) {
    let ignored = &mut Problems::default();
    let location = server::location(variables, ignored).unwrap_or_default();
    let template = RemotePathTemplate::parse(variables.get_or_default(&SFTP_REMOTE_PATH));
    let common = template.as_ref().map_or("", RemotePathTemplate::common_directory);
    let deliveries = Place::of(location).with(common);
    let staging = staging_directory(variables, ignored).map(|staging| {
        let start = if staging.starts_with('/') { "/" } else { location };
        (Place::of(start).with(staging), format!("SFTP_STAGING_DIRECTORY {staging:?}"))
    });
    let location = match location {
        "" => "SFTP_LOCATION, which is empty and therefore the home directory".to_owned(),
        location => format!("SFTP_LOCATION {location:?}"),
    };
    for (place, name) in [(deliveries, location)].into_iter().chain(staging) {
        let relation = Place::of(directory).seen_from(&place);
        let is_where = match relation {
            Relation::Same => "is the same as",
            Relation::Inside => "lies in",
            Relation::Around if recursive => "contains",
            // Only files directly in it are collected. Those are below it.
            Relation::Around | Relation::Apart => continue,
            Relation::Unknown => "may overlap with",
        };
        let apart = match relation {
            Relation::Unknown => {
                "both with a slash at the beginning, or neither, so that they can be compared"
            }
            _ => "a directory apart from it",
        };
        let problem = format!(
            "it {is_where} {name}, so delivered files would be collected; expected {apart}; or patterns in COLLECT_INCLUDE that match no delivered file (* if this stack delivers nothing); or COLLECT_AFTERWARDS=leave"
        );
        problems.wrong(&COLLECT_DIRECTORY, directory, &problem);
    }
}
