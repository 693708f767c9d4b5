//! `channels`: whether a connection may have several channels.

use partner::files::Reply;
use sftp::Session;

use crate::doctor::examination::Doctor;
use crate::doctor::report::Finding;

pub(in crate::doctor) async fn check(doctor: &mut Doctor, session: &Session) -> Finding {
    let second = async {
        let sftp = session.channel(1).await?;
        Reply::of(sftp.stat(".").await)
    };
    let problem = match tokio::time::timeout(doctor.configuration.timeout(), second).await {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(bridge::Error::from(error).message().to_owned()),
        Err(_) => Some("no answer".into()),
    };
    doctor.facts.second_channel = Some(problem.is_none());
    match problem {
        None => Finding::ok("several channels on one connection are allowed"),
        Some(problem) => Finding::absent(format!("one on each connection: {problem}")),
    }
}
