//! A stand-in for what the local AWS lacks of Step Functions: RedriveExecution.
//!
//! It is an HTTP server in front of the local AWS and passes everything on, except the calls that a redrive concerns. It
//! follows AWS's documented rules: what can be redriven and what not, the quotas, and client tokens that make two requests
//! one. A redriven execution really goes on: the deployed definition runs again from the state that failed, with its
//! input, as an execution of a copy of the state machine. Its status is shown under the ARN of the first one.
//! <https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>

mod copy;
mod http;
mod quota;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use self::http::{Answer, Request};
use self::quota::Bucket;
pub use self::quota::Quota;
use crate::ministack::MiniStack;

/// How the stand-in behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Quotas of calls, by the name of the API.
    pub quotas: BTreeMap<&'static str, Quota>,
    /// Number of events from which on an execution cannot be redriven.
    pub events_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        // The quota of us-east-1, us-west-2 and eu-west-1.
        let redrive = Quota { per_second: 300.0, bucket: 1_300.0 };
        Self { quotas: BTreeMap::from([("RedriveExecution", redrive)]), events_max: 24_999 }
    }
}

/// A running stand-in. It ends with the runtime that started it.
#[derive(Clone, Debug)]
pub struct Redriver {
    /// `http://127.0.0.1:PORT`, instead of the local AWS's.
    pub endpoint: String,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// `127.0.0.1:PORT` of the local AWS.
    aws: String,
    options: Options,
    known: Mutex<Known>,
    buckets: Mutex<BTreeMap<&'static str, Bucket>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the ARN of the first execution.
    redriven: BTreeMap<String, Redriven>,
    /// Ended more than 14 days ago.
    expired: BTreeSet<String>,
    /// Ended more than 90 days ago.
    forgotten: BTreeSet<String>,
    tokens: BTreeSet<(String, String)>,
    /// By the ARN of the first one and the state that the copy begins at.
    copied_machines: BTreeMap<(String, String), String>,
    /// How often each API was called.
    calls: BTreeMap<String, usize>,
    throttled: usize,
    /// All requests, those of other services included.
    requests: usize,
}

/// An execution that was redriven.
#[derive(Clone, Debug)]
struct Redriven {
    /// The execution that stands for the last redrive.
    copy: String,
    copy_machine: String,
    earlier_copies: Vec<String>,
    count: u32,
    /// Seconds since 1970.
    date: f64,
}

impl Redriver {
    /// Starts it in front of this AWS.
    pub async fn start(aws: &MiniStack, options: Options) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let buckets = options.quotas.iter().map(|(api, quota)| (*api, Bucket::full(*quota))).collect();
        let state = Arc::new(State {
            aws: aws.endpoint.trim_start_matches("http://").to_owned(),
            options,
            known: Mutex::default(),
            buckets: Mutex::new(buckets),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                // A client that goes away is no matter.
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
        Ok(Self { endpoint, state })
    }

    /// As if the execution had ended more than 14 days ago.
    pub fn expire(&self, arn: &str) {
        self.state.known().expired.insert(arn.to_owned());
    }

    /// As if the execution had ended more than 90 days ago.
    pub fn forget(&self, arn: &str) {
        self.state.known().forgotten.insert(arn.to_owned());
    }

    /// How often an API of Step Functions was called, throttled calls included.
    pub fn calls(&self, api: &str) -> usize {
        self.state.known().calls.get(api).copied().unwrap_or_default()
    }

    /// How many requests there were, those of other services included.
    pub fn requests(&self) -> usize {
        self.state.known().requests
    }

    /// How many calls were throttled.
    pub fn throttled(&self) -> usize {
        self.state.known().throttled
    }

    /// How often each execution was redriven, by its ARN.
    pub fn redriven(&self) -> BTreeMap<String, u32> {
        let known = self.state.known();
        known.redriven.iter().map(|(arn, redriven)| (arn.clone(), redriven.count)).collect()
    }
}

impl State {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    async fn serve(&self, mut stream: TcpStream) -> Result<()> {
        let request = Request::read(&mut stream).await?;
        self.known().requests += 1;
        let Some(api) = request.step_functions_api() else {
            return request.pass_on(&self.aws, &mut stream).await;
        };
        *self.known().calls.entry(api.clone()).or_default() += 1;
        let answer = if self.is_throttled(&api) {
            Answer::error("ThrottlingException", "Rate exceeded")
        } else {
            let body: Value = serde_json::from_slice(&request.body)?;
            match self.answer(&api, &body).await? {
                Some(answer) => answer,
                None => return request.pass_on(&self.aws, &mut stream).await,
            }
        };
        answer.send(&mut stream).await
    }

    fn is_throttled(&self, api: &str) -> bool {
        let mut buckets = self.buckets.lock().unwrap();
        let is_throttled = buckets.get_mut(api).is_some_and(|bucket| !bucket.take());
        if is_throttled {
            self.known().throttled += 1;
        }
        is_throttled
    }

    /// `None`: the local AWS answers by itself.
    async fn answer(&self, api: &str, body: &Value) -> Result<Option<Answer>> {
        let arn = body["executionArn"].as_str().unwrap_or_default();
        let is_about_one = ["DescribeExecution", "GetExecutionHistory", "StopExecution"].contains(&api);
        if is_about_one && self.known().forgotten.contains(arn) {
            return Ok(Some(Answer::unknown(arn)));
        }
        Ok(match api {
            "RedriveExecution" => Some(self.redrive(arn, body["clientToken"].as_str()).await?),
            "DescribeExecution" => Some(match self.describe(arn).await? {
                Some(execution) => Answer::ok(execution),
                None => Answer::unknown(arn),
            }),
            "ListExecutions" => Some(self.list(body).await?),
            "GetExecutionHistory" => self.history(arn, body).await?,
            "StopExecution" => match self.copy_of(arn) {
                Some(copy) => {
                    let mut body = body.clone();
                    body["executionArn"] = copy.into();
                    Some(Answer::ok(self.call("StopExecution", &body).await?))
                }
                None => None,
            },
            _ => None,
        })
    }

    fn copy_of(&self, arn: &str) -> Option<String> {
        self.known().redriven.get(arn).map(|redriven| redriven.copy.clone())
    }

    /// Calls the local AWS's Step Functions.
    async fn call(&self, api: &str, body: &Value) -> Result<Value> {
        let (status, answer) = http::call(&self.aws, api, body).await?;
        ensure!(status == 200, "{api} {body}: {status} {answer}");
        Ok(answer)
    }

    /// An execution as AWS would describe it. `None` if it does not exist.
    async fn describe(&self, arn: &str) -> Result<Option<Value>> {
        let Some(mut execution) = self.execution(arn).await? else { return Ok(None) };
        match self.obstacle(arn, &execution).await? {
            Ok(_) => execution["redriveStatus"] = "REDRIVABLE".into(),
            Err(obstacle) => {
                execution["redriveStatus"] = "NOT_REDRIVABLE".into();
                execution["redriveStatusReason"] = obstacle.into();
            }
        }
        Ok(Some(execution))
    }

    /// The same, without what is known about a further redrive.
    async fn execution(&self, arn: &str) -> Result<Option<Value>> {
        let (status, mut execution) =
            http::call(&self.aws, "DescribeExecution", &json!({"executionArn": arn})).await?;
        if status != 200 {
            return Ok(None);
        }
        let redriven = self.known().redriven.get(arn).cloned();
        if let Some(redriven) = &redriven {
            let copy = self.call("DescribeExecution", &json!({"executionArn": redriven.copy})).await?;
            let fields = ["status", "stopDate", "output", "outputDetails", "error", "cause"];
            for field in fields {
                execution[field] = copy.get(field).cloned().unwrap_or_default();
            }
            execution["redriveDate"] = redriven.date.into();
        }
        execution["redriveCount"] = redriven.map_or(0, |redriven| redriven.count).into();
        Ok(Some(execution))
    }

    /// All executions of one status. The local AWS does not know which redriven ones run.
    async fn list(&self, body: &Value) -> Result<Answer> {
        let machine = body["stateMachineArn"].as_str().unwrap_or_default();
        let mut executions = self.all_executions(machine).await?;
        let known = self.known().redriven.clone();
        let mut copies = BTreeMap::new();
        let machines: BTreeSet<&str> =
            known.values().map(|redriven| redriven.copy_machine.as_str()).collect();
        for machine in machines {
            for copy in self.all_executions(machine).await? {
                copies.insert(copy["executionArn"].as_str().unwrap_or_default().to_owned(), copy);
            }
        }
        for execution in &mut executions {
            let redriven = known.get(execution["executionArn"].as_str().unwrap_or_default());
            if let Some(redriven) = redriven {
                let copy = copies.get(&redriven.copy).context("a redriven execution has a copy")?;
                execution["status"] = copy["status"].clone();
                execution["stopDate"] = copy["stopDate"].clone();
                execution["redriveCount"] = redriven.count.into();
                execution["redriveDate"] = redriven.date.into();
            }
        }
        let forgotten = self.known().forgotten.clone();
        executions.retain(|execution| {
            let is_known = !forgotten.contains(execution["executionArn"].as_str().unwrap_or_default());
            is_known && (body["statusFilter"].is_null() || body["statusFilter"] == execution["status"])
        });
        Ok(Answer::ok(page(executions, "executions", body, 1_000)))
    }

    async fn all_executions(&self, machine: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut body = json!({"stateMachineArn": machine, "maxResults": 1_000});
        loop {
            let mut listed = self.call("ListExecutions", &body).await?;
            all.extend(listed["executions"].as_array_mut().map(std::mem::take).unwrap_or_default());
            match listed.get("nextToken").filter(|token| !token.is_null()) {
                Some(token) => body["nextToken"] = token.clone(),
                None => return Ok(all),
            }
        }
    }

    /// The history of all attempts, if there was a redrive.
    async fn history(&self, arn: &str, body: &Value) -> Result<Option<Answer>> {
        let redriven = self.known().redriven.get(arn).cloned();
        let Some(redriven) = redriven else { return Ok(None) };
        let mut events = self.events(arn).await?;
        let copies = redriven.earlier_copies.iter().chain([&redriven.copy]);
        for (count, copy) in copies.enumerate() {
            let attempt = self.events(copy).await?;
            // The state machine's copy begins with a state of its own.
            let attempt = attempt.into_iter().skip_while(|event| event["type"] != "PassStateExited").skip(1);
            events.push(json!({
                "type": "ExecutionRedriven", "timestamp": redriven.date,
                "executionRedrivenEventDetails": {"redriveCount": count + 1},
            }));
            events.extend(attempt);
        }
        for (index, event) in events.iter_mut().enumerate() {
            event["id"] = (index + 1).into();
            event["previousEventId"] = index.into();
        }
        if body["reverseOrder"] == true {
            events.reverse();
        }
        Ok(Some(Answer::ok(page(events, "events", body, 100))))
    }

    async fn events(&self, arn: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut body = json!({"executionArn": arn, "maxResults": 1_000, "includeExecutionData": true});
        loop {
            let mut page = self.call("GetExecutionHistory", &body).await?;
            all.extend(page["events"].as_array_mut().map(std::mem::take).unwrap_or_default());
            match page.get("nextToken").filter(|token| !token.is_null()) {
                Some(token) => body["nextToken"] = token.clone(),
                None => return Ok(all),
            }
        }
    }
}

/// The page that a request asks for. The token is the index of its first item.
fn page(items: Vec<Value>, field: &str, body: &Value, default: u64) -> Value {
    let start: usize = body["nextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let size = body["maxResults"].as_u64().filter(|size| *size > 0).unwrap_or(default) as usize;
    let total = items.len();
    let items: Vec<Value> = items.into_iter().skip(start).take(size).collect();
    let mut page = json!({ field: items });
    if start + size < total {
        page["nextToken"] = (start + size).to_string().into();
    }
    page
}
