//! Child processes that cannot outlive the process which started them.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The leash: a shell that leads a process group of its own and holds the other end of a pipe. The pipe ends
/// when its holder lets go or dies, whatever it died of; then the child and its descendants get a TERM (sshd's
/// sessions leave the group), and when the child is gone the whole group gets a KILL.
const LEASH: &str = r#"
exec 3<&0
rubbish=$1; shift
family() { for pid in $(cat /proc/$1/task/*/children 2>/dev/null); do echo $pid; family $pid; done; }
"$@" </dev/null 3<&- &
child=$!
(cat >/dev/null; kill -TERM $child $(family $child); sleep 5; kill -9 -$$) <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
wait $child
[ -z "$rubbish" ] || rm -rf "$rubbish"
kill -9 -$$
"#;

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
        command.args(["-c", LEASH, "leash"]).arg(rubbish.unwrap_or(Path::new("")));
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

/// A port of the loopback interface that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until something accepts connections on the port; fails early when the server has ended.
pub(crate) async fn wait_for_port(server: &mut Leashed, port: u16, log: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        if !server.is_running() || Instant::now() > deadline {
            bail!("the server on port {port} did not start:\n{}", tail(log));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The last lines of a log, for an error message.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
