//! The host key, the algorithms, and logging in: with no more than two refused attempts, whatever is wrong.

use std::sync::Arc;
use std::time::Instant;

use bridge::{Error, ErrorName, Method};
use sftp::probe::{self, HostKey, Negotiated};
use sftp::{Login, Session};

use super::network::{LONG_PAUSE, pause};
use super::{Doctor, Step, Stopped};

/// Refused attempts count, on many servers, towards locking the account or our address.
const REFUSED_MAX: u32 = 2;

impl Doctor {
    /// Logs in as `deliver` does.
    pub(super) async fn log_in(&mut self) -> Step {
        let Some(login) = self.login.clone() else { return Err(Stopped) };
        self.ask_for_methods(&login).await?;
        let offered = self.offered_methods();
        match self.connect(&login).await {
            Ok(session) => {
                self.say_host_key(session.host_key());
                self.say_algorithms(session.negotiated());
                let found = format!("logged in as {:?}; {offered}", login.user_name);
                self.report.ok("authentication", found);
                self.session = Some(Arc::new(session));
                Ok(())
            }
            Err(error) if error.name == ErrorName::AuthenticationRejected => {
                let found = format!("{}; {offered}", error.message());
                let hint = self.explain_refusal(&login);
                self.report.fail("authentication", found, hint);
                Err(Stopped)
            }
            Err(error) => self.stop("authentication", &error),
        }
    }

    /// The host key is checked here, and algorithms are agreed on: as it is set, and once more with what would help, so
    /// that the rest can be checked in the same run.
    async fn ask_for_methods(&mut self, login: &Login) -> Step {
        loop {
            let (endpoint, options) = (self.configuration.endpoint(), self.configuration.options());
            let trusted = self.configuration.settings.trusted_host_keys.clone();
            pause().await;
            let error = match probe::methods(&endpoint, &login.user_name, &trusted, &options).await {
                Ok(methods) => {
                    self.findings.methods = methods;
                    return Ok(());
                }
                Err(error) => Error::from(error),
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
                ErrorName::ConnectFailed => return Ok(()),
                _ => return self.stop("algorithms", &error),
            }
        }
    }

    fn allow_old_algorithms(&mut self, error: &Error) -> bool {
        let name = "SFTP_ALGORITHMS";
        let is_known = bridge::SETTINGS.iter().any(|setting| setting.name == name);
        if !is_known
            || self.configuration.value(name) == "legacy"
            || self.configuration.change(name, "legacy", "the server knows nothing better").is_err()
        {
            return false;
        }
        self.report.fail(
            "algorithms",
            error.message(),
            "set SFTP_ALGORITHMS=legacy, and ask the partner when the server will be renewed. The rest is checked with it",
        );
        true
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

    /// Connects with this login; once more where the server has not yet seen our last connection end.
    pub(super) async fn connect(&mut self, login: &Login) -> Result<Session, Error> {
        let (endpoint, options) = (self.configuration.endpoint(), self.configuration.options());
        let trusted = &self.configuration.settings.trusted_host_keys;
        let mut patience = 1;
        pause().await;
        loop {
            let started = Instant::now();
            let outcome = Session::connect(&endpoint, login, trusted, &options).await.map_err(Error::from);
            if outcome.is_err() {
                // A connection that broke off may have been a refused attempt, too.
                self.refused += self.cost(login);
            }
            match outcome {
                Err(error)
                    if error.name == ErrorName::ConnectFailed
                        && patience > 0
                        && self.may_be_refused(login) =>
                {
                    patience -= 1;
                    tokio::time::sleep(LONG_PAUSE).await;
                }
                outcome => {
                    self.findings.connect.get_or_insert(started.elapsed());
                    return outcome;
                }
            }
        }
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
        }
        hint
    }

    /// Of a credential with a key and a password: whether one of them would do. Only once all else is checked.
    pub(super) async fn examine_methods(&mut self) {
        let Some(login) = self.login.clone() else { return };
        let usable: Vec<Method> = login.usable().collect();
        let password = usable.iter().copied().find(|method| *method != Method::PublicKey);
        let (true, Some(password)) = (usable.contains(&Method::PublicKey), password) else {
            let what =
                if login.usable().any(|it| it == Method::PublicKey) { "private key" } else { "password" };
            return self.report.ok("methods", format!("the credential's {what} is all that there is to try"));
        };
        let (key, by_key) = self.try_alone(&login, Method::PublicKey, "the private key").await;
        // Where both are needed, the server offers no password at first, and one without the key would be refused.
        let offers = |method: Method| self.findings.methods.iter().any(|offered| offered == method.as_str());
        let (password, by_password) = match key == Some(true) || offers(password) {
            true => self.try_alone(&login, password, "the password").await,
            false => (None, "the password alone was not tried".into()),
        };
        let found = format!("{by_key}; {by_password}");
        match (key, password) {
            (Some(false), Some(true)) => self.report.warn(
                "methods",
                found,
                "the private key is refused at every log-in before the password is accepted: take it out of the credential, or set SFTP_AUTHENTICATION=password",
            ),
            _ => self.report.ok("methods", found),
        }
    }

    /// Whether one method of the credential is enough, if that could be told; and in words.
    async fn try_alone(&mut self, login: &Login, method: Method, what: &str) -> (Option<bool>, String) {
        let alone = Login { methods: method.into(), ..login.clone() };
        if !self.may_be_refused(&alone) {
            return (None, format!("{what} alone was not tried"));
        }
        match self.connect(&alone).await {
            Ok(session) => {
                session.disconnect().await;
                (Some(true), format!("{what} alone is accepted"))
            }
            Err(error) if error.name == ErrorName::AuthenticationRejected => {
                (Some(false), format!("{what} alone is refused"))
            }
            Err(error) => (None, format!("{what} alone could not be tried: {}", error.message())),
        }
    }

    pub(super) fn stop<T>(&mut self, name: &'static str, error: &Error) -> Step<T> {
        self.report.fail(name, error.message(), error.name.hint());
        Err(Stopped)
    }
}

/// What only servers need that nobody should run any more.
fn is_old(name: &str) -> bool {
    let sha1 = name.contains("sha1") && !name.contains("etm");
    sha1 || name.ends_with("-cbc") || matches!(name, "ssh-rsa" | "ssh-dss" | "hmac-md5" | "arcfour")
}
