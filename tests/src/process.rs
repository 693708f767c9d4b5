//! Child processes that cannot outlive the process that started them.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The leash: a shell that leads a process group of its own and reads from a pipe. The pipe ends when its holder closes
/// it or dies, for whatever reason. Then the shell stops the child, so that it starts no further processes; sends TERM to
/// the child's descendants (sshd's sessions leave the group) and to the child; and continues the child. After 5 s the
/// whole group gets KILL. When a server ends, its group is killed. When a task ends, its exit status is passed on.
const LEASH: &str = r#"
exec 3<&0
kind=$1 rubbish=$2; shift 2
family() { for pid in $(cat /proc/$1/task/*/children 2>/dev/null); do echo $pid; family $pid; done; }
"$@" </dev/null 3<&- &
child=$!
(cat >/dev/null; kill -STOP $child; kill -TERM $(family $child) $child; kill -CONT $child; sleep 5; kill -9 -$$) <&3 3<&- >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait $child
status=$?
[ -z "$rubbish" ] || rm -rf "$rubbish"
[ $kind = task ] || kill -9 -$$
kill $watcher
exit $status
"#;

/// The same command on a leash. Spawn it, and hold its standard input for as long as it may run.
pub fn task(command: &Command) -> tokio::process::Command {
    let mut leashed = run_by(command, "sh", &["-c", LEASH, "leash", "task", ""]);
    leashed.process_group(0).stdin(Stdio::piped());
    leashed.into()
}

/// The same command with the lowest priority: it takes what processor time the others leave.
pub fn with_low_priority(command: &Command) -> Command {
    run_by(command, "nice", &["-n", "19"])
}

/// The same command, started by another program that takes it as its last arguments.
fn run_by(command: &Command, program: &str, arguments: &[&str]) -> Command {
    let mut other = Command::new(program);
    other.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other
}

/// Runs a command on a leash to its end and returns what it printed.
pub async fn output(command: &Command) -> Result<Output> {
    let mut child = task(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let leash = child.stdin.take();
    let output = child.wait_with_output().await?;
    drop(leash);
    Ok(output)
}

/// Runs a command on a leash to its end, with what it prints in a log; the error holds the log's end.
pub async fn run(command: &Command, log: &Path) -> Result<()> {
    let file = File::options().create(true).append(true).open(log)?;
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().display();
    let mut child = task(command).stdout(file.try_clone()?).stderr(file).spawn()?;
    let leash = child.stdin.take();
    let status = child.wait().await.with_context(|| format!("cannot start {name}"))?;
    drop(leash);
    if !status.success() {
        bail!("{name} failed ({status}); the end of {}:\n{}", log.display(), tail(log));
    }
    Ok(())
}

/// A running server and everything it started. Ends on drop, and also when this process ends in any way.
#[derive(Debug)]
pub struct Leashed {
    shell: Child,
}

impl Leashed {
    /// The beginning of a command to be started with [`Leashed::start`]: add the program and its arguments.
    /// `rubbish`, if any, is removed when the program has ended.
    pub fn command(rubbish: Option<&Path>) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", LEASH, "leash", "server"]).arg(rubbish.unwrap_or(Path::new("")));
        command
    }

    /// Starts the command; what it prints is appended to `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let shell = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("cannot start sh")?;
        Ok(Self { shell })
    }

    /// Whether the program still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Ends the program and waits until it is gone.
    pub fn stop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A free port of the loopback interface. It is below the range from which the kernel picks ports, so that no outgoing
/// connection takes it before the server does. Each call returns another port.
pub fn free_port() -> Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    // Processes that run at the same time begin at different ports.
    let start = std::process::id().wrapping_mul(7919);
    for _ in PORTS {
        let step = CALLS.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + (start.wrapping_add(step) % u32::from(PORTS.end - PORTS.start)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("every port from {} to {} of 127.0.0.1 is in use", PORTS.start, PORTS.end - 1);
}

/// Below Linux's default `net.ipv4.ip_local_port_range` (32768 to 60999) and above most servers' ports.
const PORTS: Range<u16> = 12_000..32_000;

/// Waits until something accepts connections on the port. Fails early if the server ends.
pub(crate) async fn wait_for_port(server: &mut Leashed, port: u16, log: &Path) -> Result<()> {
    let connects = || TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until(server, log, connects).await.with_context(|| format!("port {port}"))
}

/// Waits until the server is there. Fails early if it ends.
pub(crate) async fn wait_until(server: &mut Leashed, log: &Path, is_there: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_there() {
        if !server.is_running() || Instant::now() > deadline {
            bail!("the server did not start:\n{}", tail(log));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Maximum memory of a process so far, in bytes. `None` if it has ended.
pub fn memory_peak(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
