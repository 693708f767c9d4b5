//! `methods`: the server's answer to each method of logging in.

use bridge::{Method, Methods};
use partner::with_setting;
use sftp::{Login, MethodOutcome};

use crate::doctor::examination::Doctor;
use crate::doctor::login::REFUSED_MAX;
use crate::doctor::report::Finding;

/// Asks about all methods, including those that the settings do not permit. Only when everything else was checked.
pub(in crate::doctor) async fn check(doctor: &mut Doctor) -> Option<Finding> {
    let login = doctor.credential.clone()?;
    let (mut words, mut alone) = (Vec::new(), Vec::new());
    for method in Methods::default().iter() {
        let found = match known(doctor, &login, method, &alone) {
            Some(words) => words,
            None => try_alone(doctor, &login, method, &mut alone).await,
        };
        words.push(format!("{}: {found}", method.as_str()));
    }
    let found = words.join("; ");
    let named = |is_meant: fn(MethodOutcome) -> bool| {
        let named = doctor.answers.iter().filter(|(_, answer)| is_meant(*answer));
        named.map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(",")
    };
    let (refused, accepted) = (named(MethodOutcome::is_refusal), named(|answer| !answer.is_refusal()));
    Some(if refused.is_empty() {
        Finding::ok(found)
    } else {
        Finding::warn(
            found,
            format!(
                "the server refuses {refused} at every login before it accepts {accepted}, and servers lock accounts for refused attempts: set SFTP_AUTHENTICATION={accepted}, or correct the credential"
            ),
        )
    })
}

/// What is known of a method, or why it must not be tried. `alone` has the answers to the methods that were tried alone.
fn known(
    doctor: &Doctor,
    login: &Login,
    method: Method,
    alone: &[(Method, MethodOutcome)],
) -> Option<String> {
    let offered = &doctor.facts.methods;
    let is_offered = offered.is_empty() || offered.iter().any(|offered| offered == method.as_str());
    let is_password = |method: Method| method != Method::PublicKey;
    if !login.methods.iter().any(|permitted| permitted == method) {
        return Some("not tried, SFTP_AUTHENTICATION does not permit it".into());
    }
    if !login.usable().any(|usable| usable == method) {
        let what = if is_password(method) { "password" } else { "private key" };
        return Some(format!("not tried, the credential has no {what}"));
    }
    if login.usable().count() == 1 {
        return Some("accepted".into());
    }
    let is_one_of_several = doctor.answers.iter().any(|(_, answer)| *answer == MethodOutcome::PartialSuccess);
    if let Some((_, answer)) = doctor.answers.iter().rev().find(|(tried, _)| *tried == method) {
        let after_the_other = *answer == MethodOutcome::Accepted && is_one_of_several;
        return Some(if after_the_other { "accepted, after the other" } else { in_words(*answer) }.into());
    }
    if is_one_of_several {
        return Some("not tried, the server asked for others".into());
    }
    if !is_offered {
        return Some("not tried, the server does not offer it".into());
    }
    let is_refused_password =
        |(tried, answer): &(Method, MethodOutcome)| is_password(*tried) && *answer == MethodOutcome::Refused;
    if is_password(method) && doctor.answers.iter().chain(alone).any(is_refused_password) {
        return Some("not tried, the server has refused the password".into());
    }
    (doctor.refused >= REFUSED_MAX)
        .then(|| format!("not tried, the doctor risks at most {REFUSED_MAX} refused attempts"))
}

async fn try_alone(
    doctor: &mut Doctor,
    login: &Login,
    method: Method,
    alone: &mut Vec<(Method, MethodOutcome)>,
) -> String {
    let (only, target) = (Login { methods: method.into(), ..login.clone() }, doctor.target());
    match doctor.patiently(0, async || target.log_in(&only).await).await {
        Ok(attempted) => {
            doctor.count(&attempted);
            alone.extend(attempted.answers.last().copied());
            match (attempted.answers.last(), attempted.problem) {
                (Some((_, answer)), _) => in_words(*answer).into(),
                (None, Some(problem)) => format!("could not be tried, {}", with_setting(problem).message()),
                (None, None) => "could not be tried".into(),
            }
        }
        Err(error) => format!("could not be tried, {}", error.message()),
    }
}

fn in_words(answer: MethodOutcome) -> &'static str {
    match answer {
        MethodOutcome::Accepted => "accepted",
        MethodOutcome::PartialSuccess => "accepted, but not enough alone",
        MethodOutcome::Refused => "refused",
        MethodOutcome::NotAllowed => "refused, the server does not take it",
    }
}
