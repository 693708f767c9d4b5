//! What the other direction needs: files of the partner's are read, and archived or deleted.

pub(in crate::doctor) mod afterwards;
pub(in crate::doctor) mod attributes;
pub(in crate::doctor) mod bucket;
pub(in crate::doctor) mod listing;
pub(in crate::doctor) mod read;

use bridge::collect::RemoteFile;

use crate::doctor::configuration::Collecting;
use crate::doctor::examination::{Doctor, Step, Stopped};

/// What is checked of this direction.
fn collecting(doctor: &Doctor) -> Step<Collecting> {
    doctor.configuration.collecting.clone().ok_or(Stopped::Earlier)
}

/// A path below the directory, as it is on the server.
fn on_server(collecting: &Collecting, path: &str) -> String {
    let file = RemoteFile {
        host: String::new(),
        directory: collecting.settings.directory.clone(),
        path: path.to_owned(),
        size: 0,
        modified: None,
    };
    file.remote_path()
}
