//! `connections`: whether the partner allows a second connection at the same time.

use bridge::ErrorName;
use sftp::{Login, Session};

use crate::doctor::examination::Doctor;
use crate::doctor::login::cost;
use crate::doctor::report::Finding;

/// Before `channels`: a server that ends a connection because of a second channel would seem to allow one connection.
pub(in crate::doctor) async fn check(doctor: &mut Doctor, session: &Session) -> Option<Finding> {
    let login = doctor.login.clone()?;
    if !doctor.may_be_refused(&login) {
        return Some(Finding::absent(
            "a second one was not tried: another refused login might lock the account",
        ));
    }
    let problem = problem(doctor, session, &login).await;
    doctor.facts.second_connection = Some(problem.is_none());
    let Some(problem) = problem else {
        return Some(Finding::ok("a second one at the same time is allowed"));
    };
    let settings = &doctor.configuration.settings;
    Some(if settings.max_connections > 1 || !settings.keep_connection.is_zero() {
        Finding::fail(
            format!("a second one at the same time is not allowed: {problem}"),
            "set SFTP_MAX_CONNECTIONS=1 and SFTP_KEEP_CONNECTION=0 (with SAM: MaxConnections=1, ConnectionsPerFile=1), or the connection of one step blocks the next step",
        )
    } else {
        Finding::absent(format!("one at a time, as the settings have it: {problem}"))
    })
}

/// Why a second connection does not work, if so.
async fn problem(doctor: &mut Doctor, session: &Session, login: &Login) -> Option<String> {
    let timeout = doctor.configuration.timeout();
    match session.reconnect().await.map_err(bridge::Error::from) {
        Ok(second) if second.is_alive(timeout).await => {
            second.disconnect().await;
            let is_alive = session.is_alive(timeout).await;
            (!is_alive).then(|| "it ended the first one".to_owned())
        }
        Ok(_) => Some("it was opened, and then the server did not answer".to_owned()),
        Err(error) => {
            // Some servers refuse one connection too many as if the credential were wrong.
            if error.name == ErrorName::AuthenticationRejected {
                doctor.refused += cost(login);
            }
            Some(error.message().to_owned())
        }
    }
}
