//! A distance: two network namespaces, and between them a line that delays, or also loses, packets. TCP is the kernel's
//! on both sides. Only for root on Linux. Nothing has to be removed: the namespaces and their devices exist as long as
//! this process holds them, or another one runs in them.

mod line;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::tools::python;

pub use line::Distance;

const CHUNK: usize = 256 * 1024;

/// The address of the near end. RFC 2544 reserves these addresses for benchmarks.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The address of the far end.
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// Two namespaces and the line between them.
#[derive(Debug)]
pub struct Far {
    /// Where the clients run.
    pub near: Namespace,
    /// Where the servers run.
    pub far: Namespace,
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    link: File,
}

impl Far {
    /// Fails if this machine allows no namespaces or TUN devices.
    pub fn start(distance: Distance) -> Result<Self> {
        let joined = distance.loss == 0.0;
        let (near, near_device) = end(NEAR, FAR, joined).context("the near end")?;
        let (far, far_device) = end(FAR, NEAR, joined).context("the far end")?;
        let (near_device, far_device) = (Arc::new(near_device), Arc::new(far_device));
        line::carry(near_device.clone(), far_device.clone(), distance, 1);
        line::carry(far_device, near_device, distance, 2);
        Ok(Self { near, far })
    }

    /// How long the kernel's TCP takes for this many bytes, from connecting to the answer of a reader who has them all.
    pub fn tcp_alone(&self, bytes: u64) -> Result<Duration> {
        let listener = self.far.run(|| Ok(TcpListener::bind((FAR, 0))?))?;
        let address = listener.local_addr()?;
        let reader = thread::spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut buffer = vec![0; CHUNK];
            let mut left = bytes;
            while left > 0 {
                match stream.read(&mut buffer)? {
                    0 => bail!("{left} bytes did not arrive"),
                    read => left -= read as u64,
                }
            }
            Ok(stream.write_all(&[1])?)
        });
        let start = Instant::now();
        let mut stream = self.near.run(|| Ok(TcpStream::connect(address)?))?;
        let chunk = vec![0; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let length = left.min(CHUNK as u64);
            stream.write_all(&chunk[..length as usize])?;
            left -= length;
        }
        stream.read_exact(&mut [0])?;
        let took = start.elapsed();
        reader.join().expect("the reader panicked")?;
        Ok(took)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // The threads of the line end with their devices.
        for namespace in [&self.near, &self.far] {
            let _ = namespace.run(|| Ok(Command::new("ip").args(["link", "delete", "line"]).status()?));
        }
    }
}

impl Namespace {
    pub(crate) fn try_clone(&self) -> Result<Self> {
        Ok(Self { link: self.link.try_clone()? })
    }

    /// The file by which `nsenter --net=FILE` and others enter it. It exists while this process holds the namespace.
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.link.as_raw_fd())
    }

    /// The beginning of a command that runs in this namespace: add the program and its arguments.
    pub fn entrance(&self) -> [String; 3] {
        ["nsenter".to_owned(), format!("--net={}", self.path()), "--".to_owned()]
    }

    /// Does something in a thread of this namespace. Sockets belong to the namespace where they were made.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || {
            move_into_link_name_space(self.link.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().expect("the thread panicked"))
    }
}

/// Makes a namespace with its end of the line.
fn end(address: Ipv4Addr, peer: Ipv4Addr, joined: bool) -> Result<(Namespace, File)> {
    let mut child = Command::new("unshare");
    child.args(["--net", "--", python()?, "-c", include_str!("far/end.py")]);
    child.args([address.to_string(), peer.to_string()]).arg(if joined { "joined" } else { "single" });
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().context("cannot start unshare")?;
    let mut said = String::new();
    BufReader::new(child.stdout.take().context("no output")?).read_line(&mut said)?;
    let Ok(device) = said.trim().parse() else {
        let mut why = String::new();
        child.stderr.take().context("no output")?.read_to_string(&mut why)?;
        child.wait()?;
        bail!("{}", why.trim().lines().last().unwrap_or("unshare printed nothing"));
    };
    let link = File::open(format!("/proc/{}/ns/net", child.id()))?;
    let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    let device = pidfd_getfd(process, device, PidfdGetfdFlags::empty())?;
    drop(child.stdin.take());
    child.wait()?;
    Ok((Namespace { link }, File::from(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(round_trip: u64, loss: f64) -> Option<Far> {
        let far = Far::start(Distance { round_trip: Duration::from_millis(round_trip), loss });
        far.inspect_err(|why| crate::skip(&format!("no distance between two namespaces: {why:#}"))).ok()
    }

    #[test]
    fn a_round_trip_takes_as_long_as_it_should_and_every_byte_arrives() {
        let Some(far) = start(40, 0.0) else { return };
        // To connect, and to send the byte and get the answer.
        let one = far.tcp_alone(1).unwrap();
        assert!(one >= Duration::from_millis(80), "{one:?}");
        far.tcp_alone(20 << 20).unwrap();
    }

    #[test]
    fn what_is_lost_is_sent_again() {
        let Some(far) = start(2, 5.0) else { return };
        far.tcp_alone(1 << 20).unwrap();
    }

    #[test]
    fn nothing_stays() {
        let Some(far) = start(1, 0.0) else { return };
        let path = far.near.path();
        let interfaces = || std::fs::read_to_string("/proc/self/net/dev").unwrap();
        assert!(!interfaces().contains("line:"), "it is in this namespace");
        assert!(
            far.near
                .run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/dev")?))
                .unwrap()
                .contains("line:")
        );
        drop(far);
        assert!(File::open(path).is_err());
    }

    /// `cargo test --package integration-tests --lib far -- --ignored --nocapture`
    #[test]
    #[ignore = "measures"]
    fn how_fast_the_line_is() {
        for (round_trip, loss) in [(0, 0.0), (2, 0.0), (20, 0.0), (50, 0.0), (200, 0.0), (50, 0.5)] {
            let Some(far) = start(round_trip, loss) else { return };
            let bytes: u64 = if loss > 0.0 { 10 << 20 } else { 256 << 20 };
            let one = far.tcp_alone(1).unwrap();
            let all = far.tcp_alone(bytes).unwrap();
            let rate = bytes as f64 / 1e6 / all.as_secs_f64();
            println!(
                "{round_trip} ms, {loss} % lost: 1 byte {one:?}, {bytes} bytes {all:?} ({rate:.0} MB/s)"
            );
        }
    }
}
