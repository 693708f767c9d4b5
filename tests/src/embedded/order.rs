//! Passes requests that arrive together to the server in another order than the one in which they were sent. It is
//! between the client and the server.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

use crate::wire::{Request, kind, packet};

/// The order in which requests are served and answered that arrive together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they were sent.
    #[default]
    Kept,
    /// As the protocol permits: those for one handle or path as they were sent, those for the last one first. The answers
    /// come in reverse.
    Reversed,
    /// As the protocol does not permit, on a server that works in parallel: a CLOSE before the WRITEs.
    CloseFirst,
}

/// What arrives within this time arrives together.
const TOGETHER: Duration = Duration::from_millis(40);

/// Passes packets on until one side ends.
pub(super) async fn run(
    order: Order,
    client: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    server: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let ((from_client, to_client), (from_server, to_server)) = (split(client), split(server));
    let requests = move |requests| match order {
        Order::Kept => requests,
        Order::Reversed => last_file_first(requests),
        Order::CloseFirst => close_first(requests),
    };
    let answers = move |mut answers: Vec<Request>| {
        if order == Order::Reversed {
            answers.reverse();
        }
        answers
    };
    tokio::select! {
        () = pass(from_client, to_server, requests) => {}
        () = pass(from_server, to_client, answers) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin,
    ordered: impl Fn(Vec<Request>) -> Vec<Request>,
) {
    // A packet must not be cut off in the middle when the time is over.
    let (sender, mut packets) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(packet) = Request::read(&mut from).await {
            if sender.send(packet).is_err() {
                return;
            }
        }
    });
    while let Some(first) = packets.recv().await {
        let mut together = vec![first];
        while let Ok(Some(next)) = tokio::time::timeout(TOGETHER, packets.recv()).await {
            together.push(next);
        }
        for Request { kind, id, body } in ordered(together) {
            if to.write_all(&packet(kind, id, &[&body])).await.is_err() {
                return;
            }
        }
    }
}

fn close_first(requests: Vec<Request>) -> Vec<Request> {
    let (mut first, rest): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.kind == kind::CLOSE);
    first.extend(rest);
    first
}

fn last_file_first(requests: Vec<Request>) -> Vec<Request> {
    let mut files: Vec<(Vec<u8>, Vec<Request>)> = Vec::new();
    for request in requests {
        // The name of a handle or a path, or of an extension.
        let length = request.body.first_chunk::<4>().map_or(0, |length| u32::from_be_bytes(*length) as usize);
        let name = request.body.get(..4 + length).unwrap_or_default().to_vec();
        match files.iter_mut().find(|(known, _)| *known == name) {
            Some((_, of_it)) => of_it.push(request),
            None => files.push((name, vec![request])),
        }
    }
    files.into_iter().rev().flat_map(|(_, requests)| requests).collect()
}
