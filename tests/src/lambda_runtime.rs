//! Lambda's runtime interface, for one process of a function: it gives an invocation to the binary and takes its answer, as
//! Lambda does. What the process uses of the machine can be asked for.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::memory_peak;
use crate::tools;

/// A process of a function. Ends on drop.
#[derive(Debug)]
pub struct Runtime {
    child: Child,
    invocations: Sender<Invocation>,
    answers: Receiver<Answer>,
}

#[derive(Debug)]
struct Invocation {
    payload: Value,
    limit: Duration,
}

/// The function's result, or its error with `errorType` and `errorMessage`.
pub type Answer = std::result::Result<Value, Value>;

/// Builds the binary of a function as cargo does for development, and returns its path. The tests' own package is selected
/// for its features, so that no dependency is built twice.
pub fn build(function: &str) -> Result<std::path::PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.args(["build", "--quiet", "--message-format", "json", "--package", "integration-tests"]);
    build.args(["--package", function, "--bin", function]);
    let output = build.current_dir(tools::workspace()).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "cargo could not build {function}");
    let messages = String::from_utf8(output.stdout)?;
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut paths = messages.filter_map(|message| message["executable"].as_str().map(Into::into));
    paths.next_back().context("cargo did not name the binary that it built")
}

impl Runtime {
    /// Starts the binary in an environment of these variables and those that Lambda sets.
    pub fn start<N: AsRef<str>>(
        binary: &Path,
        environment: impl IntoIterator<Item = (N, String)>,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?.to_string();
        let (invocations, queue) = channel::<Invocation>();
        let (answer, answers) = channel();
        let queue = Arc::new(Mutex::new(queue));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (queue, answer) = (Arc::clone(&queue), answer.clone());
                thread::spawn(move || serve(&stream, &queue, &answer));
            }
        });
        let mut command = Command::new(binary);
        command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for (name, value) in environment {
            command.env(name.as_ref(), value);
        }
        command.env("AWS_LAMBDA_RUNTIME_API", address).env("AWS_LAMBDA_FUNCTION_NAME", "function");
        command.env("AWS_LAMBDA_FUNCTION_VERSION", "1").env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512");
        command.env("AWS_LAMBDA_LOG_GROUP_NAME", "group").env("AWS_LAMBDA_LOG_STREAM_NAME", "stream");
        Ok(Self { child: command.spawn()?, invocations, answers })
    }

    /// Invokes the function once.
    pub fn invoke(&self, payload: Value, limit: Duration) -> Result<Answer> {
        self.invocations.send(Invocation { payload, limit })?;
        self.answers.recv_timeout(limit + Duration::from_secs(10)).context("the function did not answer")
    }

    /// The highest memory use so far, in bytes.
    pub fn memory_peak(&self) -> u64 {
        memory_peak(self.child.id()).unwrap_or_default()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers the requests of one connection.
fn serve(stream: &TcpStream, queue: &Mutex<Receiver<Invocation>>, answer: &Sender<Answer>) {
    let mut reader = BufReader::new(stream);
    while let Some((line, body)) = request(&mut reader) {
        let body = || serde_json::from_slice(&body).unwrap_or(Value::Null);
        let sent = if line.starts_with("GET") {
            // Waits until there is one. The process is ended while it waits for the next.
            let Ok(invocation) = queue.lock().unwrap().recv() else { return };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let deadline = (now + invocation.limit).as_millis();
            respond(
                stream,
                "200 OK",
                &format!(
                    "Lambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n\
                     Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:0:function:function\r\n\
                     Lambda-Runtime-Trace-Id: Root=1-0-0\r\n"
                ),
                &invocation.payload.to_string(),
            )
        } else {
            let answered = if line.contains("/response ") { Ok(body()) } else { Err(body()) };
            let _ = answer.send(answered);
            respond(stream, "202 Accepted", "", "")
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The line of the next request, and its body.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end().to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().ok()?,
            Some(("transfer-encoding", value)) => is_chunked = value.trim() == "chunked",
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    while is_chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        is_chunked = size > 0;
    }
    Some((line, body))
}

fn respond(mut stream: &TcpStream, status: &str, headers: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes())
}
