//! Logging in: which methods are tried, in which order, and when to stop.

use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, signature};
use russh::{MethodKind, MethodSet, SendError};
use secrecy::ExposeSecret;
use terms::{ErrorKind, Method};

use crate::error::{ConnectError, Error, Remedy, Result};
use crate::options::{Endpoint, Options};
use crate::ssh::connection::{Connection, Facts, Handler};
use crate::ssh::login::Login;
use crate::ssh::questions::{self, Question};
use crate::words::late;

/// The server's answer to a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodOutcome {
    /// The user is logged in.
    Accepted,
    /// The secret is right, and the server asks for another method as well (partial success).
    PartialSuccess,
    /// The secret is wrong.
    Refused,
    /// The server does not accept the method, or not at this point. It counts as a failed attempt.
    NotAllowed,
}

impl MethodOutcome {
    /// Whether it counts as a failed attempt.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::NotAllowed)
    }

    fn of(method: Method, remaining: &MethodSet, partial_success: bool) -> Self {
        if partial_success {
            Self::PartialSuccess
        } else if remaining.contains(&kind(method)) {
            Self::Refused
        } else {
            Self::NotAllowed
        }
    }
}

/// Maximum number of refused methods for each login. Servers lock accounts for failed attempts.
const REFUSALS_MAX: usize = 2;

/// A server that sends something after a password, but no answer within this time, asks for a new password (RFC 4252,
/// section 8: SSH_MSG_USERAUTH_PASSWD_CHANGEREQ). russh 0.65 reads that message and drops it; see decision 0014.
const UNANSWERED_MAX: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(100);

/// Logs in. Of the permitted methods, those that the server allows are tried, until two of them are refused. If the
/// server asks for several methods one after the other (partial success), it gets them.
pub(crate) async fn authenticate(
    connection: &mut Connection,
    endpoint: &Endpoint,
    login: &Login,
    options: &Options,
) -> Result<()> {
    authenticate_noting(connection, endpoint, login, options, |_, _| {}).await
}

/// As [`authenticate`]. `note` is called with the server's answer to each method, also if the login fails later.
pub(crate) async fn authenticate_noting(
    connection: &mut Connection,
    endpoint: &Endpoint,
    login: &Login,
    options: &Options,
    mut note: impl FnMut(Method, MethodOutcome),
) -> Result<()> {
    let mut attempts = Attempts::new(connection, endpoint, login, options);
    let mut left: Vec<Method> = login.usable().collect();
    let mut offered: Option<MethodSet> = None;
    let mut refusals = 0;
    while refusals < REFUSALS_MAX {
        let is_offered =
            |method: &&Method| offered.as_ref().is_none_or(|offered| offered.contains(&kind(**method)));
        let Some(&method) = left.iter().find(is_offered) else { break };
        let result = attempts.attempt(method).await.inspect_err(|error| {
            if error.kind() == ErrorKind::AuthenticationRejected {
                note(method, MethodOutcome::Refused);
            }
        });
        let AuthResult::Failure { remaining_methods, partial_success } = result? else {
            note(method, MethodOutcome::Accepted);
            return Ok(());
        };
        let outcome = MethodOutcome::of(method, &remaining_methods, partial_success);
        note(method, outcome);
        refusals += usize::from(outcome.is_refusal());
        // A method that is not allowed now was not checked, and may be allowed later.
        if outcome != MethodOutcome::NotAllowed {
            left.retain(|other| !is_spent(*other, method, partial_success));
        }
        offered = Some(remaining_methods);
    }
    Err(attempts.rejected(offered.as_ref()))
}

/// Whether a method is not worth trying after this one. A refused password is not tried again as the answer to a
/// question.
fn is_spent(other: Method, tried: Method, partial_success: bool) -> bool {
    let is_password = |method: Method| method != Method::PublicKey;
    other == tried || !partial_success && is_password(tried) && is_password(other)
}

/// The error of a login that reached its time limit.
pub(crate) fn not_logged_in(endpoint: &Endpoint, options: &Options) -> Error {
    ErrorKind::ConnectFailed
        .error(format!("logging in to {endpoint}: {}", late(options.login_timeout)))
        .into()
}

fn kind(method: Method) -> MethodKind {
    match method {
        Method::PublicKey => MethodKind::PublicKey,
        Method::Password => MethodKind::Password,
        Method::KeyboardInteractive => MethodKind::KeyboardInteractive,
    }
}

struct Attempts<'a> {
    ssh: &'a mut Handle<Handler>,
    facts: &'a Facts,
    endpoint: &'a Endpoint,
    login: &'a Login,
    /// Whether an RSA key may sign with SHA-1.
    permits_sha1: bool,
    /// Time limit for a server that neither accepts nor refuses a password.
    patience: Duration,
    /// The attempts so far, for error messages.
    tried: Vec<String>,
    /// What may help if the server refuses.
    remedy: Option<Remedy>,
}

impl<'a> Attempts<'a> {
    fn new(
        connection: &'a mut Connection,
        endpoint: &'a Endpoint,
        login: &'a Login,
        options: &Options,
    ) -> Self {
        let Connection { ssh, facts } = connection;
        Self {
            ssh,
            facts,
            endpoint,
            login,
            permits_sha1: options.algorithms.host_keys.contains(&"ssh-rsa"),
            patience: UNANSWERED_MAX.min(options.login_timeout / 2),
            tried: Vec::new(),
            remedy: None,
        }
    }

    async fn attempt(&mut self, method: Method) -> Result<AuthResult> {
        let result = match method {
            Method::PublicKey => self.public_key().await,
            Method::Password => self.password().await,
            Method::KeyboardInteractive => self.keyboard_interactive().await,
        }?;
        if let AuthResult::Failure { remaining_methods, .. } = &result
            && remaining_methods.is_empty()
        {
            self.check_connected()?;
        }
        Ok(result)
    }

    /// russh also reports a failure for a connection that has ended. If the server disconnects because of the login, it
    /// has refused it. Any other end is a lost connection, and says nothing about the credential.
    fn check_connected(&self) -> Result<()> {
        if self.facts.is_dismissed() || !self.ssh.is_closed() {
            return Ok(());
        }
        Err(self.failed(&"the connection was lost"))
    }

    /// How the connection ended says more than `problem`.
    fn failed(&self, problem: &dyn std::fmt::Display) -> Error {
        let words = self.facts.condition.ended().unwrap_or_else(|| problem.to_string());
        let words = self.login.without_password(&words);
        ErrorKind::ConnectFailed.error(format!("logging in to {}: {words}", self.endpoint)).into()
    }

    async fn public_key(&mut self) -> Result<AuthResult> {
        let Some(key) = &self.login.private_key else { return Ok(no_secret()) };
        let certificate = self.login.certificate.as_ref();
        let with = certificate.map_or_else(String::new, |certificate| format!(" with {certificate}"));
        self.tried.push(format!("the public key {} {}{with}", key.algorithm(), key.fingerprint()));
        let hash = if key.key().algorithm().is_rsa() { self.rsa_hash().await? } else { None };
        let user_name = &self.login.user_name;
        let key = PrivateKeyWithHashAlg::new(key.key(), hash);
        match certificate {
            None => {
                let result = self.ssh.authenticate_publickey(user_name, key).await;
                result.map_err(|error| self.failed(&error))
            }
            Some(certificate) => {
                let certificate = certificate.certificate().clone();
                let mut signer = Signer(key);
                let result =
                    self.ssh.authenticate_certificate_with(user_name, certificate, hash, &mut signer).await;
                result.map_err(|Unsigned| self.failed(&"the certificate could not be used"))
            }
        }
    }

    /// The hash with which an RSA key signs. The server is asked for it: trying one hash after the other would count as
    /// three failures.
    async fn rsa_hash(&mut self) -> Result<Option<HashAlg>> {
        let announced = self.ssh.best_supported_rsa_hash().await.map_err(|error| self.failed(&error))?;
        match announced {
            Some(Some(hash)) => Ok(Some(hash)),
            // The server announced `ssh-rsa`, and neither of the other two.
            Some(None) if !self.permits_sha1 => {
                let error = ErrorKind::NoCommonAlgorithm.error(format!(
                    "{} and we share no signature of RSA keys: ours are rsa-sha2-512 rsa-sha2-256; theirs are ssh-rsa, \
                     which is SHA-1",
                    self.endpoint
                ));
                Err(ConnectError::with_remedy(error, Remedy::Sha1))
            }
            // A server that announces nothing is old, or supports the newer hashes nevertheless.
            Some(None) | None => {
                self.remedy = (!self.permits_sha1).then_some(Remedy::PerhapsSha1);
                Ok(Some(HashAlg::Sha256).filter(|_| !self.permits_sha1))
            }
        }
    }

    async fn password(&mut self) -> Result<AuthResult> {
        let Some(password) = &self.login.password else { return Ok(no_secret()) };
        self.tried.push("a password".into());
        let asking = self.ssh.authenticate_password(&self.login.user_name, password.expose_secret());
        let result = tokio::select! {
            biased;
            result = asking => result,
            () = left_unanswered(self.facts, self.patience) => return Err(self.expired(
                "the server neither accepts nor refuses the password",
            )),
        };
        result.map_err(|error| self.failed(&error))
    }

    async fn keyboard_interactive(&mut self) -> Result<AuthResult> {
        use KeyboardInteractiveAuthResponse::{Failure, InfoRequest, Success};
        let Some(password) = &self.login.password else { return Ok(no_secret()) };
        self.tried.push("the password, keyboard-interactive".into());
        let user_name = &self.login.user_name;
        let response = self.ssh.authenticate_keyboard_interactive_start(user_name, None::<String>).await;
        let mut response = response.map_err(|error| self.failed(&error))?;
        let mut has_answered = false;
        loop {
            let (instructions, prompts) = match response {
                Success => return Ok(AuthResult::Success),
                Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                InfoRequest { instructions, prompts, .. } => (instructions, prompts),
            };
            let asked = self.login.without_password(&questions::words(&instructions, &prompts));
            let answers = match questions::question(&prompts, user_name) {
                // An empty request is answered with an empty answer (RFC 4256, section 3.4).
                Question::None => Vec::new(),
                Question::Password if !has_answered => {
                    has_answered = true;
                    vec![password.expose_secret().to_owned()]
                }
                // The password was wrong, or is not enough. A second try would count as another failure.
                Question::Password => return Err(self.asked(&asked, "although it has the password")),
                Question::NewPassword => return Err(self.expired(&format!("the server asks {asked}"))),
                Question::Other => {
                    return Err(
                        self.asked(&asked, "and only a single hidden question for the password is answered")
                    );
                }
            };
            let next = self.ssh.authenticate_keyboard_interactive_respond(answers).await;
            response = next.map_err(|error| self.failed(&error))?;
        }
    }

    /// The question is not answered. The login ends here, since russh would wait for the answers.
    fn asked(&self, asked: &str, remark: &str) -> Error {
        ErrorKind::AuthenticationRejected
            .error(format!(
                "{} asks the user {:?} {asked}, {remark}. Tried so far: {}",
                self.endpoint,
                self.login.user_name,
                self.tried.join(", then ")
            ))
            .into()
    }

    fn expired(&self, evidence: &str) -> Error {
        ErrorKind::AuthenticationRejected
            .error(format!(
                "{} did not let the user {:?} in with a password: {evidence}. The password has most likely expired: \
                 change it with the partner, and store the new one",
                self.endpoint, self.login.user_name
            ))
            .into()
    }

    fn rejected(&self, offered: Option<&MethodSet>) -> Error {
        let tried = if self.tried.is_empty() { self.nothing_to_try() } else { self.tried.join(", then ") };
        let offered: Vec<&str> =
            offered.into_iter().flat_map(|offered| offered.iter()).map(<&str>::from).collect();
        let offered = if offered.is_empty() { "nothing".into() } else { offered.join(", ") };
        let farewell = self.facts.condition.ended().filter(|_| self.facts.is_dismissed());
        let farewell = farewell.map(|words| format!("; {}", self.login.without_password(&words)));
        let error = ErrorKind::AuthenticationRejected.error(format!(
            "{} refused the user {:?} with {tried}; it still offers {offered}{}",
            self.endpoint,
            self.login.user_name,
            farewell.unwrap_or_default()
        ));
        ConnectError { error, remedy: self.remedy }.into()
    }

    fn nothing_to_try(&self) -> String {
        let has = match (&self.login.private_key, &self.login.password) {
            (None, None) => "no private key, no password",
            (Some(_), None) => "a private key alone",
            (None, Some(_)) => "a password alone",
            (Some(_), Some(_)) => "a private key and a password",
        };
        format!("nothing (the credential has {has}, permitted are {})", self.login.methods)
    }
}

/// Returns once the server has sent something, and then no answer within `patience`.
async fn left_unanswered(facts: &Facts, patience: Duration) {
    let mut unanswered = Duration::ZERO;
    while unanswered < patience {
        tokio::time::sleep(TICK).await;
        unanswered = if facts.condition.has_last_word() { unanswered + TICK } else { Duration::ZERO };
    }
}

/// Unreachable: a method without its secret is not usable.
fn no_secret() -> AuthResult {
    AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false }
}

/// Signs for a certificate. russh itself would sign with SHA-1 for an RSA key.
struct Signer(PrivateKeyWithHashAlg);

struct Unsigned;

impl From<SendError> for Unsigned {
    fn from(_: SendError) -> Self {
        Self
    }
}

impl russh::Signer for Signer {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> std::result::Result<Vec<u8>, Unsigned> {
        use russh::keys::ssh_key::private::KeypairData;
        let signed = match self.0.key_data() {
            KeypairData::Rsa(pair) => signature::Signer::try_sign(&(pair, hash), &to_sign),
            pair => signature::Signer::try_sign(pair, &to_sign),
        };
        let signed = signed.map_err(|_| Unsigned)?;
        // The signature follows the signed data: string of (string algorithm, string signature).
        let (algorithm, bytes) = (signed.algorithm(), signed.as_bytes());
        let algorithm = algorithm.as_str().as_bytes();
        let length = algorithm.len() + bytes.len() + 8;
        to_sign.extend((length as u32).to_be_bytes());
        for string in [algorithm, bytes] {
            to_sign.extend((string.len() as u32).to_be_bytes());
            to_sign.extend(string);
        }
        Ok(to_sign)
    }
}
