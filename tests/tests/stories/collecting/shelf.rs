//! A server whose directories list what a test says, and that shows of each path what a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use integration_tests::embedded::Script;
use integration_tests::partner::Partner;
use integration_tests::wire::{Request, kind, packet, string};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// A name with the attributes that are listed with it, as they travel.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// Attributes that say nothing.
pub(super) fn nothing() -> Vec<u8> {
    0_u32.to_be_bytes().into()
}

/// The size alone.
pub(super) fn size(size: u64) -> Vec<u8> {
    [&1_u32.to_be_bytes()[..], &size.to_be_bytes()].concat()
}

/// What a server lists and shows.
pub(super) trait Shelf: Send + Sync + 'static {
    /// The packet with this number, from 0 on, of the directory; `None` at its end.
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>>;

    /// Attributes of a path, as they travel; or a status.
    fn show(&self, path: &str) -> Result<Vec<u8>, u32>;

    /// The status of the refusal to open a directory.
    fn refuses(&self, _directory: &str) -> Option<u32> {
        None
    }

    /// The status in the place of the end of a directory.
    fn end(&self, _directory: &str) -> u32 {
        1
    }
}

/// The requests so far: the kind, and the path of those that have one.
pub(super) type Asked = Arc<Mutex<Vec<(u8, String)>>>;

/// Starts a server.
pub(super) async fn partner(shelf: impl Shelf) -> (Partner, Asked) {
    let (shelf, asked) = (Arc::new(shelf), Asked::default());
    let noted = Arc::clone(&asked);
    let script = Script::new(move |channel| serve(channel, Arc::clone(&shelf), Arc::clone(&noted)));
    (Partner::scripted(script).await.unwrap(), asked)
}

/// The paths of the requests of this kind.
pub(super) fn paths(asked: &Asked, kind: u8) -> Vec<String> {
    let asked = asked.lock().unwrap();
    asked.iter().filter(|(asked, _)| *asked == kind).map(|(_, path)| path.clone()).collect()
}

async fn serve(mut channel: impl AsyncRead + AsyncWrite + Unpin, shelf: Arc<impl Shelf>, asked: Asked) {
    let mut packets: HashMap<String, usize> = HashMap::new();
    while let Some(request) = Request::read(&mut channel).await {
        // The path or the handle, which is the path.
        let path = request.body.get(4..).unwrap_or_default().to_vec();
        let path = String::from_utf8_lossy(&path).into_owned();
        if request.kind != kind::READDIR {
            asked.lock().unwrap().push((request.kind, path.clone()));
        }
        let reply = match request.kind {
            kind::INIT => packet(kind::VERSION, 3, &[]),
            kind::OPENDIR => match shelf.refuses(&path) {
                Some(code) => request.status(code, "no"),
                None => {
                    packets.insert(path.clone(), 0);
                    request.reply(kind::HANDLE, &[&string(path.as_bytes())])
                }
            },
            kind::READDIR => {
                let number = packets.entry(path.clone()).or_default();
                *number += 1;
                match shelf.packet(&path, *number - 1) {
                    Some(entries) => request.names(entries),
                    None => request.status(shelf.end(&path), "the end"),
                }
            }
            kind::LSTAT | kind::STAT => match shelf.show(&path) {
                Ok(attributes) => request.reply(kind::ATTRS, &[&attributes]),
                Err(code) => request.status(code, "no"),
            },
            _ => request.status(0, ""),
        };
        if channel.write_all(&reply).await.is_err() {
            return;
        }
    }
}
