//! One partner, one source of objects, and the handlers between them.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use aws::credential::Clients;
use bridge::{
    Checkpoint, CredentialReference, Error, ErrorName, Execution, FetchKeyInput, Progress, Receipt, Settings,
    TransferInput, Variables, VerifyRemoteInput,
};
use delivery::{Document, Functions, Handlers, State, StateMachine};
use integration_tests::cli::{self, Ran};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::object_source::{Body, ObjectSource};
use integration_tests::partner::{Options, Partner};
use integration_tests::{pattern, tools};
use serde_json::{Value, json};
use tokio::process::Command;

pub(crate) const MIB: u64 = 1024 * 1024;

pub(crate) struct Delivery {
    pub(crate) source: ObjectSource,
    pub(crate) partner: Partner,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) options: sftp::Options,
    /// The deadline of each call.
    pub(crate) slice: Option<Duration>,
    /// What runs of the command leave for the next one.
    pub(crate) state: tempfile::TempDir,
}

/// What a call of the handlers works with: like the state of a function that stays warm between calls.
#[derive(Clone)]
pub(crate) struct Process {
    settings: Arc<Settings>,
    clients: Clients,
    pub(crate) partner: Arc<partner::Partner>,
    slice: Option<Duration>,
}

impl Delivery {
    pub(crate) async fn new() -> Self {
        Self::to(Partner::start().await.unwrap())
    }

    /// To OpenSSH with these settings. `None` if it is not available.
    pub(crate) async fn to_open_ssh(settings: &str) -> Option<Self> {
        let Some(sshd) = tools::sshd().await.unwrap() else {
            integration_tests::skip("settings of OpenSSH: it is not available here");
            return None;
        };
        let options = Options { settings: settings.to_owned(), ..Options::default() };
        Some(Self::to(Partner::open_ssh(sshd, options).await.unwrap()))
    }

    /// With the credential as an object.
    pub(crate) fn to(partner: Partner) -> Self {
        let source = ObjectSource::start().unwrap();
        source.put("keys/id", Body::Bytes(partner.client_key.private.clone().into_bytes())).unwrap();
        let variables = [
            ("SFTP_HOST", partner.host.clone()),
            ("SFTP_PORT", partner.port.to_string()),
            ("SFTP_USER", partner.user.clone()),
            ("SFTP_S3_SSH_KEY", "keys/id".to_owned()),
            ("SFTP_TRUSTED_HOST_KEYS", partner.host_key.public.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        let state = tempfile::tempdir().unwrap();
        Self { source, partner, variables, options: sftp::Options::default(), slice: None, state }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.insert(name.into(), value.to_string());
    }

    /// From now on by way of a proxy.
    pub(crate) async fn through_proxy(&mut self, fault: Fault) -> FaultProxy {
        let proxy = FaultProxy::start(self.partner.port).await.unwrap();
        proxy.set(fault).await;
        self.set("SFTP_PORT", proxy.port);
        proxy
    }

    /// Puts an object with this many bytes of the pattern and a checksum.
    pub(crate) fn put(&self, object_key: &str, length: u64) {
        self.source.put_with_checksum(&format!("b/{object_key}"), Body::Pattern(length)).unwrap();
    }

    pub(crate) fn process(&self) -> Process {
        self.process_with(&self.variables)
    }

    pub(crate) fn process_with(&self, variables: &BTreeMap<String, String>) -> Process {
        let settings = Settings::parse(&variables.clone().into_iter().collect::<Variables>()).unwrap();
        // Nothing but the credential is ever read with it.
        let secrets = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
            .build();
        let clients = Clients {
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets),
            s3: self.source.s3(),
        };
        let partner = Arc::new(partner::Partner::new(&settings, clients.clone(), self.options.clone()));
        Process { settings: Arc::new(settings), clients, partner, slice: self.slice }
    }

    /// Delivers an object that was [put](Self::put), in a process of its own, and checks that it arrived.
    pub(crate) async fn delivers(&self, object_key: &str, length: u64) -> Receipt {
        let process = self.process();
        let receipt = process.deliver(object_key).await.unwrap();
        process.partner.disconnect().await;
        self.assert_arrived(object_key, length);
        receipt
    }

    pub(crate) fn assert_arrived(&self, object_key: &str, length: u64) {
        let file = File::open(self.partner.root.join(object_key)).unwrap();
        assert_eq!(pattern::difference(file, length).unwrap(), None, "{object_key} differs");
        assert_eq!(self.partials(), Vec::<String>::new());
    }

    /// How many of the partner's files its server holds open.
    pub(crate) fn held_open(&self) -> usize {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let files =
            processes.filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok()).flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.starts_with(&self.partner.root) && *target != self.partner.root)
            .count()
    }

    /// The partial files at the top.
    pub(crate) fn partials(&self) -> Vec<String> {
        let names = std::fs::read_dir(&self.partner.root).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".partial")).collect()
    }

    /// `s3-sftp-bridge deliver` with these settings.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cli::deliver(self.source.environment(), &self.variables, arguments).await;
        command.env("XDG_STATE_HOME", self.state.path());
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        cli::run(self.command(arguments).await).await
    }
}

fn event(object_key: &str) -> Value {
    json!({"detail": {"bucket": {"name": "b"}, "object": {"key": object_key}}})
}

impl Process {
    fn handlers(&self) -> Handlers {
        let (settings, clients) = (Arc::clone(&self.settings), self.clients.clone());
        Handlers::new(settings, clients, Arc::clone(&self.partner)).with_call_limit(self.slice)
    }

    pub(crate) async fn fetch_key(&self) -> CredentialReference {
        let input = FetchKeyInput { event: event("any") };
        self.handlers().fetch_key(input).await.unwrap().credential
    }

    /// One call of Transfer.
    pub(crate) async fn transfer(
        &self,
        object_key: &str,
        checkpoint: Option<Checkpoint>,
        resends: u32,
    ) -> Result<Progress, Error> {
        let (execution, event) = (Execution::default(), event(object_key));
        let credential = self.fetch_key().await;
        self.handlers().transfer(TransferInput { execution, event, credential, checkpoint, resends }).await
    }

    /// One call of VerifyRemote.
    pub(crate) async fn verify(&self, _object_key: &str, checkpoint: Checkpoint) -> Result<Progress, Error> {
        let execution = Execution::default();
        let credential = self.fetch_key().await;
        self.handlers().verify_remote(VerifyRemoteInput { execution, credential, checkpoint }).await
    }

    /// Transfer until it is complete. The second number counts the calls.
    pub(crate) async fn transfer_all(
        &self,
        object_key: &str,
        resends: u32,
    ) -> Result<(Checkpoint, u32), Error> {
        let document = Document { credential: Some(self.fetch_key().await), resends, ..Document::default() };
        let mut machine = machine(State::Transfer, object_key, document);
        let ran = machine.run_until(State::VerifyRemote, &mut self.handlers()).await;
        ran.map_err(|failed| failed.error)?;
        Ok((machine.document().checkpoint.clone().unwrap(), machine.calls()))
    }

    /// VerifyRemote until there is a receipt. The second number counts the calls.
    pub(crate) async fn verify_all(
        &self,
        object_key: &str,
        checkpoint: Checkpoint,
    ) -> Result<(Receipt, u32), Error> {
        // One resend already: a mismatch is an error, and nothing is sent again.
        let document = Document {
            credential: Some(self.fetch_key().await),
            checkpoint: Some(checkpoint),
            resends: 1,
            ..Document::default()
        };
        let mut machine = machine(State::VerifyRemote, object_key, document);
        let receipt = machine.run(&mut self.handlers()).await.map_err(|failed| failed.error)?;
        Ok((receipt, machine.calls()))
    }

    /// The whole state machine without its retries.
    pub(crate) async fn deliver(&self, object_key: &str) -> Result<Receipt, Error> {
        let mut machine = machine(State::FetchKey, object_key, Document::default());
        machine.run(&mut self.handlers()).await.map_err(|failed| failed.error)
    }

    /// The same, as after a call that was killed.
    pub(crate) async fn deliver_after_a_kill(&self, object_key: &str) -> Result<Receipt, Error> {
        let execution = Execution { retry_count: 1, ..Execution::default() };
        let mut machine =
            StateMachine::at(State::FetchKey, execution, event(object_key), Document::default());
        machine.run(&mut self.handlers()).await.map_err(|failed| failed.error)
    }

    /// As [`deliver`](Self::deliver), and a call that cannot connect is retried, as the state machine does: a server that allows one connection
    /// may still be busy with one that was cut.
    pub(crate) async fn deliver_with_retries(&self, object_key: &str) -> Result<Receipt, Error> {
        const RETRIES: u32 = 10;
        let mut machine = machine(State::FetchKey, object_key, Document::default());
        let mut retries = 0;
        loop {
            match machine.run(&mut self.handlers()).await {
                Err(failed) if failed.error.name == ErrorName::ConnectFailed && retries < RETRIES => {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    retries += 1;
                }
                outcome => return outcome.map_err(|failed| failed.error),
            }
        }
    }
}

fn machine(state: State, object_key: &str, document: Document) -> StateMachine {
    StateMachine::at(state, Execution::default(), event(object_key), document)
}

/// The same process with other manners than those of a function.
pub(crate) fn with_manners(process: Process, manners: partner::Manners) -> Process {
    let options = sftp::Options::default();
    let partner = partner::Partner::new(&process.settings, process.clients.clone(), options);
    let partner = partner.with_manners(manners);
    Process { partner: Arc::new(partner), ..process }
}

/// A session with a partner, by way of this port.
pub(crate) async fn session(partner: &Partner, port: u16, options: sftp::Options) -> sftp::Session {
    let endpoint = sftp::Endpoint { host: partner.host.clone(), port };
    let private_key = partner.client_key.private.clone().into();
    let login = sftp::Login::new(partner.user.clone(), Some(&private_key), None, None).unwrap();
    let trusted = bridge::TrustedHostKeys::parse(&partner.host_key.public).unwrap();
    sftp::Session::connect(&endpoint, &login, &trusted, &options).await.unwrap()
}

/// Waits until something holds; says what did not if it takes too long.
pub(crate) async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not within 10 s");
}
