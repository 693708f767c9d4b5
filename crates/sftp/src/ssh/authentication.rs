//! Logging in: which methods are tried, in what order, and when to stop.

use std::time::Duration;

use bridge::{ErrorName, Method, Methods};
use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, signature};
use russh::{MethodKind, MethodSet, SendError};
use secrecy::{ExposeSecret, SecretString};

use crate::error::{ConnectError, Remedy};
use crate::questions::{self, Question};
use crate::session::{Handler, State};
use crate::{Certificate, Endpoint, Error, NamedError, Options, PrivateKey, Result};

/// Who logs in, and with what. Its `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The user.
    pub user_name: String,
    /// For the method `publickey`.
    pub private_key: Option<PrivateKey>,
    /// Shown instead of the bare public key, where there is one.
    pub certificate: Option<Certificate>,
    /// For the methods `password` and `keyboard-interactive`.
    pub password: Option<SecretString>,
    /// The permitted methods, in the order in which they are tried.
    pub methods: Methods,
    /// Whatever tells its owner this login from another one. The server never sees it.
    pub label: Option<String>,
}

impl Login {
    /// From what the credential holds, as text.
    ///
    /// # Errors
    /// `InvalidPrivateKey`.
    pub fn new(
        user_name: String,
        private_key: Option<&SecretString>,
        passphrase: Option<&SecretString>,
        password: Option<SecretString>,
    ) -> std::result::Result<Self, NamedError> {
        let private_key = private_key.map(|text| PrivateKey::parse(text, passphrase)).transpose()?;
        Ok(Self { user_name, private_key, password, ..Self::default() })
    }

    /// With a certificate of the private key's public half.
    ///
    /// # Errors
    /// `InvalidPrivateKey` if it is none, is another key's, or has run out.
    pub fn with_certificate(self, text: Option<&str>) -> std::result::Result<Self, NamedError> {
        let Some(text) = text else { return Ok(self) };
        let certificate = Certificate::parse(text, self.private_key.as_ref())?;
        Ok(Self { certificate: Some(certificate), ..self })
    }

    /// The permitted methods for which something is there, in their order.
    pub fn usable(&self) -> impl Iterator<Item = Method> {
        self.methods.iter().filter(|method| match method {
            Method::PublicKey => self.private_key.is_some(),
            Method::Password | Method::KeyboardInteractive => self.password.is_some(),
        })
    }

    /// A server's words without the password: some repeat what they were given.
    pub(crate) fn without_password(&self, words: &str) -> String {
        let password = self.password.as_ref().map(ExposeSecret::expose_secret);
        let Some(password) = password.filter(|password| !password.is_empty()) else {
            return words.to_owned();
        };
        let escaped = format!("{password:?}");
        words.replace(password, "***").replace(escaped.trim_matches('"'), "***")
    }

    /// Whether both would show the server the same.
    pub fn is_same(&self, other: &Self) -> bool {
        let shown = |login: &Self| {
            let key = login.private_key.as_ref().map(PrivateKey::fingerprint);
            (login.user_name.clone(), key, login.certificate.clone())
        };
        let password = |login: &Self| login.password.as_ref().map(|it| it.expose_secret().to_owned());
        shown(self) == shown(other) && password(self) == password(other)
    }
}

/// What a server says to a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodOutcome {
    /// It lets us in.
    Accepted,
    /// What it was given is right, and it asks for something else as well (partial success).
    PartialSuccess,
    /// What it was given is wrong.
    Refused,
    /// It does not take the method, or not now. In its books that is a refusal, too.
    NotAllowed,
}

impl MethodOutcome {
    /// Whether it counts as a failed attempt.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::NotAllowed)
    }
}

/// Accounts are locked by many of them.
const REFUSALS_MAX: usize = 2;

/// A server that says something after a password, and then gives russh nothing to hand on for this time, wants a new password
/// (RFC 4252, section 8: SSH_MSG_USERAUTH_PASSWD_CHANGEREQ). russh 0.65 reads that message and drops it; see decision
/// 0014.
const UNANSWERED_MAX: Duration = Duration::from_secs(4);
const TICK: Duration = Duration::from_millis(100);

/// Tries the methods that are permitted and that the server, once it has said so, takes, until it has refused two. A
/// server that asks for several of them, one after the other (partial success), gets them.
pub(crate) async fn authenticate(
    ssh: &mut Handle<Handler>,
    state: &State,
    endpoint: &Endpoint,
    login: &Login,
    options: &Options,
) -> Result<()> {
    authenticate_noting(ssh, state, endpoint, login, options, |_, _| {}).await
}

/// The same; `note` hears what the server says to each method, also if it does not come to an end.
pub(crate) async fn authenticate_noting(
    ssh: &mut Handle<Handler>,
    state: &State,
    endpoint: &Endpoint,
    login: &Login,
    options: &Options,
    mut note: impl FnMut(Method, MethodOutcome),
) -> Result<()> {
    let takes_sha1 = options.algorithms.host_keys.contains(&"ssh-rsa");
    let patience = UNANSWERED_MAX.min(options.login_timeout / 2);
    let (tried, remedy) = (Vec::new(), None);
    let mut attempts = Attempts { ssh, state, endpoint, login, takes_sha1, patience, tried, remedy };
    let mut left: Vec<Method> = login.usable().collect();
    let mut offered: Option<MethodSet> = None;
    let mut refusals = 0;
    while refusals < REFUSALS_MAX {
        let is_offered =
            |method: &&Method| offered.as_ref().is_none_or(|offered| offered.contains(&kind(**method)));
        let Some(&method) = left.iter().find(is_offered) else { break };
        let result = attempts.attempt(method).await.inspect_err(|error| {
            if error.name() == ErrorName::AuthenticationRejected {
                note(method, MethodOutcome::Refused);
            }
        });
        let AuthResult::Failure { remaining_methods, partial_success } = result? else {
            note(method, MethodOutcome::Accepted);
            return Ok(());
        };
        let is_taken = remaining_methods.contains(&kind(method));
        let answer = match (partial_success, is_taken) {
            (true, _) => MethodOutcome::PartialSuccess,
            (false, true) => MethodOutcome::Refused,
            (false, false) => MethodOutcome::NotAllowed,
        };
        note(method, answer);
        refusals += usize::from(answer.is_refusal());
        // A server that does not take the method now has not looked at it, and may take it later.
        if answer != MethodOutcome::NotAllowed {
            // A password that was refused is not better for being the answer to a question.
            let is_spent = |other: &Method| {
                let is_password = |method: &Method| *method != Method::PublicKey;
                *other == method || !partial_success && is_password(&method) && is_password(other)
            };
            left.retain(|other| !is_spent(other));
        }
        offered = Some(remaining_methods);
    }
    Err(attempts.rejected(offered.as_ref()))
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
    state: &'a State,
    endpoint: &'a Endpoint,
    login: &'a Login,
    /// Whether an RSA key may sign with SHA-1.
    takes_sha1: bool,
    /// With a server that says something else than yes or no to a password.
    patience: Duration,
    /// In words.
    tried: Vec<String>,
    /// What may help if the server refuses.
    remedy: Option<Remedy>,
}

impl Attempts<'_> {
    async fn attempt(&mut self, method: Method) -> Result<AuthResult> {
        let result = match method {
            Method::PublicKey => self.public_key().await,
            Method::Password => self.password().await,
            Method::KeyboardInteractive => self.keyboard_interactive().await,
        }?;
        match &result {
            AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
                self.hung_up()?;
            }
            _ => {}
        }
        Ok(result)
    }

    /// russh says "failed" of a session that has ended, too. A server that takes its leave because of the login has
    /// refused it; any other end is a lost connection, which says nothing about the credential.
    fn hung_up(&self) -> Result<()> {
        if self.state.is_dismissed() || !self.ssh.is_closed() {
            return Ok(());
        }
        Err(self.failed(&"the connection was lost"))
    }

    /// How the session ended says more than that it has.
    fn failed(&self, problem: &dyn std::fmt::Display) -> Error {
        let words = self.state.lost().unwrap_or_else(|| problem.to_string());
        let words = self.login.without_password(&words);
        ErrorName::ConnectFailed.error(format!("logging in to {}: {words}", self.endpoint)).into()
    }

    async fn public_key(&mut self) -> Result<AuthResult> {
        let Some(key) = &self.login.private_key else { return Ok(nothing()) };
        let certificate = self.login.certificate.as_ref();
        let with = certificate.map_or_else(String::new, |certificate| format!(" with {certificate}"));
        self.tried.push(format!("the public key {} {}{with}", key.algorithm(), key.fingerprint()));
        let hash = match key.key().algorithm().is_rsa() {
            true => self.rsa_hash().await?,
            false => None,
        };
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

    /// Which hash an RSA key signs with. Asked, not tried: one after the other would count as three failures.
    async fn rsa_hash(&mut self) -> Result<Option<HashAlg>> {
        let told = self.ssh.best_supported_rsa_hash().await.map_err(|error| self.failed(&error))?;
        match told {
            Some(Some(hash)) => Ok(Some(hash)),
            // Of all that it may have announced, this says that `ssh-rsa` is there and the others are not.
            Some(None) if !self.takes_sha1 => {
                let error = ErrorName::NoCommonAlgorithm.error(format!(
                    "{} and we share no signature of RSA keys: ours are rsa-sha2-512 rsa-sha2-256; theirs are ssh-rsa, \
                     which is SHA-1",
                    self.endpoint
                ));
                Err(ConnectError::with_remedy(error, Remedy::Sha1))
            }
            // One that tells nothing is old, or knows the newer ones all the same.
            Some(None) | None => {
                self.remedy = (!self.takes_sha1).then_some(Remedy::PerhapsSha1);
                Ok(Some(HashAlg::Sha256).filter(|_| !self.takes_sha1))
            }
        }
    }

    async fn password(&mut self) -> Result<AuthResult> {
        let Some(password) = &self.login.password else { return Ok(nothing()) };
        self.tried.push("a password".into());
        let asking = self.ssh.authenticate_password(&self.login.user_name, password.expose_secret());
        let result = tokio::select! {
            biased;
            result = asking => result,
            () = left_unanswered(self.state, self.patience) => return Err(self.expired(
                "the server says neither yes nor no to the password",
            )),
        };
        result.map_err(|error| self.failed(&error))
    }

    async fn keyboard_interactive(&mut self) -> Result<AuthResult> {
        use KeyboardInteractiveAuthResponse::{Failure, InfoRequest, Success};
        let Some(password) = &self.login.password else { return Ok(nothing()) };
        self.tried.push("the password, keyboard-interactive".into());
        let user_name = &self.login.user_name;
        let answer = self.ssh.authenticate_keyboard_interactive_start(user_name, None::<String>).await;
        let mut answer = answer.map_err(|error| self.failed(&error))?;
        let mut answered = false;
        loop {
            let (instructions, prompts) = match answer {
                Success => return Ok(AuthResult::Success),
                Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                InfoRequest { instructions, prompts, .. } => (instructions, prompts),
            };
            let asked = self.login.without_password(&questions::words(&instructions, &prompts));
            let answers = match questions::question(&prompts, user_name) {
                // An empty request wants an empty answer (RFC 4256, section 3.4).
                Question::None => Vec::new(),
                Question::Password if !answered => {
                    answered = true;
                    vec![password.expose_secret().to_owned()]
                }
                // It was wrong, or is not enough: a second try would count.
                Question::Password => return Err(self.asked(&asked, "although it has the password")),
                Question::NewPassword => return Err(self.expired(&format!("the server asks {asked}"))),
                Question::Other => {
                    return Err(
                        self.asked(&asked, "and only a single hidden question for the password is answered")
                    );
                }
            };
            let next = self.ssh.authenticate_keyboard_interactive_respond(answers).await;
            answer = next.map_err(|error| self.failed(&error))?;
        }
    }

    /// Nothing of what it asks is answered: the method ends here, and so does the login, since russh waits for answers.
    fn asked(&self, asked: &str, remark: &str) -> Error {
        ErrorName::AuthenticationRejected
            .error(format!(
                "{} asks the user {:?} {asked}, {remark}. Tried so far: {}",
                self.endpoint,
                self.login.user_name,
                self.tried.join(", then ")
            ))
            .into()
    }

    fn expired(&self, evidence: &str) -> Error {
        ErrorName::AuthenticationRejected.error(format!(
            "{} did not let the user {:?} in with a password: {evidence}. The password has most likely expired: \
             change it with the partner, and store the new one",
            self.endpoint, self.login.user_name
        ))
        .into()
    }

    fn rejected(&self, offered: Option<&MethodSet>) -> Error {
        let has = match (&self.login.private_key, &self.login.password) {
            (None, None) => "no private key, no password",
            (Some(_), None) => "a private key alone",
            (None, Some(_)) => "a password alone",
            (Some(_), Some(_)) => "a private key and a password",
        };
        let tried = match self.tried.is_empty() {
            false => self.tried.join(", then "),
            true => {
                format!("nothing (the credential has {has}, permitted are {})", self.login.methods)
            }
        };
        let offered = offered.into_iter().flat_map(|offered| offered.iter());
        let offered: Vec<&str> = offered.map(<&str>::from).collect();
        let offered = if offered.is_empty() { "nothing".into() } else { offered.join(", ") };
        let farewell = self.state.lost().filter(|_| self.state.is_dismissed());
        let farewell = farewell.map(|words| format!("; {}", self.login.without_password(&words)));
        let farewell = farewell.unwrap_or_default();
        let error = ErrorName::AuthenticationRejected.error(format!(
            "{} refused the user {:?} with {tried}; it still offers {offered}{farewell}",
            self.endpoint, self.login.user_name,
        ));
        ConnectError { error, remedy: self.remedy }.into()
    }
}

/// Returns once the server has said something and then, for as long as this, nothing that is an answer.
async fn left_unanswered(state: &State, patience: Duration) {
    let mut unanswered = Duration::ZERO;
    while unanswered < patience {
        tokio::time::sleep(TICK).await;
        unanswered = if state.condition.has_last_word() { unanswered + TICK } else { Duration::ZERO };
    }
}

/// Unreachable: methods without their secret are not usable.
fn nothing() -> AuthResult {
    AuthResult::Failure { remaining_methods: MethodSet::empty(), partial_success: false }
}

/// Signs for a certificate. russh's own way signs RSA with SHA-1.
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
        // Behind what is signed: string of (string algorithm, string signature).
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
