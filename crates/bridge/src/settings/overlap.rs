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
            "it {is_where} {name}, so delivered files would be collected; expected {apart}; or patterns in COLLECT_INCLUDE that match no delivered file; or COLLECT_AFTERWARDS=leave; or COLLECT_ONLY=true if nothing is delivered"
        );
        problems.wrong(&COLLECT_DIRECTORY, directory, &problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a directory that is collected while this is delivered into.
    fn problem(directory: &str, location: &str, recursive: bool, more: &[(&str, &str)]) -> String {
        let mut variables: Vec<(&str, &str)> = vec![("SFTP_LOCATION", location)];
        variables.extend(more);
        let refused = Problems::of(&variables, |variables, problems| {
            refuse(variables, problems, directory, recursive);
            Some(())
        });
        refused.map_err(|error| error.message().to_owned()).err().unwrap_or_default()
    }

    #[test]
    fn story_292_a_directory_that_is_delivered_into_is_not_collected_from() {
        for (directory, location, words) in [
            ("in", "in", "it is the same as SFTP_LOCATION \"in\""),
            ("", "", "it is the same as SFTP_LOCATION, which is empty"),
            (".", "", "is the same as"),
            ("./in/", "in//", "is the same as"),
            ("/in", "/in/", "is the same as"),
            ("In", "in", "is the same as"),
            ("in\\box", "in/box", "is the same as"),
            ("out", "", "it lies in SFTP_LOCATION, which is empty and therefore the home directory"),
            ("in/answers", "in", "lies in"),
            ("/data/out", "/", "lies in"),
            ("/out", "out", "may overlap"),
            ("out", "/out", "may overlap"),
            ("/out", "", "may overlap"),
            ("", "/home/acme", "may overlap"),
        ] {
            for recursive in [false, true] {
                let problem = problem(directory, location, recursive, &[]);
                let beginning = format!("COLLECT_DIRECTORY is {directory:?}: it ");
                assert!(problem.starts_with(&beginning) && problem.contains(words), "{problem}");
                let ways = ["expected ", "COLLECT_INCLUDE", "COLLECT_AFTERWARDS=leave", "COLLECT_ONLY=true"];
                assert!(ways.iter().all(|way| problem.contains(way)), "{problem}");
            }
        }
        for (directory, location) in
            [("out", "in"), ("in", "inbox"), ("/data/out", "/data/in"), ("out/in", "in"), ("./out", "in")]
        {
            assert_eq!(problem(directory, location, true, &[]), "", "{directory} {location}");
        }
    }

    #[test]
    fn story_292_a_directory_around_that_of_deliveries_may_be_collected_from_but_not_those_below_it() {
        for (directory, location) in [("", "in"), ("data", "data/in"), ("/", "/in")] {
            assert_eq!(problem(directory, location, false, &[]), "");
            assert!(problem(directory, location, true, &[]).contains("it contains SFTP_LOCATION"));
        }
    }

    #[test]
    fn story_292_the_directory_of_deliveries_is_the_one_that_every_remote_path_begins_with() {
        let into = |path| [("SFTP_REMOTE_PATH", path)];
        assert_eq!(problem("out", "", true, &into("in/{key}")), "");
        assert!(problem("in", "", true, &into("in/{key}")).contains("is the same as"));
        assert!(problem("out", "", true, &into("{dir}/in/{name}")).contains("lies in"));
        // Its own problem is reported elsewhere. Until then it says nothing.
        assert!(problem("out", "", true, &into("in/{kye}")).contains("lies in"));
    }

    #[test]
    fn story_292_partial_files_are_not_collected_from_their_own_directory() {
        let staging = |path| [("SFTP_STAGING_DIRECTORY", path)];
        for (directory, location, path, words) in [
            ("/stage", "/in", "/stage", "is the same as SFTP_STAGING_DIRECTORY \"/stage\""),
            ("/stage/x", "/in", "/stage", "lies in SFTP_STAGING_DIRECTORY"),
            ("/", "/in", "/stage", "contains SFTP_STAGING_DIRECTORY"),
            ("out", "in", "/stage", "may overlap with SFTP_STAGING_DIRECTORY"),
        ] {
            let problem = problem(directory, location, true, &staging(path));
            assert!(problem.contains(words), "{words}: {problem}");
        }
        assert_eq!(problem("/out", "/in", true, &staging("/stage")), "");
        assert_eq!(problem("out", "in", true, &staging("stage")), "");
        let at_once = problem("in/stage", "in", true, &staging("stage"));
        assert_eq!(at_once.matches("COLLECT_DIRECTORY is").count(), 2, "{at_once}");
    }

    #[test]
    fn story_292_files_that_stay_or_are_told_apart_may_be_where_files_are_delivered() {
        use crate::CollectSettings;
        let parse = |more: &[(&str, &str)]| {
            let least =
                [("COLLECT_BUCKET", "collected"), ("SFTP_LOCATION", "box"), ("COLLECT_DIRECTORY", "box")];
            CollectSettings::parse(&least.iter().chain(more).copied().collect())
        };
        for allowed in
            [("COLLECT_AFTERWARDS", "leave"), ("COLLECT_INCLUDE", "*.ack"), ("COLLECT_ONLY", "true")]
        {
            parse(&[allowed]).unwrap();
        }
        for refused in
            [("COLLECT_AFTERWARDS", "delete"), ("COLLECT_EXCLUDE", "*.csv"), ("COLLECT_INCLUDE", " , ")]
        {
            let error = parse(&[refused]).unwrap_err();
            assert!(error.message().contains("so delivered files would be collected"), "{error}");
        }
    }
}
