//! The configuration that is checked: the settings of the environment, as `deliver` reads them, or those of a partner's
//! file; and the arguments that replace some of them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws::clients::{self, Account};
use aws::credential::{self, Clients};
use bridge::collect::plain_name;
use bridge::{CollectSettings, ErrorName, Result, Route, SETTINGS, Settings, Variables};
use clap::Args;
use secrecy::SecretString;
use sftp::{Endpoint, Login};

use super::partner_file::parameters;
use super::partner_file::{OtherServer, Parameters, PartnerFile, Target};
use super::report::Direction;

/// Arguments of `s3-sftp-bridge doctor`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Instead of SFTP_HOST
    #[arg(long)]
    host: Option<String>,
    /// Instead of SFTP_PORT
    #[arg(long)]
    port: Option<u16>,
    /// Instead of SFTP_USER
    #[arg(long)]
    user: Option<String>,
    /// Instead of SFTP_LOCATION
    #[arg(long)]
    location: Option<String>,
    /// Instead of SFTP_TRUSTED_HOST_KEYS
    #[arg(long, value_name = "HOST_KEYS")]
    trusted_host_keys: Option<String>,
    /// File with the private key, or JSON
    ///
    /// Instead of SFTP_SECRET_ID and SFTP_S3_SSH_KEY. JSON is as in the
    /// secret, with `PrivateKey`, `Passphrase`, `Password`. No AWS is needed.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    key_file: Option<PathBuf>,
    /// Instead of SFTP_SECRET_ID
    ///
    /// With --key-file the checks do not read the secret, and --write writes
    /// its name.
    #[arg(long, value_name = "NAME", verbatim_doc_comment)]
    secret_id: Option<String>,
    /// Set a parameter of the template
    ///
    /// For example, KeyPrefix=acme/. Can be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_parameter, verbatim_doc_comment)]
    parameter: Vec<(String, String)>,
    /// Check the settings of a partner's file
    ///
    /// The file is one that `sam deploy --config-file` reads. The settings of
    /// the environment are not used.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    config_file: Option<PathBuf>,
    /// Write a partner's file
    ///
    /// It is for `sam deploy --config-file`, and written only if all is well:
    /// with these settings, and what is recommended. The stack
    /// is named after the file: sftp-acme for acme.toml.
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    write: Option<PathBuf>,
    /// Key of a typical object
    ///
    /// For example, out/2026/report.csv. The test files get names with the
    /// same ending and the same length.
    #[arg(long, value_name = "KEY", verbatim_doc_comment)]
    pub(crate) object_key: Option<String>,
    /// Check what collecting needs instead
    ///
    /// Lists COLLECT_DIRECTORY, and tries with a file of its own whether
    /// files can be archived or deleted. Reads no file of the partner's.
    /// COLLECT_ONLY=true implies it.
    #[arg(long, conflicts_with = "object_key", verbatim_doc_comment)]
    pub(crate) collect: bool,
    /// Read this file too, if the partner agrees
    ///
    /// A path below COLLECT_DIRECTORY.
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    collect_probe: Option<String>,
    /// Seconds to wait
    ///
    /// For a connection, and for each answer.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// Print only the findings, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is checked of the other direction.
#[derive(Clone)]
pub(crate) struct Collecting {
    pub(crate) settings: CollectSettings,
    /// Whether a bucket is set. If not, `settings` has one that does not exist.
    pub(crate) names_bucket: bool,
    /// The partner's file that may be read, below the directory.
    pub(crate) probe: Option<String>,
}

/// The configuration that is checked.
pub(crate) struct Configuration {
    /// `None`: deliveries are checked.
    pub(crate) collecting: Option<Collecting>,
    variables: Variables,
    pub(crate) settings: Settings,
    /// Whether host keys are pinned. If not, `settings` has one that no server has.
    pub(crate) is_pinned: bool,
    /// Whether a place of the credential is set. If not, `settings` has one that does not exist.
    pub(crate) names_credential: bool,
    key_file: Option<PathBuf>,
    timeout: Duration,
    /// Settings that were changed so that the checks can go on: the new value and the reason.
    changed: Vec<(&'static str, String)>,
    /// Parameters that are no settings of the server, such as the bucket.
    others: Parameters,
    /// The parameters that the command line has set.
    given: BTreeSet<String>,
    /// The stack of the partner's file that is checked.
    stack_name: Option<String>,
    /// The file to write.
    target: Option<Target>,
}

/// Time of the event that would announce the object of `--object-key`.
pub(super) const EXAMPLE_TIME: &str = "2026-01-01T00:00:00Z";

/// In the place of a missing value that the checks do not need.
const MISSING: &str = "not-set";
/// No server has a key with this fingerprint.
const NO_HOST_KEY: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Configuration {
    /// # Errors
    /// `InvalidConfig`, with all mistakes; `RemotePathRejected` if an object with this key would not be delivered.
    pub(crate) fn new(environment: Variables, arguments: &Arguments) -> Result<Self> {
        let file = arguments.config_file.as_deref().map(PartnerFile::read).transpose()?;
        // As the AWS SDK does it, which reads the secret there. The SAM CLI reads only the second one.
        let region = ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(|name| environment.named(name));
        let target = arguments.write.as_deref().map(|path| Target::new(path, region)).transpose()?;
        let mut others = Parameters::new();
        let in_file = file.iter().flat_map(|file| &file.parameters);
        let base = if file.is_some() { Variables::default() } else { environment };
        let given = in_file.chain(arguments.checked_parameters()?);
        let variables = arguments.replace(given.fold(base, |variables, (name, value)| {
            if name == "MaxConnections" {
                // As the stack does it: a connection that is kept would block the next step.
                let keep = if ["1", "2"].contains(&value.as_str()) { "0" } else { "" };
                others.insert(name.clone(), value.clone());
                return variables.with("SFTP_KEEP_CONNECTION", keep);
            }
            match parameters::setting(name) {
                Some(setting) => variables.with(setting, value),
                None => {
                    others.insert(name.clone(), value.clone());
                    variables
                }
            }
        }));
        let names_place = is_set(&variables, "SFTP_SECRET_ID") || is_set(&variables, "SFTP_S3_SSH_KEY");
        let names_credential = arguments.key_file.is_some() || names_place;
        // If other settings are wrong, too, one message names all mistakes.
        let settings = parse(&variables, Missing::IsMadeUp).or_else(|error| {
            if names_credential { Err(error) } else { parse(&variables, Missing::IsWrong) }
        })?;
        if let Some(object_key) = &arguments.object_key {
            Route::check(&settings.policy, "bucket", object_key, EXAMPLE_TIME)?;
        }
        let configuration = Self {
            collecting: arguments.collecting(&variables)?,
            is_pinned: is_set(&variables, "SFTP_TRUSTED_HOST_KEYS"),
            variables,
            settings,
            names_credential,
            key_file: arguments.key_file.clone(),
            timeout: Duration::from_secs(arguments.timeout),
            changed: Vec::new(),
            others,
            given: arguments.given(),
            stack_name: file.as_ref().map(|file| file.stack_name.clone()),
            target,
        };
        configuration.check_target(file.as_ref(), names_place)?;
        Ok(configuration)
    }

    /// What is to be written must have a place, before anything is examined.
    fn check_target(&self, file: Option<&PartnerFile>, names_place: bool) -> Result<()> {
        let Some(target) = &self.target else { return Ok(()) };
        if !names_place {
            let problem = "--write needs --secret-id: the stack reads the credential from that secret, and not from the key file";
            return Err(ErrorName::InvalidConfig.error(problem));
        }
        let is_same = |file: &PartnerFile| is_same_file(&file.path, target.path());
        let other_server =
            if file.is_some_and(is_same) { OtherServer::IsTheSamePartner } else { OtherServer::IsRefused };
        target.check(&self.parameters(), other_server)
    }

    /// What is checked.
    pub(crate) fn direction(&self) -> Direction {
        if self.collecting.is_some() { Direction::Collecting } else { Direction::Delivering }
    }

    /// Whether everything is examined that the settings are about. With `--collect`, only half of a stack that also
    /// delivers is examined.
    pub(crate) fn examines_everything(&self) -> bool {
        self.collecting.as_ref().is_none_or(|collecting| collecting.settings.only)
    }

    /// Whether any of these settings is set.
    pub(crate) fn sets_any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| is_set(&self.variables, name))
    }

    /// The parameters of the stack that the settings stand for, without recommendations.
    pub(crate) fn parameters(&self) -> Parameters {
        let settings = self
            .set()
            .into_iter()
            .filter_map(|(name, value)| Some((parameter_of(name)?.to_owned(), value.to_owned())));
        self.others.clone().into_iter().chain(settings).collect()
    }

    /// The parameters that the command line has set.
    pub(super) fn given(&self) -> &BTreeSet<String> {
        &self.given
    }

    /// The file to write.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The stack of the file that is written, or else of the one that is checked.
    pub(crate) fn names_stack(&self) -> Option<&str> {
        self.target.as_ref().map(|target| target.stack_name.as_str()).or(self.stack_name())
    }

    /// The stack of the file that is checked.
    pub(crate) fn stack_name(&self) -> Option<&str> {
        self.stack_name.as_deref()
    }

    /// Goes on with another value of a setting.
    ///
    /// # Errors
    /// `InvalidConfig` if the value is not valid.
    pub(crate) fn change(&mut self, name: &'static str, value: &str, why: &str) -> Result<()> {
        let variables = self.variables.clone().with(name, value);
        self.settings = parse(&variables, Missing::IsMadeUp)?;
        self.variables = variables;
        self.changed.push((name, format!("{value}, because {why}")));
        Ok(())
    }

    /// Settings that were changed so that the checks can go on: the new value and the reason.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.changed.iter().map(|(name, why)| (*name, why.as_str()))
    }

    /// The settings that are set.
    pub(crate) fn set(&self) -> Vec<(&'static str, &str)> {
        self.variables.set()
    }

    /// The value of a setting, or its default; empty for an unknown setting.
    pub(crate) fn value(&self, name: &str) -> &str {
        let set = self.variables.set().into_iter().find(|(set, _)| *set == name);
        let default =
            SETTINGS.iter().find(|setting| setting.name == name).and_then(|setting| setting.default);
        set.map(|(_, value)| value).or(default).unwrap_or_default()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { host: self.settings.host.clone(), port: self.settings.port }
    }

    pub(crate) fn options(&self) -> sftp::Options {
        sftp::Options {
            connect_timeout: self.timeout,
            login_timeout: self.timeout,
            stall_timeout: self.timeout,
            algorithms: self.settings.login.algorithms.clone(),
            ..sftp::Options::default()
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn has_key_file(&self) -> bool {
        self.key_file.is_some()
    }

    /// The place of the credential, in words.
    pub(crate) fn credential_source(&self) -> String {
        use bridge::CredentialLocation::{S3, SecretsManager};
        match (&self.key_file, &self.settings.credential) {
            (Some(file), _) => format!("the file {}", file.display()),
            (None, SecretsManager { secret_id }) => format!("the secret {secret_id}"),
            (None, S3 { bucket, object_key }) => format!("s3://{bucket}/{object_key}"),
        }
    }

    /// A warning if others can read or change the key file.
    pub(crate) fn exposed_key_file(&self) -> Option<String> {
        let file = self.key_file.as_ref()?;
        let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o077;
        let name = file.display();
        (mode != 0)
            .then(|| format!("warning: others can read or change the file {name}: run chmod 600 {name}"))
    }

    /// Reads the credential.
    ///
    /// # Errors
    /// `SecretUnavailable`, `SecretUnreadable`, `InvalidPrivateKey`, `InvalidConfig` without a user.
    pub(crate) async fn login(&self) -> Result<Login> {
        let credential = match &self.key_file {
            Some(file) => {
                let name = file.display().to_string();
                let text = std::fs::read_to_string(file).map_err(|error| {
                    ErrorName::SecretUnreadable.error(format!("reading the credential {name}: {error}"))
                })?;
                credential::parse(&SecretString::from(text), &name)?
            }
            None => {
                let clients = Clients::new(&clients::complete_config(&Account::default()).await?);
                credential::pin(&clients, &self.settings.credential).await?.1
            }
        };
        partner::login(&self.settings, credential)
    }
}

impl Arguments {
    /// The settings of the other direction, if it is to be checked.
    fn collecting(&self, variables: &Variables) -> Result<Option<Collecting>> {
        let is_only = variables.named("COLLECT_ONLY") == Some("true");
        let refused = |problem: &str| Err(ErrorName::InvalidConfig.error(problem));
        if !self.collect && !is_only {
            return match self.collect_probe {
                Some(_) => refused("--collect-probe: expected --collect, too"),
                None => Ok(None),
            };
        }
        if self.write.is_some() && !is_only {
            return refused(
                "--write with --collect: this stack also delivers, and only collecting would be examined. Leave out --collect; or, if nothing is delivered, add --parameter CollectOnly=true",
            );
        }
        let names_bucket = is_set(variables, "COLLECT_BUCKET");
        let settings = match names_bucket {
            true => CollectSettings::parse(variables)?,
            false => CollectSettings::parse(&variables.clone().with("COLLECT_BUCKET", MISSING))?,
        };
        let probe = self.collect_probe.clone();
        if probe
            .as_ref()
            .is_some_and(|probe| probe.split('/').any(|name| plain_name(name.as_bytes()).is_err()))
        {
            return Err(ErrorName::InvalidConfig
                .error("--collect-probe: expected a path below COLLECT_DIRECTORY, such as orders/a.csv"));
        }
        Ok(Some(Collecting { settings, names_bucket, probe }))
    }

    /// Whether the settings can be wrong only in the environment, or in an option that stands for a variable.
    pub(crate) fn is_only_environment(&self) -> bool {
        self.config_file.is_none() && self.write.is_none() && self.parameter.is_empty()
    }

    /// # Errors
    /// `InvalidConfig` with every parameter that the template does not have or whose value it refuses.
    fn checked_parameters(&self) -> Result<impl Iterator<Item = (&String, &String)>> {
        let check = |(name, value): &(String, String)| parameters::find(name)?.check(value);
        let problems: Vec<String> = self.parameter.iter().filter_map(|given| check(given).err()).collect();
        if problems.is_empty() {
            return Ok(self.parameter.iter().map(|(name, value)| (name, value)));
        }
        Err(ErrorName::InvalidConfig.error(format!("--parameter: {}", problems.join("; --parameter: "))))
    }

    /// The settings, with those that have an option of their own.
    fn replace(&self, variables: Variables) -> Variables {
        self.options().fold(variables, |variables, (name, value)| variables.with(name, &value))
    }

    /// The settings that have an option of their own, if it is given.
    fn options(&self) -> impl Iterator<Item = (&'static str, String)> {
        let Self { host, port, user, location, trusted_host_keys, secret_id, .. } = self;
        let options = [
            ("SFTP_HOST", host.clone()),
            ("SFTP_PORT", port.map(|port| port.to_string())),
            ("SFTP_USER", user.clone()),
            ("SFTP_LOCATION", location.clone()),
            ("SFTP_TRUSTED_HOST_KEYS", trusted_host_keys.clone()),
            ("SFTP_SECRET_ID", secret_id.clone()),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// The parameters that are set here, even to nothing.
    fn given(&self) -> BTreeSet<String> {
        let options = self.options().filter_map(|(setting, _)| parameter_of(setting)).map(str::to_owned);
        self.parameter.iter().map(|(name, _)| name.clone()).chain(options).collect()
    }
}

/// The parameter of the stack that stands for a setting.
fn parameter_of(setting: &str) -> Option<&'static str> {
    let setting = SETTINGS.iter().find(|it| it.name == setting)?;
    setting.parameter().filter(|it| parameters::setting(it).is_some())
}

/// The value may be a secret that was pasted by mistake, and clap repeats only the argument.
fn parse_parameter(text: &str) -> std::result::Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as KeyPrefix=acme/")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    real(one).is_some_and(|one| real(other) == Some(one))
}

fn is_set(variables: &Variables, name: &str) -> bool {
    variables.set().iter().any(|(set, _)| *set == name)
}

/// What to do if no place of the credential is set.
enum Missing {
    /// It is a mistake.
    IsWrong,
    /// The checks that need no credential are run.
    IsMadeUp,
}

/// Parses the settings as `deliver` does, except for those that the checks do not need.
fn parse(variables: &Variables, credential: Missing) -> Result<Settings> {
    let mut variables = variables.clone();
    if !is_set(&variables, "SFTP_TRUSTED_HOST_KEYS") {
        variables = variables.with("SFTP_TRUSTED_HOST_KEYS", NO_HOST_KEY);
    }
    let is_placed = is_set(&variables, "SFTP_SECRET_ID") || is_set(&variables, "SFTP_S3_SSH_KEY");
    if let Missing::IsMadeUp = credential
        && !is_placed
    {
        variables = variables.with("SFTP_SECRET_ID", MISSING);
    }
    Settings::parse(&variables)
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    pub(crate) fn configuration(variables: &[(&str, &str)], line: &[&str]) -> Result<Configuration> {
        let arguments = Line::parse_from([&["doctor"], line].concat()).arguments;
        Configuration::new(variables.iter().copied().collect(), &arguments)
    }

    #[test]
    fn the_command_line_stands_in_for_settings() {
        let line = ["--host", "h", "--port", "2222", "--user", "u", "--key-file", "k", "--location", "in"];
        let configuration = configuration(&[("SFTP_HOST", "other")], &line).unwrap();
        let Settings { host, port, user, location, .. } = &configuration.settings;
        assert_eq!((host.as_str(), *port, user.as_deref(), location.as_str()), ("h", 2222, Some("u"), "in"));
        assert!(!configuration.is_pinned);
        assert_eq!((configuration.value("SFTP_HOST"), configuration.value("SFTP_PROOF")), ("h", "auto"));
        assert_eq!(configuration.value("SFTP_SECRET_ID"), "", "what is missing is not made up");
    }

    #[test]
    fn an_example_is_a_key_that_is_delivered() {
        let variables = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_STRIP_PREFIX", "out/")];
        for (object_key, is_taken) in [("out/a.csv", true), ("a.csv", false), ("out/../a", false)] {
            let line = ["--object-key", object_key];
            assert_eq!(configuration(&variables, &line).is_ok(), is_taken, "{object_key}");
        }
    }

    #[test]
    fn what_the_command_line_sets_is_known_even_if_it_is_a_default() {
        let line =
            ["--port", "22", "--user", "", "--parameter", "SftpProof=auto", "--parameter", "KeyPrefix="];
        let configuration = configuration(&[("SFTP_HOST", "h"), ("SFTP_LOCATION", "in")], &line).unwrap();
        let given: Vec<&str> = configuration.given().iter().map(String::as_str).collect();
        assert_eq!(given, ["KeyPrefix", "SftpPort", "SftpProof", "SftpUser"]);
    }

    #[test]
    fn the_other_direction_is_checked_with_its_own_settings() {
        let variables = [("SFTP_HOST", "h"), ("SFTP_LOCATION", "in"), ("COLLECT_DIRECTORY", "out")];
        assert!(configuration(&variables, &[]).unwrap().collecting.is_none());
        let collecting = configuration(&variables, &["--collect"]).unwrap().collecting.unwrap();
        assert_eq!((collecting.settings.directory.as_str(), collecting.names_bucket), ("out", false));
        let line = ["--collect", "--collect-probe", "a/b c.csv", "--parameter", "CollectBucket=bucket"];
        let collecting = configuration(&variables, &line).unwrap().collecting.unwrap();
        assert!(collecting.names_bucket && collecting.probe.as_deref() == Some("a/b c.csv"));
        for probe in ["../a", "/a", "a//b", ""] {
            assert!(configuration(&variables, &["--collect", "--collect-probe", probe]).is_err(), "{probe}");
        }
        let wrong = [("SFTP_HOST", "h"), ("COLLECT_AFTERWARDS", "burn")];
        let error = configuration(&wrong, &["--collect"]).err().unwrap();
        assert!(error.message().contains("COLLECT_AFTERWARDS"), "{error}");
    }

    #[test]
    fn story_125_a_missing_credential_is_no_wrong_setting_unless_another_is() {
        let configuration = configuration(&[("SFTP_HOST", "h")], &[]).unwrap();
        assert!(!configuration.names_credential);
        assert_eq!(configuration.value("SFTP_SECRET_ID"), "", "what is missing is not made up");
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let error = configuration(&[("SFTP_PORT", "0"), ("SFTP_PROOF", "maybe")], &[]).err().unwrap();
        assert_eq!(error.name, ErrorName::InvalidConfig);
        for name in ["SFTP_HOST", "SFTP_PORT", "SFTP_PROOF", "SFTP_SECRET_ID"] {
            assert!(error.message().contains(name), "{error}");
        }
    }
}
