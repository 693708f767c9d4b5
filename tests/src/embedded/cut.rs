//! Cuts the connection at one of the requests. It sits between the server and the client.

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

use crate::wire::{Request, packet};

/// Counts the requests of all connections and cuts the connection at one of them. Later requests are served.
#[derive(Clone, Debug, Default)]
pub struct Cut(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The type of each request so far.
    seen: Vec<u8>,
    at: Option<(usize, Moment)>,
    /// The id of the request whose answer gets lost.
    unanswered: Option<u32>,
}

/// When the connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the request is carried out.
    Before,
    /// After the request was carried out. Its answer is lost.
    After,
}

impl Cut {
    /// Cuts at the request with this number. The count starts now, with 0.
    pub fn at(&self, number: usize, moment: Moment) {
        *self.0.lock().unwrap() = State { at: Some((number, moment)), ..State::default() };
    }

    /// The types of the requests so far, in the order in which they came.
    pub fn seen(&self) -> Vec<u8> {
        self.0.lock().unwrap().seen.clone()
    }

    /// Whether this request is passed on.
    fn passes(&self, request: &Request) -> bool {
        let mut state = self.0.lock().unwrap();
        state.seen.push(request.kind);
        match state.at {
            Some((number, Moment::Before)) => number + 1 != state.seen.len(),
            Some((number, Moment::After)) => {
                if number + 1 == state.seen.len() {
                    state.unanswered = Some(request.id);
                }
                true
            }
            None => true,
        }
    }

    fn is_lost(&self, answer: &Request) -> bool {
        self.0.lock().unwrap().unanswered.take_if(|id| *id == answer.id).is_some()
    }

    /// Passes packets on until one side ends or the connection is cut.
    pub(super) async fn run(
        self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        server: impl AsyncRead + AsyncWrite + Unpin,
        socket: Arc<TcpStream>,
    ) {
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (split(client), split(server));
        let up = async {
            while let Some(request) = Request::read(&mut from_client).await {
                if !self.passes(&request) {
                    return true;
                }
                let packet = packet(request.kind, request.id, &[&request.body]);
                if to_server.write_all(&packet).await.is_err() {
                    break;
                }
            }
            false
        };
        let down = async {
            while let Some(answer) = Request::read(&mut from_server).await {
                if self.is_lost(&answer) {
                    return true;
                }
                let packet = packet(answer.kind, answer.id, &[&answer.body]);
                if to_client.write_all(&packet).await.is_err() {
                    break;
                }
            }
            false
        };
        let is_cut = tokio::select! {
            is_cut = up => is_cut,
            is_cut = down => is_cut,
        };
        if is_cut {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}
