//! Connecting for the checks, with at most two refused attempts to log in, whatever is wrong.

use std::time::{Duration, Instant};

use bridge::{Error, ErrorName, Method, TrustedHostKeys};
use partner::with_setting;
use sftp::probe::{self, Attempted};
use sftp::{Endpoint, ErrorKind, Login, Options, Session};

use super::examination::Doctor;

/// Maximum number of refused attempts. Many servers lock the account, or our address, after some.
pub(super) const REFUSED_MAX: u32 = 2;

/// Pause between two connections. A server that allows one connection needs a moment to notice that the last one has
/// ended, and many connections at once look like an attack.
const PAUSE: Duration = Duration::from_millis(300);
/// Pause for a server that needs longer.
pub(super) const LONG_PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

/// The server, for one login or another.
pub(super) struct Target {
    endpoint: Endpoint,
    trusted: TrustedHostKeys,
    options: Options,
}

impl Target {
    async fn connect(&self, login: &Login) -> Result<Session, Error> {
        Session::connect(&self.endpoint, login, &self.trusted, &self.options).await.map_err(with_setting)
    }

    /// Tries the methods of a login.
    pub(super) async fn log_in(&self, login: &Login) -> Result<Attempted, Error> {
        probe::log_in(&self.endpoint, login, &self.trusted, &self.options).await.map_err(with_setting)
    }
}

impl Doctor {
    pub(super) fn target(&self) -> Target {
        let trusted = self.configuration.settings.trusted_host_keys.clone();
        Target { endpoint: self.configuration.endpoint(), trusted, options: self.configuration.options() }
    }

    pub(super) async fn connect(&mut self, login: &Login) -> Result<Session, Error> {
        let target = self.target();
        let connecting = async || {
            let started = Instant::now();
            target.connect(login).await.map(|session| (session, started.elapsed()))
        };
        let (session, took) = self.patiently(cost(login), connecting).await?;
        self.facts.connect.get_or_insert(took);
        Ok(session)
    }

    /// Connects anew, on the login that the server has accepted.
    pub(super) async fn reconnect(&mut self) {
        let (Some(login), true) = (self.login.clone(), self.session.is_some()) else { return };
        self.disconnect().await;
        if self.may_be_refused(&login) {
            let session = self.connect(&login).await;
            self.session = session.ok().map(std::sync::Arc::new);
        }
    }

    /// Tries once more if the connection failed: the server may not have noticed yet that our last one has ended. Each
    /// attempt that fails may be up to `cost` refusals.
    pub(super) async fn patiently<T>(
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
            // These two come before the login. A connection that broke off may have been a refused attempt.
            let is_harmless = matches!(error.name, ErrorName::HostKeyMismatch | ErrorName::NoCommonAlgorithm);
            self.refused += if is_harmless { 0 } else { cost };
        }
        outcome
    }

    /// Counts the refusals of a login whose methods were tried one by one.
    pub(super) fn count(&mut self, attempted: &Attempted) {
        let refusals = attempted.answers.iter().filter(|(_, answer)| answer.is_refusal()).count();
        let problem = attempted.problem.as_ref();
        // A connection that broke off may have been a refused attempt, too.
        let may_be_one = problem.is_some_and(|problem| problem.kind() == ErrorKind::ConnectFailed);
        self.refused += refusals as u32 + u32::from(may_be_one);
    }

    /// Whether a refusal of this login would stay within the maximum.
    pub(super) fn may_be_refused(&self, login: &Login) -> bool {
        self.refused + cost(login) <= REFUSED_MAX
    }
}

/// Maximum number of refused attempts in a refused login. A password is not sent again as the answer to a question.
pub(super) fn cost(login: &Login) -> u32 {
    let methods: Vec<Method> = login.usable().collect();
    let by_key = methods.contains(&Method::PublicKey);
    u32::from(by_key) + u32::from(methods.iter().any(|method| *method != Method::PublicKey))
}
