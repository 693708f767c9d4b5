//! The server's end of a session without SSH, for tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::internals::{self, Ends};
use crate::protocol::packet::{ATTRS, DATA, HANDLE, INIT, STATUS};
use crate::{Endpoint, Options, Session, TrustedHostKeys};

/// The server's end of a session: the test decides what is answered, and when.
pub(super) struct Server {
    to_client: UnboundedSender<Bytes>,
    from_client: UnboundedReceiver<Bytes>,
    received: BytesMut,
}

impl Server {
    pub(super) async fn with_session() -> (Self, Arc<Session>) {
        let ((to_client, from_server), (to_server, from_client)) = (unbounded_channel(), unbounded_channel());
        to_client.send(Bytes::from_static(&[0, 0, 0, 5, 2, 0, 0, 0, 3])).unwrap();
        let endpoint = Endpoint { host: "h".into(), port: 22 };
        let unused = TrustedHostKeys::parse("SHA256:EqgMOfjVVOCSBqe5WRx1ct2B5wdXFrsg9q2wJ/ot6oU").unwrap();
        let ends = Ends { from_server, to_server };
        let session = internals::session(ends, endpoint, unused, Options::default()).await.unwrap();
        let mut server = Self { to_client, from_client, received: BytesMut::new() };
        let init = server.packet().await;
        assert_eq!(init[0], INIT);
        (server, Arc::new(session))
    }

    pub(super) async fn packet(&mut self) -> Bytes {
        loop {
            if let Some(mut head) = self.received.get(..4)
                && self.received.len() >= 4 + head.get_u32() as usize
            {
                let length = self.received.get_u32() as usize;
                return self.received.split_to(length).freeze();
            }
            let bytes = tokio::time::timeout(Duration::from_secs(5), self.from_client.recv()).await;
            self.received.extend_from_slice(&bytes.expect("a request").expect("a session"));
        }
    }

    /// The next request, if it is there: its kind, its id, and the rest.
    pub(super) fn try_request(&mut self) -> Option<(u8, u32, Bytes)> {
        while let Ok(bytes) = self.from_client.try_recv() {
            self.received.extend_from_slice(&bytes);
        }
        let length = self.received.get(..4)?.get_u32() as usize;
        self.received.get(..4 + length)?;
        self.received.advance(4);
        let mut packet = self.received.split_to(length).freeze();
        Some((packet.get_u8(), packet.get_u32(), packet))
    }

    /// The kind and the id of the next request.
    pub(super) async fn request(&mut self) -> (u8, u32) {
        let mut packet = self.packet().await;
        (packet.get_u8(), packet.get_u32())
    }

    /// The ids of the requests that come next, which are of these kinds.
    pub(super) async fn requests<const N: usize>(&mut self, kinds: [u8; N]) -> [u32; N] {
        let mut ids = [0; N];
        for (number, kind) in kinds.into_iter().enumerate() {
            let (is, id) = self.request().await;
            assert_eq!(is, kind, "request {number}");
            ids[number] = id;
        }
        ids
    }

    /// Whether the client is silent.
    pub(super) async fn hears_nothing(&mut self) -> bool {
        let heard = tokio::time::timeout(Duration::from_millis(50), self.from_client.recv()).await;
        self.received.is_empty() && heard.is_err()
    }

    pub(super) fn answer(&self, kind: u8, id: u32, body: impl FnOnce(&mut BytesMut)) {
        let mut packet = BytesMut::new();
        packet.put_u8(kind);
        packet.put_u32(id);
        body(&mut packet);
        let mut framed = BytesMut::new();
        framed.put_u32(packet.len() as u32);
        framed.extend_from_slice(&packet);
        // The client may have ended the session.
        drop(self.to_client.send(framed.freeze()));
    }

    pub(super) fn status(&self, id: u32, code: u32) {
        self.answer(STATUS, id, |body| {
            body.put_u32(code);
            body.put_u64(0);
        });
    }

    pub(super) fn size(&self, id: u32, size: u64) {
        self.answer(ATTRS, id, |body| {
            body.put_u32(1);
            body.put_u64(size);
        });
    }

    pub(super) fn handle(&self, id: u32) {
        self.answer(HANDLE, id, |body| {
            body.put_u32(1);
            body.put_u8(b'h');
        });
    }

    pub(super) fn data(&self, id: u32, data: &[u8]) {
        self.answer(DATA, id, |body| {
            body.put_u32(data.len() as u32);
            body.put_slice(data);
        });
    }
}
