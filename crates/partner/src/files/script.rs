//! A server for tests that waits for a flight of requests, and answers them in the order that the test says.

use bridge::TrustedHostKeys;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use sftp::internals::Ends;
use sftp::{Endpoint, Options, Session};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Open = 3,
    Close = 4,
    Setstat = 9,
    Stat = 17,
    Rename = 18,
}

/// What is answered.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Ok,
    NoSuchFile,
    Failure,
    Handle,
    /// A file of this size, mode and time.
    File(u64, u32, u32),
}

pub(crate) struct Server {
    to_client: UnboundedSender<Bytes>,
    from_client: UnboundedReceiver<Bytes>,
    received: BytesMut,
}

impl Server {
    /// The server, and a session with it.
    pub(crate) async fn start() -> (Self, Session) {
        let ((to_client, from_server), (to_server, mut from_client)) =
            (unbounded_channel(), unbounded_channel());
        to_client.send(Bytes::from_static(&[0, 0, 0, 5, 2, 0, 0, 0, 3])).unwrap();
        let endpoint = Endpoint { host: "h".into(), port: 22 };
        let unused = TrustedHostKeys::parse("SHA256:EqgMOfjVVOCSBqe5WRx1ct2B5wdXFrsg9q2wJ/ot6oU").unwrap();
        let ends = Ends { from_server, to_server };
        let session = sftp::internals::session(ends, endpoint, unused, Options::default()).await.unwrap();
        from_client.recv().await.expect("INIT");
        (Self { to_client, from_client, received: BytesMut::new() }, session)
    }

    /// Waits until these requests have come, in this order, before any is answered. Answers them in the order given by
    /// their places.
    pub(crate) async fn flight(&mut self, asks: &[Ask], answers: &[(usize, Answer)]) {
        let ids = self.receive(asks).await;
        answers.iter().for_each(|(place, answer)| self.answer(ids[*place], *answer));
    }

    /// Returns the ids of the requests.
    pub(crate) async fn receive(&mut self, asks: &[Ask]) -> Vec<u32> {
        let mut ids = Vec::new();
        for ask in asks {
            let (kind, id) = self.request().await;
            assert_eq!(kind, *ask as u8, "expected {ask:?}");
            ids.push(id);
        }
        ids
    }

    pub(crate) fn answer(&self, id: u32, answer: Answer) {
        self.to_client.send(encode(id, answer)).unwrap();
    }

    async fn request(&mut self) -> (u8, u32) {
        loop {
            if let Some(mut head) = self.received.get(..9) {
                let (length, kind, id) = (head.get_u32() as usize, head.get_u8(), head.get_u32());
                if self.received.len() >= 4 + length {
                    self.received.advance(4 + length);
                    return (kind, id);
                }
            }
            self.received.extend_from_slice(&self.from_client.recv().await.expect("a request"));
        }
    }
}

fn encode(id: u32, answer: Answer) -> Bytes {
    let mut body = BytesMut::new();
    let mut head = |kind: u8| {
        body.put_u8(kind);
        body.put_u32(id);
    };
    match answer {
        Answer::Ok | Answer::NoSuchFile | Answer::Failure => {
            head(101);
            body.put_u32(match answer {
                Answer::Ok => 0,
                Answer::NoSuchFile => 2,
                _ => 4,
            });
        }
        Answer::Handle => {
            head(102);
            body.put_u32(1);
            body.put_u8(7);
        }
        Answer::File(size, mode, time) => {
            head(105);
            body.put_u32(0x01 | 0x04 | 0x08);
            body.put_u64(size);
            body.put_u32(0o100_000 | mode);
            body.put_u32(time);
            body.put_u32(time);
        }
    }
    let mut packet = BytesMut::new();
    packet.put_u32(u32::try_from(body.len()).unwrap());
    packet.unsplit(body);
    packet.freeze()
}
