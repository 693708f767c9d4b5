//! HTTP, as far as AWS clients need it: one request for each connection.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ministack::REGION;

/// A request as it came.
pub(super) struct Request {
    /// The request line and the headers, without the empty line.
    head: String,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) async fn read(stream: &mut TcpStream) -> Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = find(&bytes, b"\r\n\r\n") {
                break end;
            }
            ensure!(stream.read_buf(&mut bytes).await? > 0, "the client went away");
        };
        let mut body = bytes.split_off(end + 4);
        bytes.truncate(end);
        let head = String::from_utf8(bytes)?;
        let length: usize = header(&head, "content-length").map_or(Ok(0), str::parse)?;
        while body.len() < length {
            ensure!(stream.read_buf(&mut body).await? > 0, "the client went away");
        }
        Ok(Self { head, body })
    }

    /// The API of Step Functions that is called.
    pub(super) fn step_functions_api(&self) -> Option<String> {
        header(&self.head, "x-amz-target")?.strip_prefix("AWSStepFunctions.").map(str::to_owned)
    }

    /// Lets the local AWS answer.
    pub(super) async fn pass_on(&self, aws: &str, client: &mut TcpStream) -> Result<()> {
        let mut stream = TcpStream::connect(aws).await?;
        let mut lines = self.head.split("\r\n");
        let mut head = format!("{}\r\nConnection: close\r\n", lines.next().unwrap_or_default());
        for line in lines.filter(|line| !line.to_ascii_lowercase().starts_with("connection:")) {
            head += &format!("{line}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).await?;
        stream.write_all(&self.body).await?;
        tokio::io::copy(&mut stream, client).await?;
        Ok(client.shutdown().await?)
    }
}

/// An answer of Step Functions.
pub(super) struct Answer {
    status: &'static str,
    body: Value,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: "200 OK", body }
    }

    pub(super) fn error(code: &str, message: &str) -> Self {
        Self { status: "400 Bad Request", body: json!({"__type": code, "message": message}) }
    }

    pub(super) fn unknown(arn: &str) -> Self {
        Self::error("ExecutionDoesNotExist", &format!("Execution Does Not Exist: '{arn}'"))
    }

    pub(super) async fn send(&self, stream: &mut TcpStream) -> Result<()> {
        let body = self.body.to_string();
        let head = format!(
            "HTTP/1.1 {}\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        Ok(stream.shutdown().await?)
    }
}

/// Calls Step Functions of the local AWS. Returns the status and the answer.
pub(super) async fn call(aws: &str, api: &str, body: &Value) -> Result<(u16, Value)> {
    let mut stream = TcpStream::connect(aws).await?;
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {aws}\r\nContent-Length: {}\r\nConnection: close\r\n\
         X-Amz-Target: AWSStepFunctions.{api}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/states/aws4_request\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    let status = head.split_whitespace().nth(1).context("no status")?.parse()?;
    Ok((status, serde_json::from_str(body).with_context(|| format!("{api}: {answer}"))?))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
