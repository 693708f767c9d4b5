//! `doctor`: checks a whole configuration against the real partner, without a bucket, and says what to change.

mod checks;
mod configuration;
mod examination;
mod facts;
mod login;
mod partner_file;
mod recommend;
mod report;
mod scratch;

use std::process::ExitCode;
use std::sync::Arc;

use bridge::{ErrorName, Place, Variables};
use serde_json::json;

use self::configuration::Configuration;
use self::examination::{Doctor, Step};
use self::facts::Facts;
use self::partner_file::outcome::{self, Outcome};
use self::recommend::Recommendation;
use self::report::{Direction, Finding, Report, Status};
use self::scratch::Scratch;

pub(crate) use self::configuration::Arguments;
use crate::output::{self, Layout};
use crate::stop::Stop;

/// Checks and prints. Exit status: 0 all is well, 1 something must be changed, 2 the settings are wrong.
pub(crate) async fn run(arguments: &Arguments, stop: &Stop) -> ExitCode {
    let configuration = match Configuration::new(Variables::from_environment(), arguments) {
        Ok(configuration) => configuration,
        Err(error) => {
            let direction = if arguments.collect { Direction::Collecting } else { Direction::Delivering };
            let mut report = Report::new(!arguments.json, direction);
            let found = error.message().replace("; ", ";\n");
            report.add("settings", Finding::fail(found, hint(arguments)));
            report.finish();
            print_json(arguments, &report, &Facts::default(), None, None);
            return ExitCode::from(2);
        }
    };
    output::note(configuration.exposed_key_file().as_slice());
    let report = Report::new(!arguments.json, configuration.direction());
    let scratch = Scratch::new(&configuration.settings.policy, arguments.object_key.as_deref());
    let mut doctor = Doctor::new(configuration, report, scratch);
    let interrupted = examine_all(&mut doctor, stop).await;
    doctor.disconnect().await;
    let Doctor { configuration, mut report, facts, .. } = doctor;
    report.finish();
    let recommendation = Recommendation::new(&configuration, &facts);
    let objection = objection(&report, interrupted);
    let outcome = outcome::write(&configuration, recommendation.as_ref(), objection);
    print_json(arguments, &report, &facts, recommendation.as_ref(), outcome.as_ref());
    if !arguments.json && configuration.examines_everything() {
        print_lines(&configuration, recommendation.as_ref(), outcome.as_ref());
    }
    let is_written = outcome.is_none_or(|outcome| outcome.is_written());
    if !configuration.is_pinned || !configuration.names_credential {
        ExitCode::from(2)
    } else if report.has(Status::Fail) || interrupted || !is_written {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    }
}

/// What to do if the settings are wrong.
fn hint(arguments: &Arguments) -> &'static str {
    if arguments.is_only_environment() {
        ErrorName::InvalidConfig.hint_for(Place::CommandLine)
    } else {
        "Correct what the message names, and run the command again."
    }
}

/// Why no file is to be written.
fn objection(report: &Report, interrupted: bool) -> Option<String> {
    let failed = report.failed();
    if !failed.is_empty() {
        let names = failed.join(", ");
        return Some(format!(
            "these checks failed: {names}. Change what they say, and run the same command again"
        ));
    }
    interrupted.then(|| "the checks were stopped. Run the same command again".into())
}

fn print_lines(
    configuration: &Configuration,
    recommendation: Option<&Recommendation>,
    outcome: Option<&Outcome>,
) {
    match recommendation {
        Some(recommendation) => output::say(&recommendation.to_lines()),
        None => {
            let why = match configuration.direction() {
                Direction::Delivering => "no file could be written",
                Direction::Collecting => "the directory could not be listed",
            };
            output::say(&[String::new(), format!("No settings are recommended, because {why}.")]);
        }
    }
    if let Some(outcome) = outcome {
        output::say(&outcome.to_lines());
    }
}

/// Runs all checks. Returns whether somebody stopped them. Whatever happens, nothing of ours stays on the server.
async fn examine_all(doctor: &mut Doctor, stop: &Stop) -> bool {
    let interrupted = tokio::select! {
        _ = examine(doctor) => false,
        () = stop.requested() => true,
    };
    if let Some(finding) = checks::clean_up::check(doctor, interrupted).await {
        doctor.report.add("clean-up", finding);
    }
    if interrupted {
        return true;
    }
    tokio::select! {
        () = examine_connections(doctor) => false,
        () = stop.requested() => true,
    }
}

async fn examine(doctor: &mut Doctor) -> Step {
    doctor.run("settings", checks::settings::check).await?;
    if doctor.configuration.is_pinned {
        doctor.run("credential", checks::credential::check).await?;
    }
    doctor.run("dns", checks::dns::check).await?;
    doctor.run("tcp", checks::tcp::check).await?;
    doctor.run("ssh", checks::ssh::check).await?;
    checks::ssh::require_pinned_host_key(doctor).await?;
    doctor.run("authentication", checks::authentication::check).await?;
    doctor.run("sftp", checks::sftp_version::check).await?;
    doctor.run("limits", checks::limits::check).await?;
    if doctor.configuration.direction() == Direction::Collecting {
        return examine_collecting(doctor).await;
    }
    doctor.run("fsync", checks::fsync::check).await?;
    doctor.run("directory", checks::directory::check).await?;
    doctor.run("free-space", checks::free_space::check).await?;
    examine_files(doctor).await?;
    doctor.run("latency", checks::latency::check).await?;
    doctor.run("throughput", checks::throughput::check).await
}

/// What collecting needs. No file of the partner's is changed.
async fn examine_collecting(doctor: &mut Doctor) -> Step {
    doctor.run("listing", checks::collecting::listing::check).await?;
    doctor.run("attributes", checks::collecting::attributes::check).await?;
    doctor.run("read", checks::collecting::read::check).await?;
    doctor.run("afterwards", checks::collecting::afterwards::check).await?;
    doctor.run("bucket", checks::collecting::bucket::check).await?;
    doctor.run("latency", checks::latency::check).await
}

/// Every request that a delivery makes, or could make.
async fn examine_files(doctor: &mut Doctor) -> Step {
    checks::staging::prepare(doctor).await?;
    doctor.run("create", checks::create::check).await?;
    doctor.run("write", checks::write::check).await?;
    doctor.run("stat", checks::stat::check).await?;
    if doctor.facts.swept == Some(true) {
        return Ok(());
    }
    doctor.run("read-back", checks::read_back::check).await?;
    doctor.run("hash", checks::hash::check).await?;
    doctor.run("chmod", checks::chmod::check).await?;
    doctor.run("mtime", checks::mtime::check).await?;
    doctor.run("resume", checks::resume::check).await?;
    doctor.run("overwrite", checks::overwrite::check).await?;
    doctor.run("rename", checks::rename::check).await?;
    doctor.run("if-exists", checks::if_exists::check).await?;
    doctor.run("delete", checks::delete::check).await?;
    if doctor.facts.delete != Some(true) {
        return Ok(());
    }
    doctor.run("replace", checks::replace::check).await?;
    doctor.run("mkdir", checks::mkdir::check).await?;
    doctor.run("chmod-dir", checks::chmod_dir::check).await?;
    doctor.run("names", checks::names::check).await
}

/// What may end a session: only when nothing of ours is on the server any more.
async fn examine_connections(doctor: &mut Doctor) {
    let Some(session) = doctor.session.as_ref().map(Arc::clone) else { return };
    if session.sftp().is_poisoned() {
        return;
    }
    if let Some(finding) = checks::connections::check(doctor, &session).await {
        doctor.report.add("connections", finding);
    }
    let finding = checks::channels::check(doctor, &session).await;
    doctor.report.add("channels", finding);
    drop(session);
    doctor.disconnect().await;
    if let Some(finding) = checks::methods::check(doctor).await {
        doctor.report.add("methods", finding);
    }
}

fn print_json(
    arguments: &Arguments,
    report: &Report,
    facts: &Facts,
    recommendation: Option<&Recommendation>,
    outcome: Option<&Outcome>,
) {
    if arguments.json {
        let status = [Status::Fail, Status::Warn].into_iter().find(|status| report.has(*status));
        let mut json = json!({
            "status": status.unwrap_or(Status::Ok).as_str(),
            "checks": report.to_json(),
            "server": facts.to_json(),
            "recommended": recommendation.map(Recommendation::to_json),
        });
        if let Some(outcome) = outcome {
            json["file"] = outcome.to_json();
        }
        output::say_json(&json, Layout::Pretty);
    }
}
