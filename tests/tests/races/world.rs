//! Everything that the executions share: the server, the bucket, and the requests that wait to be served.

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};

use bridge::{Error, Receipt};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::files::Files;
use crate::scenario::{Bucket, FORMER, Scenario};
use crate::schedule::{Actor, Choice, Fault};
use crate::server::{self, Handles, Packet, Request};
use crate::store::{self, BEGINNING, BUCKET, OBJECT_KEY, Question, Store};

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) files: Files,
    pub(crate) store: Store,
    /// What may lie under a final name, by the number of its upload.
    pub(crate) contents: Vec<(usize, Vec<u8>)>,
    /// One for each upload that has happened.
    pub(crate) events: Vec<Value>,
    pub(crate) executions: Vec<Execution>,
    sessions: Vec<Session>,
    late: VecDeque<(usize, Request)>,
    pub(crate) deleted_by_user: bool,
    /// The known limit was met: see [`World::replaces_what_is_gone`].
    pub(crate) met_known_limit: bool,
    /// Who was served last.
    current: Actor,
    started: Instant,
    wake: Arc<Notify>,
    /// What was done so far, if it is recorded.
    pub(crate) trace: Option<Vec<String>>,
}

pub(crate) struct Execution {
    queue: VecDeque<Parked>,
    /// How many uploads there were when the bucket last answered it.
    uploads_known: usize,
    /// Everything that it was answered: what it does next follows from that.
    history: DefaultHasher,
    /// The call that is running, to be killed.
    pub(crate) call: Option<AbortHandle>,
    pub(crate) outcome: Option<Result<Receipt, Error>>,
    starts: Option<oneshot::Sender<()>>,
}

enum Parked {
    Start(oneshot::Sender<()>),
    Sftp { session: usize, id: u32, request: Request },
    Store { question: Question, answer: oneshot::Sender<store::Reply> },
}

struct Session {
    execution: usize,
    /// `None`: it was cut, or its client has gone.
    to_client: Option<mpsc::UnboundedSender<Bytes>>,
    hung_up: bool,
    handles: Handles,
}

impl World {
    pub(crate) fn new(scenario: &Scenario, wake: Arc<Notify>) -> Self {
        let mut files = Files::default();
        let contents = scenario.all_contents();
        if let Some((_, former)) = contents.iter().find(|(number, _)| *number == FORMER) {
            files.put(OBJECT_KEY, former.clone(), BEGINNING - 3600);
        }
        let executions = scenario.executions.iter().map(|_| Execution {
            queue: VecDeque::new(),
            uploads_known: 0,
            history: DefaultHasher::new(),
            call: None,
            outcome: None,
            starts: None,
        });
        let mut world = Self {
            executions: executions.collect(),
            scenario: scenario.clone(),
            files,
            contents,
            store: Store::new(scenario.bucket == Bucket::Versioned),
            events: Vec::new(),
            sessions: Vec::new(),
            late: VecDeque::new(),
            deleted_by_user: false,
            met_known_limit: false,
            current: Actor::Upload,
            started: Instant::now(),
            wake,
            trace: None,
        };
        world.upload();
        world
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u32 {
        BEGINNING + 1 + self.started.elapsed().as_secs() as u32
    }

    fn say(&mut self, words: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(words());
        }
    }

    // What executions do.

    /// An execution waits to be started.
    pub(crate) fn announce(&mut self, execution: usize) -> oneshot::Receiver<()> {
        let (start, started) = oneshot::channel();
        self.executions[execution].starts = Some(start);
        self.release_starts();
        started
    }

    /// Those whose object is there may start.
    fn release_starts(&mut self) {
        for (execution, upload) in self.executions.iter_mut().zip(&self.scenario.executions) {
            if *upload < self.events.len()
                && let Some(start) = execution.starts.take()
            {
                execution.queue.push_back(Parked::Start(start));
            }
        }
        self.wake.notify_one();
    }

    pub(crate) fn ask(
        &mut self,
        execution: usize,
        question: Question,
        answer: oneshot::Sender<store::Reply>,
    ) {
        self.executions[execution].queue.push_back(Parked::Store { question, answer });
        self.wake.notify_one();
    }

    pub(crate) fn ends(&mut self, execution: usize, outcome: Result<Receipt, Error>) {
        self.say(|| match &outcome {
            Ok(receipt) => format!("  {execution} ends: {:?} {:?}", receipt.outcome, receipt.reason),
            Err(error) => format!("  {execution} ends: {error}"),
        });
        self.executions[execution].outcome = Some(outcome);
        self.wake.notify_one();
    }

    pub(crate) fn notes(&mut self, execution: usize, words: impl std::fmt::Display) {
        self.say(|| format!("  {execution}: {words}"));
    }

    // What sessions do.

    /// A client has connected; returns the session's number.
    fn connect(&mut self, execution: usize, to_client: mpsc::UnboundedSender<Bytes>) -> usize {
        let session =
            Session { execution, to_client: Some(to_client), hung_up: false, handles: Handles::default() };
        self.sessions.push(session);
        self.sessions.len() - 1
    }

    fn receive(&mut self, number: usize, packet: Packet) {
        let session = &self.sessions[number];
        let Some(to_client) = &session.to_client else { return };
        match packet {
            Packet::Init => drop(to_client.send(server::version(self.scenario.server))),
            // Nothing that others could see.
            Packet::Request(id, Request::Limits) => {
                drop(to_client.send(server::encode(id, &server::Answer::Limits)));
            }
            Packet::Request(id, request) => {
                let parked = Parked::Sftp { session: number, id, request };
                self.executions[session.execution].queue.push_back(parked);
                self.wake.notify_one();
            }
        }
    }

    /// The client has ended the session; what it asked for before is still done.
    fn hang_up(&mut self, number: usize) {
        self.sessions[number].hung_up = true;
        self.tidy();
    }

    fn tidy(&mut self) {
        let waits = |execution: &Execution, number: usize| {
            execution
                .queue
                .iter()
                .any(|parked| matches!(parked, Parked::Sftp { session, .. } if *session == number))
        };
        for number in 0..self.sessions.len() {
            let session = &self.sessions[number];
            if session.hung_up && !waits(&self.executions[session.execution], number) {
                let late = self.late.iter().any(|(session, _)| *session == number);
                let session = &mut self.sessions[number];
                session.to_client = None;
                if !late {
                    session.handles.clear();
                }
            }
        }
        let sessions = &self.sessions;
        self.files.forget(|inode| sessions.iter().any(|session| session.handles.holds(inode)));
    }

    // What the scheduler does.

    /// Everybody who may move.
    pub(crate) fn movers(&self) -> Vec<Actor> {
        let mut movers = Vec::new();
        for (number, execution) in self.executions.iter().enumerate() {
            if !execution.queue.is_empty() && !self.is_second_of_two_alike(number) {
                movers.push(Actor::Execution(number));
            }
        }
        if self.events.len() < self.scenario.uploads.len() {
            movers.push(Actor::Upload);
        }
        if self.scenario.user_deletes && !self.deleted_by_user {
            movers.push(Actor::Delete);
        }
        if self.executions.iter().any(Execution::sleeps) {
            movers.push(Actor::Time);
        }
        if !self.late.is_empty() {
            movers.push(Actor::Late);
        }
        movers
    }

    /// Of executions of one upload that have not started, it does not matter which one starts first.
    fn is_second_of_two_alike(&self, number: usize) -> bool {
        let waits = |number: &usize| matches!(self.executions[*number].queue.front(), Some(Parked::Start(_)));
        let of = &self.scenario.executions;
        waits(&number) && (0..number).filter(waits).any(|other| of[other] == of[number])
    }

    /// Who moves if nothing is said: the one that did before, else the next one.
    pub(crate) fn usual(&self, movers: &[Actor]) -> Option<Actor> {
        let Actor::Execution(current) = self.current else { return movers.first().copied() };
        let next = |actor: &&Actor| matches!(actor, Actor::Execution(number) if *number >= current);
        movers.iter().find(next).or(movers.first()).copied()
    }

    /// The requests of an actor that the server may serve before the first one, by how many they overtake.
    pub(crate) fn overtakers(&self, actor: Actor) -> Vec<usize> {
        let Actor::Execution(number) = actor else { return Vec::new() };
        let queue = &self.executions[number].queue;
        let order = self.scenario.server.order;
        let overtakes = |later: &Parked, earlier: &Parked| match (later, earlier) {
            (Parked::Sftp { request: later, .. }, Parked::Sftp { request: earlier, .. }) => {
                later.may_overtake(earlier, order)
            }
            // S3 and the server know nothing of each other.
            (Parked::Sftp { .. }, Parked::Store { .. }) | (Parked::Store { .. }, Parked::Sftp { .. }) => true,
            _ => false,
        };
        let may = |index: &usize| queue.iter().take(*index).all(|earlier| overtakes(&queue[*index], earlier));
        (1..queue.len()).filter(may).collect()
    }

    /// What may go wrong with the next request of an actor.
    pub(crate) fn faults(&self, actor: Actor) -> Vec<Fault> {
        let Actor::Execution(number) = actor else { return Vec::new() };
        match self.executions[number].queue.front() {
            Some(Parked::Sftp { request, .. }) => {
                let mut faults = vec![Fault::Cut, Fault::Killed];
                if request.changes() {
                    faults.extend([Fault::LostAnswer, Fault::KilledAfter]);
                }
                if request.may_come_late() {
                    faults.push(Fault::Late);
                }
                faults
            }
            Some(Parked::Store { question, .. }) => {
                if question.changes() {
                    vec![Fault::Killed, Fault::KilledAfter, Fault::LostAnswer]
                } else {
                    vec![Fault::Killed]
                }
            }
            Some(Parked::Start(_)) | None => Vec::new(),
        }
    }

    /// Two runs whose states have the same number go on alike.
    pub(crate) fn state(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.files.hash(&mut hasher);
        self.store.hash(&mut hasher);
        self.events.len().hash(&mut hasher);
        self.deleted_by_user.hash(&mut hasher);
        self.current.hash(&mut hasher);
        self.now().hash(&mut hasher);
        for (number, execution) in self.executions.iter().enumerate() {
            execution.history.finish().hash(&mut hasher);
            execution.queue.len().hash(&mut hasher);
            execution.outcome.is_some().hash(&mut hasher);
            for session in self.sessions.iter().filter(|session| session.execution == number) {
                (session.to_client.is_some(), &session.handles).hash(&mut hasher);
            }
        }
        for (_, request) in &self.late {
            request.hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(crate) fn apply(&mut self, step: usize, choice: Choice) {
        self.current = choice.actor;
        match choice.actor {
            Actor::Execution(number) => self.serve(step, number, choice),
            Actor::Upload => {
                self.upload();
                self.say(|| format!("{step} {choice} a newer version is uploaded"));
            }
            Actor::Delete => {
                self.deleted_by_user = true;
                let now = self.now();
                self.store.delete(now);
                self.say(|| format!("{step} {choice} the user deletes the object"));
            }
            Actor::Late => {
                let Some((session, request)) = self.late.pop_front() else { return };
                let answer = self.carry_out(session, &request);
                self.say(|| format!("{step} {choice} late: {} -> {answer:?}", request.words()));
            }
            // The scheduler waits.
            Actor::Time => self.say(|| format!("{step} {choice} time passes")),
        }
        self.tidy();
    }

    fn upload(&mut self) {
        let upload = self.events.len();
        let size = self.scenario.uploads[upload];
        let now = self.now();
        self.store.upload(upload, self.contents[upload].1.clone(), now);
        let mut object = json!({"key": OBJECT_KEY, "size": size, "etag": store::etag(upload)});
        if let Some(version) = self.store.version_of(upload) {
            object["version-id"] = json!(version);
        }
        let time = store::iso_date(now);
        self.events.push(
            json!({"time": time, "detail": {"version": "0", "bucket": {"name": BUCKET}, "object": object}}),
        );
        self.release_starts();
    }

    fn serve(&mut self, step: usize, number: usize, choice: Choice) {
        if choice.fault == Some(Fault::Killed) {
            self.say(|| format!("{step} {choice} killed"));
            return self.kill(number);
        }
        let Some(parked) = self.executions[number].queue.remove(choice.overtakes) else { return };
        match parked {
            Parked::Start(start) => {
                self.say(|| format!("{step} {choice} starts"));
                let _ = start.send(());
            }
            Parked::Sftp { session, id, request } => self.serve_sftp(step, session, id, request, choice),
            Parked::Store { question, answer } => {
                let now = self.now();
                let reply = self.store.answer(&question, now);
                self.executions[number].uploads_known = self.events.len();
                self.say(|| format!("{step} {choice} {question:?} -> {}", reply.status));
                (&question, &reply, choice.fault).hash(&mut self.executions[number].history);
                if choice.fault.is_none() {
                    drop(answer.send(reply));
                }
            }
        }
        if choice.fault == Some(Fault::KilledAfter) {
            self.kill(number);
        }
    }

    fn serve_sftp(&mut self, step: usize, session: usize, id: u32, request: Request, choice: Choice) {
        let number = self.sessions[session].execution;
        match choice.fault {
            Some(Fault::Cut) => self.say(|| format!("{step} {choice} cut before {}", request.words())),
            Some(Fault::Late) => {
                self.say(|| format!("{step} {choice} cut before {}, which comes later", request.words()));
                self.late.push_back((session, request.clone()));
            }
            _ => {
                let answer = self.carry_out(session, &request);
                self.say(|| format!("{step} {choice} {} -> {}", request.words(), brief(&answer)));
                (&request, &answer, choice.fault).hash(&mut self.executions[number].history);
                if let (None, Some(to_client)) = (choice.fault, &self.sessions[session].to_client) {
                    drop(to_client.send(server::encode(id, &answer)));
                }
            }
        }
        if matches!(choice.fault, Some(Fault::Cut | Fault::LostAnswer | Fault::Late)) {
            (&request, choice.fault).hash(&mut self.executions[number].history);
            self.cut(session);
        }
    }

    fn carry_out(&mut self, session: usize, request: &Request) -> server::Answer {
        let now = self.now();
        let handles = &mut self.sessions[session].handles;
        let answer = server::serve(self.scenario.server, &mut self.files, handles, request, now);
        if let (Request::Rename { to, .. } | Request::PosixRename { to, .. }, true) =
            (request, answer == server::OK)
        {
            let number = self.sessions[session].execution;
            self.met_known_limit |= to == OBJECT_KEY && self.replaces_what_is_gone(number);
        }
        answer
    }

    /// The limit that the design accepts: an execution was told that its version is the newest, and while it asked for the
    /// rename, a newer one was uploaded, delivered, and deleted because of `S3_AFTER_DELIVERY`. That cannot be undone.
    fn replaces_what_is_gone(&self, number: usize) -> bool {
        let known = self.executions[number].uploads_known;
        let deletes = self.scenario.is_set("S3_AFTER_DELIVERY", "delete");
        deletes && (known..self.events.len()).any(|upload| !self.store.has(upload))
    }

    fn cut(&mut self, number: usize) {
        let session = &mut self.sessions[number];
        session.to_client = None;
        session.hung_up = true;
        self.executions[session.execution]
            .queue
            .retain(|parked| !matches!(parked, Parked::Sftp { session, .. } if *session == number));
    }

    /// The process ends, with all its sessions; the state machine calls again.
    fn kill(&mut self, number: usize) {
        for session in 0..self.sessions.len() {
            if self.sessions[session].execution == number {
                self.cut(session);
            }
        }
        let execution = &mut self.executions[number];
        execution.queue.clear();
        "killed".hash(&mut execution.history);
        if let Some(call) = execution.call.take() {
            call.abort();
        }
    }
}

impl Execution {
    /// Whether nothing happens to it until time passes.
    fn sleeps(&self) -> bool {
        self.outcome.is_none() && self.queue.is_empty() && self.starts.is_none()
    }
}

fn brief(answer: &server::Answer) -> String {
    match answer {
        server::Answer::Data(data) => format!("{} bytes", data.len()),
        other => format!("{other:?}"),
    }
}

/// A session of an execution with the server.
pub(crate) async fn connect(world: Arc<Mutex<World>>, execution: usize) -> bridge::Result<sftp::Session> {
    let (to_client, from_server) = mpsc::unbounded_channel();
    let (to_server, mut from_client) = mpsc::unbounded_channel::<Bytes>();
    let number = world.lock().unwrap().connect(execution, to_client);
    tokio::spawn(async move {
        let mut buffer = BytesMut::new();
        while let Some(bytes) = from_client.recv().await {
            buffer.extend_from_slice(&bytes);
            while let Some(packet) = server::next_packet(&mut buffer) {
                world.lock().unwrap().receive(number, packet);
            }
        }
        world.lock().unwrap().hang_up(number);
    });
    let endpoint = sftp::Endpoint { host: "partner".into(), port: 22 };
    let ends = sftp::internals::Ends { from_server, to_server };
    let session = sftp::internals::session(ends, endpoint, trusted(), crate::execution::options()).await;
    Ok(session?)
}

/// Unused here.
pub(crate) const HOST_KEY: &str = "SHA256:EqgMOfjVVOCSBqe5WRx1ct2B5wdXFrsg9q2wJ/ot6oU";

fn trusted() -> sftp::TrustedHostKeys {
    sftp::TrustedHostKeys::parse(HOST_KEY).expect("a fingerprint")
}
