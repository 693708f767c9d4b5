//! The host key, the algorithms, and logging in: with no more than two refused attempts, whatever is wrong.

use std::sync::Arc;
use std::time::Instant;

use bridge::{Error, ErrorName, Method, Methods, Preset, TrustedHostKeys};
use partner::with_setting;
use sftp::probe::{self, Attempted, HostKey, Negotiated, Offer};
use sftp::{Endpoint, Login, MethodOutcome, Options, Session};

use super::network::{LONG_PAUSE, pause};
use super::{Doctor, Step, Stopped};

/// Refused attempts count, on many servers, towards locking the account or our address.
const REFUSED_MAX: u32 = 2;

const ALGORITHMS: &str = "SFTP_ALGORITHMS";

impl Doctor {
    /// Logs in as `deliver` does.
    pub(super) async fn log_in(&mut self) -> Step {
        let Some(login) = self.credential.clone() else {
            let user_name = self.configuration.settings.user.clone();
            self.greet(user_name.as_deref()).await?;
            self.say_greeting();
            return Err(Stopped);
        };
        self.greet(Some(&login.user_name)).await?;
        let offered = self.offered_methods();
        let mut outcome = self.enter(&login).await;
        if let Err(error) = &outcome
            && error.name == ErrorName::NoCommonAlgorithm
            && self.allow_sha1(error)
        {
            outcome = self.enter(&login).await;
        }
        match outcome {
            Ok(session) => {
                self.say_host_key(session.host_key());
                self.say_algorithms(session.negotiated());
                let found = format!("logged in as {:?}; {offered}", login.user_name);
                self.report.ok("authentication", found);
                self.findings.signs_with_sha1 = Some(self.may_sign_with_sha1(&login));
                self.session = Some(Arc::new(session));
                Ok(())
            }
            Err(error) if error.name == ErrorName::AuthenticationRejected => {
                self.say_greeting();
                let found = format!("{}; {offered}", error.message());
                let hint = self.explain_refusal(&login);
                self.report.fail("authentication", found, hint);
                Err(Stopped)
            }
            Err(error) => {
                if error.name == ErrorName::ConnectFailed {
                    self.say_greeting();
                }
                self.stop("authentication", &error)
            }
        }
    }

    /// Where nobody was logged in, the host key has been checked all the same.
    fn say_greeting(&mut self) {
        if let Some(greeting) = self.greeting.take() {
            self.say_host_key(&greeting.host_key);
            self.say_algorithms(&greeting.negotiated);
        }
    }

    /// Where there are several methods, what the server says to each is found out first, and later connections show it
    /// only what it took: each refusal is made once.
    async fn enter(&mut self, login: &Login) -> Result<Session, Error> {
        let login = match login.usable().count() {
            0 | 1 => login.clone(),
            _ => self.try_methods(login).await?,
        };
        let session = self.connect(&login).await?;
        self.login = Some(login);
        Ok(session)
    }

    /// Tries them as a delivery does. Returns the login with those that the server took.
    async fn try_methods(&mut self, login: &Login) -> Result<Login, Error> {
        let target = self.target();
        // Before a method is tried, nothing can be refused.
        let attempted = self.patiently(0, async || target.log_in(login).await).await?;
        self.count(&attempted);
        let Attempted { answers, problem } = attempted;
        let taken = answers.iter().filter(|(_, answer)| !answer.is_refusal());
        let taken: Vec<&str> = taken.map(|(method, _)| method.as_str()).collect();
        let methods = Methods::parse(&taken.join(","));
        self.answers = answers;
        match (problem, methods) {
            (Some(problem), _) => Err(with_setting(problem)),
            (None, methods) => {
                Ok(Login { methods: methods.unwrap_or_else(|_| login.methods.clone()), ..login.clone() })
            }
        }
    }

    fn count(&mut self, attempted: &Attempted) {
        let refusals = attempted.answers.iter().filter(|(_, answer)| answer.is_refusal()).count();
        let problem = attempted.problem.as_ref();
        // A connection that broke off may have been a refused attempt, too.
        let may_be_one = problem.is_some_and(|problem| problem.name() == ErrorName::ConnectFailed);
        self.refused += refusals as u32 + u32::from(may_be_one);
    }

    /// The host key is checked here, and algorithms are agreed on: as it is set, and once more with what would help, so
    /// that the rest can be checked in the same run.
    async fn greet(&mut self, user_name: Option<&str>) -> Step {
        loop {
            let (endpoint, options) = (self.configuration.endpoint(), self.configuration.options());
            let trusted = self.configuration.settings.trusted_host_keys.clone();
            pause().await;
            let error = match probe::greet(&endpoint, user_name, &trusted, &options).await {
                Ok(greeting) => {
                    self.findings.methods = greeting.methods.clone();
                    self.greeting = Some(greeting);
                    return Ok(());
                }
                Err(error) => with_setting(error),
            };
            match error.name {
                ErrorName::HostKeyMismatch => {
                    let presented = self.presented().await;
                    let hint = "do not simply replace the pinned key: another server may be answering. Ask the partner by another way (its documentation, a signed mail, a phone call) whether its host key has changed; if so, pin the new line beside the old one";
                    self.report.fail("host-key", format!("{}.\n{presented}", error.message()), hint);
                    return Err(Stopped);
                }
                ErrorName::NoCommonAlgorithm if self.allow_old_algorithms(&error) => {}
                // It may let us log in without having told how.
                ErrorName::ConnectFailed if self.credential.is_some() => return Ok(()),
                _ => return self.stop("algorithms", &error),
            }
        }
    }

    fn allow_old_algorithms(&mut self, error: &Error) -> bool {
        let preset = match self.findings.offer.as_ref().map(Offer::preset) {
            Some(None) => return false,
            Some(Some(preset)) => preset,
            None => Preset::Legacy,
        };
        let renewal = match preset {
            Preset::Modern => "",
            Preset::Legacy => ", and ask the partner when the server will be renewed",
        };
        let preset = preset.as_str();
        let hint = format!("set SFTP_ALGORITHMS={preset}{renewal}. The rest is checked with it");
        self.change_algorithms(preset, "the server has nothing else in common with us", error, hint)
    }

    /// For a server that takes an RSA key's signature in no other form.
    fn allow_sha1(&mut self, error: &Error) -> bool {
        let value = format!("{},+ssh-rsa", self.configuration.value(ALGORITHMS));
        let hint = format!(
            "set SFTP_ALGORITHMS={value}, or take a key of another type (Ed25519), whose public half the partner installs. The rest is checked with it"
        );
        self.change_algorithms(&value, "the server takes an RSA key's signature with SHA-1 only", error, hint)
    }

    fn change_algorithms(&mut self, value: &str, why: &str, error: &Error, hint: String) -> bool {
        if self.configuration.value(ALGORITHMS) == value
            || self.configuration.change(ALGORITHMS, value, why).is_err()
        {
            return false;
        }
        self.report.fail("algorithms", error.message(), hint);
        true
    }

    /// Whether the private key may have signed with SHA-1.
    fn may_sign_with_sha1(&self, login: &Login) -> bool {
        let is_rsa = login.private_key.as_ref().is_some_and(|key| key.algorithm().contains("rsa"));
        is_rsa && self.configuration.settings.login.algorithms.host_keys.contains(&"ssh-rsa")
    }

    fn say_host_key(&mut self, key: &HostKey) {
        self.findings.host_key = Some(key.public_key.clone());
        if self.report.says("host-key") {
            return;
        }
        self.report.ok("host-key", format!("pinned: {} {}", key.key_type, key.fingerprint));
    }

    fn say_algorithms(&mut self, negotiated: &Negotiated) {
        let Negotiated { key_exchange, host_key, cipher, mac, identification } = negotiated;
        self.findings.software = Some(identification.clone());
        self.findings.key_exchange = Some(key_exchange.clone());
        self.findings.cipher = Some(cipher.clone());
        let mac = mac.as_deref();
        let words = [Some(key_exchange.as_str()), Some(host_key), Some(cipher), mac].into_iter().flatten();
        let words: Vec<&str> = words.collect();
        let old: Vec<&str> = words.iter().copied().filter(|name| is_old(name)).collect();
        self.findings.legacy = Some(!old.is_empty());
        if self.report.says("algorithms") {
            return;
        }
        if old.is_empty() {
            self.report.ok("algorithms", words.join(", "));
        } else {
            let hint =
                format!("{} are weak: ask the partner when the server will be renewed", old.join(", "));
            self.report.warn("algorithms", words.join(", "), hint);
        }
    }

    fn offered_methods(&self) -> String {
        match self.findings.methods.is_empty() {
            true => "the server does not say what it offers".into(),
            false => format!("the server offers {}", self.findings.methods.join(", ")),
        }
    }

    /// Connects with this login.
    pub(super) async fn connect(&mut self, login: &Login) -> Result<Session, Error> {
        let target = self.target();
        let connecting = async || {
            let started = Instant::now();
            target.connect(login).await.map(|session| (session, started.elapsed()))
        };
        let (session, took) = self.patiently(self.cost(login), connecting).await?;
        self.findings.connect.get_or_insert(took);
        Ok(session)
    }

    fn target(&self) -> Target {
        let trusted = self.configuration.settings.trusted_host_keys.clone();
        Target { endpoint: self.configuration.endpoint(), trusted, options: self.configuration.options() }
    }

    /// Once more where the server has not yet seen our last connection end. An attempt that fails may have `cost` so many
    /// refusals.
    async fn patiently<T>(
        &mut self,
        cost: u32,
        attempt: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        pause().await;
        let outcome = self.attempt(cost, &attempt).await;
        let failed = outcome.as_ref().is_err_and(|error| error.name == ErrorName::ConnectFailed);
        if !failed || self.refused + cost > REFUSED_MAX {
            return outcome;
        }
        tokio::time::sleep(LONG_PAUSE).await;
        self.attempt(cost, &attempt).await
    }

    async fn attempt<T>(
        &mut self,
        cost: u32,
        attempt: &impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let outcome = attempt().await;
        if let Err(error) = &outcome {
            // These come before anything was shown. A connection that broke off may have been a refused attempt.
            let is_harmless = matches!(error.name, ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm);
            self.refused += if is_harmless { 0 } else { cost };
        }
        outcome
    }

    /// How many attempts a refused log-in has taken, at most: a password is not sent again as the answer to a question.
    pub(super) fn cost(&self, login: &Login) -> u32 {
        let methods: Vec<Method> = login.usable().collect();
        let by_key = methods.contains(&Method::PublicKey);
        u32::from(by_key) + u32::from(methods.iter().any(|method| *method != Method::PublicKey))
    }

    pub(super) fn may_be_refused(&self, login: &Login) -> bool {
        self.refused + self.cost(login) <= REFUSED_MAX
    }

    /// What to do about a refused log-in.
    fn explain_refusal(&self, login: &Login) -> String {
        let offers = |method: &str| self.findings.methods.iter().any(|offered| offered == method);
        let Login { user_name, private_key, .. } = login;
        let Some(private_key) = private_key else {
            return match offers("password") || offers("keyboard-interactive") {
                true => format!("check the user name {user_name:?} and the password with the partner"),
                false => "the server takes no passwords: the credential needs a private key, whose public key the partner installs".into(),
            };
        };
        let public_key = private_key.public_key();
        let mut hint = format!(
            "check the user name {user_name:?} with the partner, and that this public key is installed for it:\n{public_key}"
        );
        if !self.findings.methods.is_empty() && !offers("publickey") {
            hint = "the server takes no public keys from this user: ask the partner to allow them, or for a password".into();
        } else if private_key.algorithm().contains("rsa") && !self.may_sign_with_sha1(login) {
            hint.push_str("\nA server from before 2016 may take an RSA key's signature with SHA-1 only: for it, put +ssh-rsa behind SFTP_ALGORITHMS");
        }
        hint
    }

    /// What the server says to each method, whether the settings permit it or not. Only once all else is checked.
    pub(super) async fn examine_methods(&mut self) {
        let Some(login) = self.credential.clone() else { return };
        let (mut words, mut alone) = (Vec::new(), Vec::new());
        for method in Methods::default().iter() {
            let found = self.examine_method(&login, method, &mut alone).await;
            words.push(format!("{}: {found}", method.as_str()));
        }
        let found = words.join("; ");
        let named = |is_meant: fn(MethodOutcome) -> bool| {
            let named = self.answers.iter().filter(|(_, answer)| is_meant(*answer));
            named.map(|(method, _)| method.as_str()).collect::<Vec<_>>().join(",")
        };
        let (refused, taken) = (named(MethodOutcome::is_refusal), named(|answer| !answer.is_refusal()));
        match refused.is_empty() {
            true => self.report.ok("methods", found),
            false => self.report.warn(
                "methods",
                found,
                format!(
                    "{refused} is refused at every log-in before {taken} is accepted, and servers lock accounts for refused attempts: set SFTP_AUTHENTICATION={taken}, or correct the credential"
                ),
            ),
        }
    }

    /// In words; it is tried alone, if the server has not been asked yet and no promise forbids it. `alone` has the answers
    /// to those that were.
    async fn examine_method(
        &mut self,
        login: &Login,
        method: Method,
        alone: &mut Vec<(Method, MethodOutcome)>,
    ) -> String {
        let offered = &self.findings.methods;
        let is_offered = offered.is_empty() || offered.iter().any(|offered| offered == method.as_str());
        let is_password = |method: Method| method != Method::PublicKey;
        if !login.methods.iter().any(|permitted| permitted == method) {
            return "not tried, SFTP_AUTHENTICATION does not permit it".into();
        }
        if !login.usable().any(|usable| usable == method) {
            let what = if is_password(method) { "password" } else { "private key" };
            return format!("not tried, the credential has no {what}");
        }
        if login.usable().count() == 1 {
            return "accepted".into();
        }
        let is_one_of_several =
            self.answers.iter().any(|(_, answer)| *answer == MethodOutcome::PartialSuccess);
        let answer = self.answers.iter().rev().find(|(tried, _)| *tried == method);
        if let Some((_, answer)) = answer {
            return match (answer, is_one_of_several) {
                (MethodOutcome::Accepted, true) => "accepted, after the other".into(),
                (answer, _) => in_words(*answer).into(),
            };
        }
        if is_one_of_several {
            return "not tried, the server asked for others".into();
        }
        if !is_offered {
            return "not tried, the server does not offer it".into();
        }
        let is_same_password = |(tried, answer): &(Method, MethodOutcome)| {
            is_password(*tried) && *answer == MethodOutcome::Refused
        };
        if is_password(method) && self.answers.iter().chain(&*alone).any(is_same_password) {
            return "not tried, the server has refused the password".into();
        }
        if self.refused >= REFUSED_MAX {
            return format!("not tried, no more than {REFUSED_MAX} attempts are to be refused");
        }
        let (only, target) = (Login { methods: method.into(), ..login.clone() }, self.target());
        match self.patiently(0, async || target.log_in(&only).await).await {
            Ok(attempted) => {
                self.count(&attempted);
                alone.extend(attempted.answers.last().copied());
                match (attempted.answers.last(), attempted.problem) {
                    (Some((_, answer)), _) => in_words(*answer).into(),
                    (None, Some(problem)) => {
                        format!("could not be tried, {}", with_setting(problem).message())
                    }
                    (None, None) => "could not be tried".into(),
                }
            }
            Err(error) => format!("could not be tried, {}", error.message()),
        }
    }

    pub(super) fn stop<T>(&mut self, name: &'static str, error: &Error) -> Step<T> {
        self.report.fail(name, error.message(), error.name.hint_for(bridge::Place::CommandLine));
        Err(Stopped)
    }
}

/// Where to, for one login or another.
struct Target {
    endpoint: Endpoint,
    trusted: TrustedHostKeys,
    options: Options,
}

impl Target {
    async fn connect(&self, login: &Login) -> Result<Session, Error> {
        Session::connect(&self.endpoint, login, &self.trusted, &self.options).await.map_err(with_setting)
    }

    async fn log_in(&self, login: &Login) -> Result<Attempted, Error> {
        probe::log_in(&self.endpoint, login, &self.trusted, &self.options).await.map_err(with_setting)
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

/// What only servers need that nobody should run any more.
fn is_old(name: &str) -> bool {
    let sha1 = name.contains("sha1") && !name.contains("etm");
    sha1 || name.ends_with("-cbc") || matches!(name, "ssh-rsa" | "ssh-dss" | "hmac-md5" | "arcfour")
}
