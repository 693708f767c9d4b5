//! HTTP, as far as S3 clients need it.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::net::TcpStream;

use percent_encoding::percent_decode_str;

/// A request.
pub(super) struct Request {
    pub(super) method: String,
    /// `bucket/key`, decoded.
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    /// By their names in lower case.
    pub(super) headers: HashMap<String, String>,
}

impl Request {
    /// `None` at the end of the connection.
    pub(super) fn read(from: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut request = Self {
            method: method.to_owned(),
            path: decode(path.trim_start_matches('/')),
            query: pairs.map(|(name, value)| (decode(name), decode(&value.replace('+', " ")))).collect(),
            headers: HashMap::new(),
        };
        loop {
            let mut line = String::new();
            let read = from.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None if read == 0 => return Ok(None),
                None => return Ok(Some(request)),
            }
        }
    }

    /// The bucket, if the request is for the bucket itself.
    pub(super) fn bucket(&self) -> Option<&str> {
        let (bucket, key) = self.path.split_once('/').unwrap_or((&self.path, ""));
        key.is_empty().then_some(bucket)
    }
}

/// Answers with a document.
pub(super) fn send_text(
    mut stream: &TcpStream,
    request: &Request,
    status: &str,
    body: &str,
) -> std::io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if request.method != "HEAD" {
        text += body;
    }
    stream.write_all(text.as_bytes())
}

/// `bytes=a-b`, `bytes=a-` and `bytes=-n` as offset and length.
pub(super) fn parse_range(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, end) = match (first, last) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), length),
        (first, "") => (first.parse().ok()?, length),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(length)),
    };
    (first < end).then(|| (first, end - first))
}
