//! `sftp`: the extensions that the server announces.

use crate::doctor::examination::{Doctor, Step};
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Step<Finding> {
    let extensions: Vec<String> = doctor.sftp()?.extensions().into_iter().map(str::to_owned).collect();
    let words = if extensions.is_empty() { "no extensions".into() } else { extensions.join(", ") };
    doctor.facts.extensions = extensions;
    Ok(Finding::ok(format!("version 3; {words}")))
}
