//! A TCP proxy on loopback that can be told to misbehave while connections run through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::process::free_port;

/// What the proxy does to the connections through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it forwards, also what it held before.
    #[default]
    None,
    /// Resets every connection when the client has sent this many bytes through it.
    CutAfter(u64),
    /// Like [`Fault::CutAfter`], for the next connection to reach that many bytes only.
    CutOnceAfter(u64),
    /// Resets every connection when the server has sent this many bytes through it.
    CutAnswersAfter(u64),
    /// Like [`Fault::CutAnswersAfter`], for every connection but the first one through this proxy.
    CutFurtherAnswersAfter(u64),
    /// Becomes [`Fault::Refuse`] when a client has sent this many bytes through it: the server is gone, and stays away.
    RefuseAfter(u64),
    /// Stops forwarding in both directions: connections fall silent, and new ones are accepted and get no answer. As if the
    /// cable were unplugged.
    Swallow,
    /// Becomes [`Fault::Swallow`] when a client has sent this many bytes through it.
    SwallowAfter(u64),
    /// Closes the port and resets what runs through it.
    Refuse,
    /// Holds every byte this long, each way, without slowing the stream down.
    Delay(Duration),
    /// Forwards this many bytes a second in each direction of a connection.
    Rate(u64),
    /// Serves this many connections at the same time. A further one is accepted and gets no answer.
    Admit(u64),
}

impl Fault {
    /// Number of bytes in one direction after which something happens to the connection.
    fn limit(self, upward: bool, is_first: bool) -> Option<u64> {
        match self {
            Self::CutAfter(limit)
            | Self::CutOnceAfter(limit)
            | Self::RefuseAfter(limit)
            | Self::SwallowAfter(limit) => Some(limit).filter(|_| upward),
            Self::CutAnswersAfter(limit) => Some(limit).filter(|_| !upward),
            Self::CutFurtherAnswersAfter(limit) => Some(limit).filter(|_| !upward && !is_first),
            _ => None,
        }
    }

    /// What follows when the limit is reached.
    fn next(self) -> Self {
        match self {
            Self::CutOnceAfter(_) => Self::None,
            Self::RefuseAfter(_) => Self::Refuse,
            Self::SwallowAfter(_) => Self::Swallow,
            same => same,
        }
    }
}

#[derive(Debug, Default)]
struct Counters {
    up: AtomicU64,
    down: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
    open_max: AtomicU64,
}

/// One of the open connections: until its client has closed it. The server closes its end later, if it is busy.
struct Open(Arc<Counters>);

impl Open {
    fn count(counters: &Arc<Counters>) -> Self {
        let open = counters.open.fetch_add(1, Ordering::Relaxed) + 1;
        counters.open_max.fetch_max(open, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The running proxy; it ends, and its connections with it, on drop.
#[derive(Debug)]
pub struct FaultProxy {
    /// Where clients connect to.
    pub port: u16,
    counters: Arc<Counters>,
    fault: Arc<watch::Sender<Fault>>,
    cut: watch::Sender<()>,
    orders: mpsc::Sender<oneshot::Sender<()>>,
    listening: tokio::task::JoinHandle<()>,
}

impl FaultProxy {
    /// Forwards to a port of the loopback interface.
    pub async fn start(target: u16) -> Result<Self> {
        // The port can be closed and opened again: no outgoing connection may take it in the meantime.
        let port = free_port()?;
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let fault = Arc::new(watch::Sender::new(Fault::None));
        let cut = watch::Sender::new(());
        let (orders, queue) = mpsc::channel(1);
        let counters = Arc::new(Counters::default());
        let server = Server {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            target: SocketAddr::from(([127, 0, 0, 1], target)),
            fault: fault.clone(),
            cut: cut.clone(),
            counters: counters.clone(),
        };
        let listening = tokio::spawn(server.run(listener, queue));
        Ok(Self { port, counters, fault, cut, orders, listening })
    }

    /// Misbehaves from now on; returns when the change has taken hold.
    pub async fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        let (done, wait) = oneshot::channel();
        if self.orders.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }

    /// Resets every connection that runs now; new ones are served.
    pub fn cut(&self) {
        self.cut.send_replace(());
    }

    /// Bytes forwarded from client to server.
    pub fn bytes_up(&self) -> u64 {
        self.counters.up.load(Ordering::Relaxed)
    }

    /// Bytes forwarded from server to client.
    pub fn bytes_down(&self) -> u64 {
        self.counters.down.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.counters.open.load(Ordering::Relaxed)
    }

    /// The highest number of connections that were open at the same time.
    pub fn open_max(&self) -> u64 {
        self.counters.open_max.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listening.abort();
        self.cut();
    }
}

struct Server {
    address: SocketAddr,
    target: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    cut: watch::Sender<()>,
    counters: Arc<Counters>,
}

impl Server {
    async fn run(self, listener: TcpListener, mut orders: mpsc::Receiver<oneshot::Sender<()>>) {
        let mut listener = Some(listener);
        let mut changes = self.fault.subscribe();
        loop {
            let accepted = async {
                match &listener {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(done) = orders.recv() => {
                    self.open_or_close(&mut listener).await;
                    let _ = done.send(());
                }
                // A fault may bring about the next one.
                Ok(()) = changes.changed() => self.open_or_close(&mut listener).await,
                Ok((client, _)) = accepted => {
                    let before = self.counters.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(self.connection(client, before == 0));
                }
            }
        }
    }

    /// A port that refuses is one on which nobody listens.
    async fn open_or_close(&self, listener: &mut Option<TcpListener>) {
        if *self.fault.borrow() == Fault::Refuse {
            *listener = None;
            self.cut.send_replace(());
        } else if listener.is_none() {
            *listener = TcpListener::bind(self.address).await.ok();
        }
    }

    fn connection(&self, mut client: TcpStream, is_first: bool) -> impl Future<Output = ()> + use<> {
        let mut cut = self.cut.subscribe();
        let (target, counters, fault) = (self.target, self.counters.clone(), self.fault.clone());
        let open = Open::count(&counters);
        let admitted = match *fault.borrow() {
            Fault::Admit(most) => counters.open.load(Ordering::Relaxed) <= most,
            _ => true,
        };
        async move {
            if !admitted {
                let _open = open;
                let mut unheard = tokio::io::sink();
                tokio::select! {
                    _ = tokio::io::copy(&mut client, &mut unheard) => {}
                    _ = cut.changed() => {}
                }
                return;
            }
            let Ok(server) = TcpStream::connect(target).await else { return drop(open) };
            for stream in [&client, &server] {
                let _ = stream.set_nodelay(true);
                // Dropped halves then send a reset, as a cut cable's other end or a firewall does.
                let _ = stream.set_zero_linger();
            }
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let count_up = |n| counters.up.fetch_add(n, Ordering::Relaxed);
            let count_down = |n| counters.down.fetch_add(n, Ordering::Relaxed);
            let upward = async {
                let sent = pump(from_client, to_server, &fault, (true, is_first), count_up).await;
                drop(open);
                sent
            };
            let both = async {
                tokio::try_join!(upward, pump(from_server, to_client, &fault, (false, is_first), count_down),)
            };
            tokio::select! {
                _ = both => {}
                _ = cut.changed() => {}
            }
        }
    }
}

/// Of each direction of a connection: enough for 500 MB/s that are 100 ms late.
const QUEUED_BYTES_MAX: usize = 64 << 20;

/// The connection is to be reset.
struct Cut;

/// Bytes on their way.
struct Piece {
    arrived: Instant,
    bytes: Vec<u8>,
    _room: Result<OwnedSemaphorePermit, AcquireError>,
}

/// How long one direction of a connection takes.
struct Line {
    /// When it has carried what was given to it.
    free: Instant,
    fault: watch::Receiver<Fault>,
}

impl Line {
    /// Waits until the piece is at the other end. A fault that changes in the meantime counts from then on.
    async fn carry(&mut self, piece: &Piece) {
        loop {
            let due = match *self.fault.borrow_and_update() {
                Fault::Delay(delay) => piece.arrived + delay,
                Fault::Rate(rate) => {
                    let takes = Duration::from_secs_f64(piece.bytes.len() as f64 / rate as f64);
                    self.free.max(piece.arrived) + takes
                }
                _ => piece.arrived,
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due) => {
                    self.free = due;
                    return;
                }
                Ok(()) = self.fault.changed() => {}
            }
        }
    }
}

/// Forwards one direction until its end, which is passed on, or until a fault cuts it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fault: &Arc<watch::Sender<Fault>>,
    (upward, is_first): (bool, bool),
    count: impl Fn(u64) -> u64,
) -> Result<(), Cut> {
    // The queue is what holds delayed bytes. Bounded by them and not by their pieces, of which an answer a packet
    // makes many: they are to be late and not slow.
    let (queue, mut pieces) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(QUEUED_BYTES_MAX));
    let reader = async move {
        let mut seen = 0;
        let mut changed = fault.subscribe();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let _ = changed.wait_for(|fault| *fault != Fault::Swallow).await;
            let now = *changed.borrow_and_update();
            let mut wanted = buffer.len();
            if let Some(limit) = now.limit(upward, is_first) {
                if seen >= limit {
                    fault.send_replace(now.next());
                    if now.next() == Fault::Swallow {
                        continue;
                    }
                    return Err(Cut);
                }
                wanted = wanted.min((limit - seen) as usize);
            }
            let read = tokio::select! {
                read = from.read(&mut buffer[..wanted]) => read.map_err(|_| Cut)?,
                // A read that began before the fault must not carry on past it.
                _ = changed.changed() => continue,
            };
            if read == 0 {
                return Ok(());
            }
            seen += read as u64;
            let room = room.clone().acquire_many_owned(read as u32).await;
            let bytes = buffer[..read].to_vec();
            let _ = queue.send(Piece { arrived: Instant::now(), bytes, _room: room });
        }
    };
    // Ends when the reader has ended and the queue is empty: what came before a cut still arrives.
    let writer = async {
        let mut line = Line { free: Instant::now(), fault: fault.subscribe() };
        while let Some(piece) = pieces.recv().await {
            line.carry(&piece).await;
            to.write_all(&piece.bytes).await.map_err(|_| Cut)?;
            count(piece.bytes.len() as u64);
        }
        Ok(())
    };
    let (read, written) = tokio::join!(reader, writer);
    read.and(written)?;
    to.shutdown().await.map_err(|_| Cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        port
    }

    async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
        stream.write_all(bytes).await?;
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).await?;
        assert_eq!(back, bytes);
        Ok(())
    }

    #[tokio::test]
    async fn forwards_delays_cuts_swallows_and_refuses() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port));

        let mut stream = connect().await.unwrap();
        round_trip(&mut stream, b"hello").await.unwrap();
        assert_eq!((proxy.bytes_up(), proxy.bytes_down()), (5, 5));

        proxy.set(Fault::Delay(Duration::from_millis(60))).await;
        let start = Instant::now();
        round_trip(&mut stream, b"hello").await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(120));

        proxy.set(Fault::CutOnceAfter(100)).await;
        let mut cut = connect().await.unwrap();
        assert!(round_trip(&mut cut, &[7; 200]).await.is_err());
        let mut stream = connect().await.unwrap();
        round_trip(&mut stream, &[7; 200]).await.unwrap();

        proxy.set(Fault::CutAfter(100)).await;
        for _ in 0..2 {
            assert!(round_trip(&mut connect().await.unwrap(), &[7; 200]).await.is_err());
        }

        proxy.set(Fault::RefuseAfter(100)).await;
        assert!(round_trip(&mut connect().await.unwrap(), &[7; 200]).await.is_err());
        // The port closes a moment after.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(connect().await.is_err());

        proxy.set(Fault::Rate(1_000_000)).await;
        let start = Instant::now();
        round_trip(&mut connect().await.unwrap(), &[7; 200_000]).await.unwrap();
        assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());

        proxy.set(Fault::None).await;
        let mut silent = connect().await.unwrap();
        round_trip(&mut silent, b"before").await.unwrap();
        proxy.set(Fault::Swallow).await;
        let answer =
            tokio::time::timeout(Duration::from_millis(100), round_trip(&mut silent, b"after")).await;
        assert!(answer.is_err(), "neither bytes nor an end: {answer:?}");

        proxy.set(Fault::Refuse).await;
        assert!(connect().await.is_err());
        proxy.set(Fault::None).await;
        round_trip(&mut connect().await.unwrap(), b"again").await.unwrap();

        proxy.set(Fault::SwallowAfter(101)).await;
        let mut stream = connect().await.unwrap();
        round_trip(&mut stream, &[7; 100]).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(100), round_trip(&mut stream, &[7])).await;
        assert!(answer.is_err(), "neither bytes nor an end: {answer:?}");
    }

    #[tokio::test]
    async fn admits_so_many_and_counts_them() {
        let proxy = FaultProxy::start(echo().await).await.unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port));
        proxy.set(Fault::Admit(1)).await;
        let mut first = connect().await.unwrap();
        round_trip(&mut first, b"first").await.unwrap();
        let mut second = connect().await.unwrap();
        let answer =
            tokio::time::timeout(Duration::from_millis(100), round_trip(&mut second, b"second")).await;
        assert!(answer.is_err(), "neither bytes nor an end: {answer:?}");
        assert_eq!((proxy.connections(), proxy.open(), proxy.open_max()), (2, 2, 2));
        drop((first, second));
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!((proxy.open(), proxy.open_max()), (0, 2));
        round_trip(&mut connect().await.unwrap(), b"third").await.unwrap();
    }
}
