//! The two tasks of a channel: one sends packets, the other one reads replies.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use russh::ChannelMsg;
use tokio::sync::{mpsc, watch};

use crate::protocol::decode::{Decoder, Reply};
use crate::protocol::line::{Line, Unsent, Waiting};
use crate::protocol::link::{Reader, Writer};
use crate::protocol::pieces::join_small;
use crate::ssh::condition::Condition;
use crate::ssh::connection::CHANNEL_PACKET_MAX;

/// Maximum number of requests that are sent at once.
const AT_ONCE: usize = 64;

/// A channel whose tasks run. They end when nobody holds `line` any more, or when the session ends.
pub(super) struct Running {
    pub(super) line: Arc<Line>,
    /// How the session ended, once it has.
    pub(super) lost: watch::Receiver<Option<String>>,
}

pub(super) fn spawn(
    mut reader: Reader,
    writer: Writer,
    mut decoder: Decoder,
    condition: Condition,
) -> Running {
    let waiting = Arc::new(Waiting::default());
    let (lost_sender, lost) = watch::channel(None);
    let (outgoing, packets) = mpsc::unbounded_channel::<Vec<Bytes>>();
    let unsent = Arc::new(Unsent::default());
    let line = Arc::new(Line::new(outgoing, Arc::clone(&unsent), Arc::clone(&waiting)));
    let for_reader = Arc::downgrade(&line);
    let reading = tokio::spawn(async move {
        let reason = read_replies(&mut reader, &mut decoder, &waiting, &for_reader).await;
        lost_sender.send_replace(Some(condition.ended().unwrap_or(reason)));
        waiting.close();
    });
    let mut over = lost.clone();
    tokio::spawn(async move {
        let abandoned = tokio::select! {
            abandoned = send_packets(&writer, packets, &unsent) => abandoned,
            // After the session has ended, the channel would wait forever for its window.
            () = async { drop(over.wait_for(Option::is_some).await) } => false,
        };
        let _ = writer.close().await;
        // If no sender is left, no reply is of interest, and the reader stops. Otherwise the reader tells all waiters that the
        // session has ended, even if the writer noticed it first.
        if abandoned {
            reading.abort();
        }
    });
    Running { line, lost }
}

/// Returns `true` when no sender is left, and `false` when the session has ended.
async fn send_packets(
    writer: &Writer,
    mut packets: mpsc::UnboundedReceiver<Vec<Bytes>>,
    unsent: &Unsent,
) -> bool {
    let mut ready = Vec::new();
    // The small parts of all requests that are ready are sent together: each packet costs time, in SSH and on the server.
    while packets.recv_many(&mut ready, AT_ONCE).await > 0 {
        for part in join_small(ready.drain(..).flatten()) {
            let length = part.len();
            if writer.data_bytes(part).await.is_err() {
                return false;
            }
            unsent.taken(length);
        }
    }
    true
}

/// Passes replies to their waiters until the session ends. Returns the reason.
async fn read_replies(
    reader: &mut Reader,
    decoder: &mut Decoder,
    waiting: &Waiting,
    line: &Weak<Line>,
) -> String {
    loop {
        if let Err(reason) = pass_on(decoder, waiting, line) {
            return reason;
        }
        match reader.wait().await {
            // A piece of a packet keeps the whole packet in memory, so longer packets than announced are copied.
            Some(ChannelMsg::Data { data }) if data.len() > CHANNEL_PACKET_MAX => {
                data.chunks(CHANNEL_PACKET_MAX).for_each(|chunk| decoder.push(Bytes::copy_from_slice(chunk)));
            }
            Some(ChannelMsg::Data { data }) => decoder.push(data),
            Some(ChannelMsg::Eof | ChannelMsg::Close) => return "the server closed the SFTP channel".into(),
            None => return "the connection was lost".into(),
            Some(_) => {}
        }
    }
}

/// Passes the replies that are complete to their waiters.
fn pass_on(decoder: &mut Decoder, waiting: &Waiting, line: &Weak<Line>) -> Result<(), String> {
    let malformed = |malformed| format!("the server sent invalid SFTP packets: {malformed}");
    while let Some((id, reply)) = decoder.next().map_err(malformed)? {
        let Some(waiter) = waiting.answered(id, &reply)? else { continue };
        // Nobody waits for this handle any more: its file is closed.
        if let (Some(Reply::Handle(handle)), Some(line)) = (waiter.tell(reply), line.upgrade()) {
            line.close(&handle);
        }
    }
    Ok(())
}
