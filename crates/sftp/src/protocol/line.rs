//! Requests in flight: sending them, and matching the replies to them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use terms::lock;
use tokio::sync::{mpsc, oneshot};

use crate::protocol::decode::Reply;
use crate::protocol::encode;
use crate::protocol::pieces::join_small;

/// Number of replies without a request that are tolerated. A request may be answered twice, and some of the first ones
/// more often.
const SURPLUS_MAX: u64 = 16;

/// Sends requests on one channel.
pub(crate) struct Line {
    /// Leads to the task that owns the writing half of the channel. A packet is sent whole, even if the future of its
    /// sender is dropped.
    outgoing: mpsc::UnboundedSender<Vec<Bytes>>,
    unsent: Arc<Unsent>,
    waiting: Arc<Waiting>,
}

/// Number of bytes that the channel has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Unsent(AtomicUsize);

impl Unsent {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn taken(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request in flight.
pub(crate) struct Pending {
    pub(super) reply: oneshot::Receiver<Reply>,
    pub(super) operation: &'static str,
}

impl Line {
    pub(super) fn new(
        outgoing: mpsc::UnboundedSender<Vec<Bytes>>,
        unsent: Arc<Unsent>,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self { outgoing, unsent, waiting }
    }

    /// Number of bytes of requests that the channel has not taken yet, because its window is closed.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.bytes()
    }

    /// Sends a request. The reply is not waited for.
    pub(super) fn begin(&self, operation: &'static str, packet: impl FnOnce(u32) -> Bytes) -> Pending {
        self.begin_for(Bulk::Nothing, operation, packet)
    }

    /// Sends a READ of at most `data_max` bytes. Its reply goes to `replies`, with `number`.
    pub(super) fn begin_read(
        &self,
        data_max: usize,
        packet: impl FnOnce(u32) -> Bytes,
        replies: &NumberedReplies,
        number: u64,
    ) {
        self.begin_numbered(Numbered::Read(data_max), packet, replies, number);
    }

    /// Sends a request whose reply has entries of a directory.
    pub(super) fn begin_listing(
        &self,
        operation: &'static str,
        packet: impl FnOnce(u32) -> Bytes,
    ) -> Pending {
        self.begin_for(Bulk::Names, operation, packet)
    }

    fn begin_for(&self, bulk: Bulk, operation: &'static str, packet: impl FnOnce(u32) -> Bytes) -> Pending {
        let (sender, reply) = oneshot::channel();
        let id = self.waiting.register(Waiter::One { sender, bulk });
        self.send(vec![packet(id)]);
        Pending { reply, operation }
    }

    /// Sends a WRITE. Its reply goes to `replies`, with `number`.
    pub(super) fn begin_write(
        &self,
        handle: &Bytes,
        offset: u64,
        parts: Vec<Bytes>,
        replies: &NumberedReplies,
        number: u64,
    ) {
        let kind = Numbered::Write(handle.clone());
        let id = self.waiting.register(Waiter::OfMany { replies: replies.clone(), number, kind });
        self.send(encode::write(id, handle, offset, parts));
    }

    /// Sends another request for a file that is written to. Its reply goes to `replies`, as those of the WRITEs do, so
    /// that the order of the replies is seen.
    pub(super) fn begin_among_writes(
        &self,
        packet: impl FnOnce(u32) -> Bytes,
        replies: &NumberedReplies,
        number: u64,
    ) {
        self.begin_numbered(Numbered::Other, packet, replies, number);
    }

    fn begin_numbered(
        &self,
        kind: Numbered,
        packet: impl FnOnce(u32) -> Bytes,
        replies: &NumberedReplies,
        number: u64,
    ) {
        let id = self.waiting.register(Waiter::OfMany { replies: replies.clone(), number, kind });
        self.send(vec![packet(id)]);
    }

    /// Closes a file without waiting for the reply.
    pub(super) fn close(&self, handle: &[u8]) {
        self.begin("close", |id| encode::close(id, handle));
    }

    /// If the session has ended, the waiter of the reply is told so.
    fn send(&self, packet: Vec<Bytes>) {
        self.unsent.add(length(&packet));
        let _ = self.outgoing.send(packet);
    }
}

/// Where the replies to many READs or WRITEs go, of this channel and of others; and those to the requests that close the
/// file.
pub(crate) type NumberedReplies = mpsc::UnboundedSender<NumberedReply>;

/// The reply to one of many requests for one file.
pub(crate) struct NumberedReply {
    /// The number that was given to the request.
    pub(crate) number: u64,
    /// `None` if the session is lost.
    pub(crate) reply: Option<Reply>,
}

/// What the reply to a request may be full of.
#[derive(Clone, Copy)]
pub(super) enum Bulk {
    Nothing,
    /// At most this many bytes of a file.
    Data(usize),
    /// Entries of a directory.
    Names,
}

/// Where a reply goes.
pub(super) enum Waiter {
    /// To the sender of one request.
    One { sender: oneshot::Sender<Reply>, bulk: Bulk },
    /// To the sender of many requests for one file.
    OfMany { replies: NumberedReplies, number: u64, kind: Numbered },
}

/// One of many requests for one file.
pub(super) enum Numbered {
    /// Of at most this many bytes.
    Read(usize),
    /// To this handle.
    Write(Bytes),
    /// What closes the file.
    Other,
}

impl Numbered {
    fn bulk(&self) -> Bulk {
        match self {
            Self::Read(data_max) => Bulk::Data(*data_max),
            Self::Write(_) | Self::Other => Bulk::Nothing,
        }
    }
}

impl Waiter {
    /// Returns the reply to a single request if nobody waits for it any more.
    pub(super) fn tell(self, reply: Reply) -> Option<Reply> {
        match self {
            Self::One { sender, bulk } => sender.send(kept(reply, bulk)).err(),
            Self::OfMany { replies, number, kind } => {
                drop(replies.send(NumberedReply { number, reply: Some(kept(reply, kind.bulk())) }));
                None
            }
        }
    }

    fn give_up(self) {
        if let Self::OfMany { replies, number, .. } = self {
            drop(replies.send(NumberedReply { number, reply: None }));
        }
    }
}

/// The part of a reply that is kept until it is processed. A server that answers out of order, with more than was asked
/// for, or in tiny pieces does not fill our memory.
fn kept(reply: Reply, bulk: Bulk) -> Reply {
    match (reply, bulk) {
        (Reply::Data(pieces), Bulk::Data(max)) if length(&pieces) <= max => Reply::Data(join_small(pieces)),
        // A READ fails both with no data and with too much.
        (Reply::Data(_), _) => Reply::Data(Vec::new()),
        (Reply::Names(entries), Bulk::Names) => Reply::Names(entries),
        (Reply::Names(_), _) => Reply::Names(Vec::new()),
        (other, _) => other,
    }
}

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

impl Requests {
    fn are_writing_to(&self, handle: &Bytes) -> bool {
        let is_it = |waiter: &Waiter| matches!(waiter, Waiter::OfMany { kind: Numbered::Write(it), .. } if it == handle);
        self.by_id.values().any(is_it)
    }
}

/// The requests that have not been answered, by id.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    last_id: u32,
    made: u64,
    /// Number of replies to requests that had been answered before.
    surplus: u64,
    by_id: HashMap<u32, Waiter>,
    is_closed: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        lock(&self.0)
    }

    /// Returns the id for the request.
    fn register(&self, waiter: Waiter) -> u32 {
        let mut requests = self.lock();
        requests.last_id = requests.last_id.wrapping_add(1);
        requests.made += 1;
        let id = requests.last_id;
        if requests.is_closed {
            drop(requests);
            waiter.give_up();
        } else {
            requests.by_id.insert(id, waiter);
        }
        id
    }

    /// The waiter of this reply. `None` if the request was answered before: some servers answer a CLOSE twice.
    ///
    /// # Errors
    /// Why the reply ends the session.
    pub(super) fn answered(&self, id: u32, reply: &Reply) -> Result<Option<Waiter>, String> {
        let mut requests = self.lock();
        if let Some(waiter) = requests.by_id.remove(&id) {
            return match reply {
                // The WRITE may yet change the other file.
                Reply::Handle(handle) if requests.are_writing_to(handle) => Err(
                    "the server gave a handle to another file before it had answered a WRITE to the first"
                        .to_owned(),
                ),
                _ => Ok(Some(waiter)),
            };
        }
        if u64::from(requests.last_id.wrapping_sub(id)) >= requests.made {
            return Err(format!("the server answered a request {id} that was not made"));
        }
        requests.surplus += 1;
        if requests.surplus > requests.made + SURPLUS_MAX {
            return Err("the server sends more answers than there are requests".to_owned());
        }
        Ok(None)
    }

    /// Wakes all waiters.
    pub(super) fn close(&self) {
        let waiters = {
            let mut requests = self.lock();
            requests.is_closed = true;
            std::mem::take(&mut requests.by_id)
        };
        for waiter in waiters.into_values() {
            waiter.give_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::attributes::{Attributes, DirectoryEntry};

    #[test]
    fn no_more_data_is_kept_than_was_asked_for() {
        let data = |lengths: &[usize]| {
            Reply::Data(lengths.iter().map(|length| Bytes::from(vec![7; *length])).collect())
        };
        assert_eq!(kept(data(&[30_000, 2]), Bulk::Data(30_001)), data(&[]));
        assert_eq!(kept(data(&[30_000, 1]), Bulk::Data(30_001)), data(&[30_000, 1]));
        assert_eq!(kept(data(&[1; 1000]), Bulk::Data(1000)), data(&[1000]), "in one piece");
        assert_eq!(kept(data(&[1]), Bulk::Nothing), data(&[]), "for a request that is not a READ");
        assert_eq!(kept(data(&[1]), Bulk::Names), data(&[]));
        // A small part of a packet would keep all of it in memory.
        let packet = Bytes::from(vec![7; 30_000]);
        let Reply::Data(pieces) = kept(Reply::Data(vec![packet.slice(..9)]), Bulk::Data(9)) else { panic!() };
        assert_eq!(pieces, [&packet[..9]]);
        assert_ne!(pieces[0].as_ptr(), packet.as_ptr());
    }

    #[test]
    fn names_are_kept_for_a_listing_only() {
        let entry = DirectoryEntry { name: Bytes::from_static(b"a"), attributes: Attributes::default() };
        let names = Reply::Names(vec![entry]);
        assert_eq!(kept(names.clone(), Bulk::Names), names);
        assert_eq!(kept(names.clone(), Bulk::Nothing), Reply::Names(Vec::new()));
        assert_eq!(kept(names, Bulk::Data(30_000)), Reply::Names(Vec::new()));
    }
}
