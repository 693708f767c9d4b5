//! `doctor`: checks a whole configuration against the real partner, without a bucket, and says what to change.

mod capacity;
mod configuration;
mod files;
mod login;
mod names;
mod network;
mod recommend;
mod renames;
mod report;
mod scratch;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bridge::{ErrorName, Method, Place, Variables};
use serde_json::{Value, json};
use sftp::probe::{Greeting, Offer};
use sftp::{Answer, Login, Session, Sftp};

use self::configuration::Configuration;
use self::recommend::Recommendation;
use self::report::{Report, Status};
use self::scratch::Scratch;

pub(crate) use self::configuration::Arguments;
use crate::output::{self, Layout};
use crate::stop::Stop;

/// What the settings that are recommended depend on; `None`: it was not found out.
#[derive(Debug, Default)]
struct Findings {
    software: Option<String>,
    offer: Option<Offer>,
    /// All that the server presents, where no trusted one was among them.
    presented: Vec<String>,
    /// The trusted host key that the server presented, `ssh-ed25519 AAAA…`.
    host_key: Option<String>,
    /// Whether it takes algorithms that only old servers need.
    legacy: Option<bool>,
    key_exchange: Option<String>,
    cipher: Option<String>,
    methods: Vec<String>,
    extensions: Vec<String>,
    /// Files can be synced to the disk.
    fsync: Option<bool>,
    /// What partial files can be called, where the server refuses the name that is set.
    partial_name: Option<String>,
    /// The directory that was checked, where it is not the one of the settings.
    other_location: Option<String>,
    /// Whether a private key may have signed with SHA-1, which the algorithms in use do not show.
    signs_with_sha1: Option<bool>,
    write: Option<bool>,
    /// Files are taken away as soon as they are closed.
    swept: Option<bool>,
    /// The size of a file is told.
    stat: Option<bool>,
    read: Option<bool>,
    hash: Option<bool>,
    chmod: Option<bool>,
    mtime: Option<bool>,
    resume: Option<bool>,
    overwrite: Option<bool>,
    /// Partial files can lie in the staging directory.
    staging: Option<bool>,
    /// Onto a free name, as a delivery does it that may replace.
    rename: Option<bool>,
    /// As one does it that may not.
    rename_new: Option<bool>,
    /// What is there can be seen and compared, so that it can be kept.
    keep: Option<bool>,
    /// A rename onto an existing name in one step.
    replace: Option<bool>,
    delete: Option<bool>,
    mkdir: Option<bool>,
    chmod_dir: Option<bool>,
    round_trip: Option<Duration>,
    connect: Option<Duration>,
    /// Bytes a second.
    write_rate: Option<f64>,
    read_rate: Option<f64>,
    free_bytes: Option<u64>,
    second_channel: Option<bool>,
    second_connection: Option<bool>,
}

/// A check failed without which the others are of no use; it is in the report.
struct Stopped;

type Step<T = ()> = Result<T, Stopped>;

/// The run of the checks.
struct Doctor {
    configuration: Configuration,
    report: Report,
    findings: Findings,
    /// All that the settings permit and the credential holds.
    credential: Option<Login>,
    /// Of that, what the server took.
    login: Option<Login>,
    /// What the server was found to be before anyone logged in.
    greeting: Option<Greeting>,
    /// What it said to each method, where there are several.
    answers: Vec<(Method, Answer)>,
    session: Option<Arc<Session>>,
    scratch: Scratch,
    /// How many attempts to log in were refused, or may have been; there are never more than two.
    refused: u32,
}

/// Checks and prints. Exit status: 0 all is well, 1 something needs a change, 2 the settings are wrong.
pub(crate) async fn run(arguments: &Arguments, stop: &Stop) -> ExitCode {
    let mut report = Report::new(!arguments.json);
    let configuration = match Configuration::new(Variables::from_environment(), arguments) {
        Ok(configuration) => configuration,
        Err(error) => {
            report.fail(
                "settings",
                error.message().replace("; ", ";\n"),
                ErrorName::InvalidConfig.hint_for(Place::CommandLine),
            );
            report.finish();
            print_json(arguments, &report, &Findings::default(), None);
            return ExitCode::from(2);
        }
    };
    output::note(configuration.exposed_key_file().as_slice());
    let mut doctor = Doctor {
        scratch: Scratch::new(&configuration.settings.policy, arguments.object_key.as_deref()),
        configuration,
        report,
        findings: Findings::default(),
        credential: None,
        login: None,
        greeting: None,
        answers: Vec::new(),
        session: None,
        refused: 0,
    };
    let mut interrupted = tokio::select! {
        _ = doctor.examine() => false,
        () = stop.requested() => true,
    };
    // Whatever happened: nothing of ours stays on the server.
    doctor.clean_up(interrupted).await;
    if !interrupted {
        interrupted = tokio::select! {
            () = doctor.examine_connections() => false,
            () = stop.requested() => true,
        };
    }
    doctor.disconnect().await;
    let Doctor { configuration, mut report, findings, .. } = doctor;
    report.finish();
    let recommendation = Recommendation::new(&configuration, &findings);
    print_json(arguments, &report, &findings, recommendation.as_ref());
    if !arguments.json {
        match &recommendation {
            Some(recommendation) => output::say(&recommendation.to_lines()),
            None => output::say(&[
                String::new(),
                "No settings are recommended before a file could be written.".into(),
            ]),
        }
    }
    match (configuration.is_pinned && configuration.names_credential, report.has(Status::Fail) || interrupted)
    {
        (false, _) => ExitCode::from(2),
        (true, true) => ExitCode::from(1),
        (true, false) => ExitCode::SUCCESS,
    }
}

impl Doctor {
    async fn examine(&mut self) -> Step {
        self.read_settings().await?;
        self.reach().await?;
        self.log_in().await?;
        self.examine_server().await?;
        self.examine_files().await?;
        self.measure().await
    }

    async fn read_settings(&mut self) -> Step {
        let endpoint = self.configuration.endpoint();
        if self.configuration.is_pinned {
            self.report.ok("settings", format!("complete; the server is {endpoint}"));
        } else {
            self.report.fail(
                "settings",
                "SFTP_TRUSTED_HOST_KEYS is not set, so nobody is logged in to",
                "pin the partner's host key; see host-key",
            );
        }
        if self.configuration.is_pinned {
            self.read_credential().await;
        }
        Ok(())
    }

    /// Without one, all is checked that comes before logging in.
    async fn read_credential(&mut self) {
        if !self.configuration.names_credential {
            let hint = "set SFTP_SECRET_ID to the secret, or give a file with --key-file. What needs no credential is checked without";
            return self.report.fail(
                "credential",
                "missing: neither SFTP_SECRET_ID nor SFTP_S3_SSH_KEY is set",
                hint,
            );
        }
        let source = self.configuration.credential_source();
        match self.configuration.login().await {
            Ok(login) if login.usable().next().is_none() => {
                let found = format!(
                    "SFTP_AUTHENTICATION permits {}, and {source} has nothing to do so with",
                    login.methods
                );
                let hint = "put into the credential what the partner asks for, or permit what it has";
                self.report.fail("credential", found, hint);
            }
            Ok(login) => {
                let key = login.private_key.as_ref();
                let key = key.map(|key| format!("the private key {} {}", key.algorithm(), key.fingerprint()));
                let password = login.password.as_ref().map(|_| "a password".to_owned());
                let holds: Vec<String> = key.into_iter().chain(password).collect();
                let user_name = &login.user_name;
                let found = format!("{source} holds {} for the user {user_name:?}", holds.join(" and "));
                self.report.ok("credential", found);
                self.credential = Some(login);
            }
            Err(error) => {
                let hint = match self.configuration.has_key_file() {
                    true => {
                        "check the path behind --key-file, that you may read the file, and that it is a private key or JSON as the secret is to hold it"
                    }
                    false => error.name.hint_for(Place::CommandLine),
                };
                self.report.fail("credential", error.message(), hint);
            }
        }
    }

    /// Of the session that the checks go on in.
    fn sftp(&self) -> Step<Arc<Sftp>> {
        self.session.as_ref().map(|session| Arc::clone(session.sftp())).ok_or(Stopped)
    }

    async fn disconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.disconnect().await;
        }
    }
}

fn print_json(
    arguments: &Arguments,
    report: &Report,
    findings: &Findings,
    recommendation: Option<&Recommendation>,
) {
    if arguments.json {
        let status = [Status::Fail, Status::Warn].into_iter().find(|status| report.has(*status));
        let json = json!({
            "status": status.unwrap_or(Status::Ok).as_str(),
            "checks": report.to_json(),
            "server": findings.to_json(),
            "recommended": recommendation.map(Recommendation::to_json),
        });
        output::say_json(&json, Layout::Pretty);
    }
}

impl Findings {
    fn to_json(&self) -> Value {
        let milliseconds = |duration: Option<Duration>| duration.map(|it| it.as_micros() as f64 / 1000.0);
        let rate = |rate: Option<f64>| rate.map(|rate| rate.round() as u64);
        json!({
            "software": self.software,
            "offers": self.offer.as_ref().map(|offer| json!({
                "key_exchanges": offer.key_exchanges,
                "host_keys": offer.host_keys,
                "ciphers": offer.ciphers,
                "macs": offer.macs,
            })),
            "presented_host_keys": self.presented,
            "host_key": self.host_key,
            "key_exchange": self.key_exchange,
            "cipher": self.cipher,
            "methods": self.methods,
            "extensions": self.extensions,
            "partial_name": self.partial_name,
            "can": {
                "write": self.write,
                "stat": self.stat,
                "fsync": self.fsync,
                "read": self.read,
                "hash": self.hash,
                "chmod": self.chmod,
                "mtime": self.mtime,
                "resume": self.resume,
                "overwrite": self.overwrite,
                "staging": self.staging,
                "rename": self.rename,
                "rename_new": self.rename_new,
                "keep": self.keep,
                "replace": self.replace,
                "delete": self.delete,
                "mkdir": self.mkdir,
                "chmod_dir": self.chmod_dir,
                "second_channel": self.second_channel,
                "second_connection": self.second_connection,
            },
            "connect_ms": milliseconds(self.connect),
            "round_trip_ms": milliseconds(self.round_trip),
            "write_bytes_per_second": rate(self.write_rate),
            "read_bytes_per_second": rate(self.read_rate),
            "free_bytes": self.free_bytes,
        })
    }
}
