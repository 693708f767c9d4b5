//! Rewrites answers into forms that russh-sftp's server cannot produce but Apache MINA and IBM Sterling do. It sits
//! between the server and the client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, split};

use crate::wire::{Request, kind, packet, string};

/// The server's handles by the client's.
type Handles = Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>>;

/// Passes packets on until one side ends.
pub(super) async fn run(
    client: impl AsyncRead + AsyncWrite + Unpin,
    server: impl AsyncRead + AsyncWrite + Unpin,
) {
    let handles = Handles::default();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (split(client), split(server));
    let up = async {
        while let Some(request) = Request::read(&mut from_client).await {
            let body = uncovered(&request, &handles);
            if to_server.write_all(&packet(request.kind, request.id, &[&body])).await.is_err() {
                return;
            }
        }
    };
    let down = async {
        while let Some(reply) = Request::read(&mut from_server).await {
            let body = covered(&reply, &handles);
            if to_client.write_all(&packet(reply.kind, reply.id, &[&body])).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// A request with the server's own handle.
fn uncovered(request: &Request, handles: &Handles) -> Vec<u8> {
    const FSETSTAT: u8 = 10;
    const READDIR: u8 = 12;
    let body = &request.body;
    let names_handle =
        matches!(request.kind, kind::CLOSE | kind::READ | kind::WRITE | kind::FSTAT | FSETSTAT | READDIR);
    let Some((length, rest)) = body.split_first_chunk::<4>().filter(|_| names_handle) else {
        return body.clone();
    };
    let (handle, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
    match handles.lock().unwrap().get(handle) {
        Some(own) => [&string(own), rest].concat(),
        None => body.clone(),
    }
}

/// A reply with a handle that is not text, an OK without strings, or another status code.
fn covered(reply: &Request, handles: &Handles) -> Vec<u8> {
    match reply.kind {
        kind::HANDLE => {
            let own = reply.body[4..].to_vec();
            let mut handles = handles.lock().unwrap();
            let number = handles.len() as u8;
            let shown = vec![0xff, 0, 0xfe, number, b'\n', 0xc3, 0x28, 0x80];
            handles.insert(shown.clone(), own);
            string(&shown)
        }
        kind::STATUS => {
            let code = u32::from_be_bytes(reply.body[..4].try_into().unwrap());
            if code == 0 {
                return code.to_be_bytes().to_vec();
            }
            let words = String::from_utf8_lossy(&reply.body);
            let code = match () {
                () if words.contains("no such handle") => 9,
                () if words.contains("exists") => 11,
                () if words.contains("not empty") => 18,
                () => code,
            };
            [&code.to_be_bytes(), &reply.body[4..]].concat()
        }
        _ => reply.body.clone(),
    }
}
