//! `s3-sftp-bridge collect` and `list`, the real binary.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use integration_tests::cli::{self, Ran};
use integration_tests::embedded::{LostAnswer, Quirks};
use integration_tests::fault_proxy::Fault;
use integration_tests::keys::{Encoding, KeyPair, Kind};
use integration_tests::object_source::{Body, Quirks as StoreQuirks};
use integration_tests::partner::Partner;
use integration_tests::process::memory_peak;
use serde_json::Value;
use tokio::process::Command;

use crate::collection::Collection;

const MIB: u64 = 1024 * 1024;

/// The command, with a folder for the state of runs.
struct CommandLine {
    collection: Collection,
    state: tempfile::TempDir,
}

impl CommandLine {
    async fn new() -> Self {
        Self::of(Collection::new().await)
    }

    fn of(mut collection: Collection) -> Self {
        // The files of these tests are finished.
        collection.set("COLLECT_SETTLE_SECONDS", 0);
        Self { collection, state: tempfile::tempdir().unwrap() }
    }

    async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cli::operate(self.collection.source.environment(), arguments).await;
        command.envs(&self.collection.variables).env("XDG_STATE_HOME", self.state.path());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        cli::run(self.command(arguments).await).await
    }

    /// What each line of JSON says.
    async fn json(&self, arguments: &[&str]) -> (Vec<Value>, Ran) {
        let ran = self.run(&[arguments, &["--json"]].concat()).await;
        (ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), ran)
    }

    /// What `list` says of each path: its symbol, its state and its reason.
    async fn listed(&self, arguments: &[&str]) -> BTreeMap<String, (String, String, String)> {
        let (lines, ran) = self.json(&[&["list"], arguments].concat()).await;
        assert_eq!(ran.status, 0, "{ran:?}");
        let text = |line: &Value, field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let entries = lines.iter().filter(|line| line.get("path").is_some());
        entries
            .map(|line| {
                (text(line, "path"), (text(line, "symbol"), text(line, "state"), text(line, "reason")))
            })
            .collect()
    }

    fn stored(&self, object_key: &str) -> Option<Vec<u8>> {
        let object = self.collection.source.object(&format!("collected/{object_key}"))?;
        Some(object.contents.unwrap().to_vec())
    }

    /// Waits until S3 has been given more than this.
    async fn stores_more_than(&self, bytes: u64) {
        let source = &self.collection.source;
        let deadline = Instant::now() + Duration::from_secs(60);
        while source.received() <= bytes {
            assert!(Instant::now() < deadline, "{} bytes were stored", source.received());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All files in the directory, with their contents.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&self.collection.local(""))
    }
}

/// Runs a command to its end. Also returns how much memory it took at most, in bytes.
async fn run_watched(mut command: Command) -> (Ran, u64) {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().unwrap();
    let mut ending = tokio::spawn(child.wait_with_output());
    let mut peak = 0;
    let output = loop {
        tokio::select! {
            ended = &mut ending => break ended.unwrap().unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => peak = memory_peak(id).unwrap_or_default().max(peak),
        }
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (Ran { status, stdout: text(output.stdout), stderr: text(output.stderr) }, peak)
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap_or_default());
            }
        }
    }
    found
}

#[tokio::test]
async fn everything_that_is_due_is_taken_and_archived_and_a_second_run_takes_nothing() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_RECURSIVE", true);
    let contents = |number: usize| format!("file {number}").repeat(number * 37).into_bytes();
    for number in 0..40 {
        line.collection.leave(&format!("{}/file {number}.csv", number % 4), &contents(number));
    }
    let (receipts, ran) = line.json(&["collect"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(receipts.len(), 40);
    for receipt in &receipts {
        assert_eq!(receipt["outcome"], "collected", "{receipt}");
        assert!(receipt["afterwards"].as_str().unwrap().starts_with("archived as out/"), "{receipt}");
    }
    assert!(ran.stderr.contains("40 collected, 0 not needed, 0 failed"), "{}", ran.stderr);
    for number in 0..40 {
        let key = format!("{}/file {number}.csv", number % 4);
        assert!(line.stored(&key) == Some(contents(number)), "{key}");
    }
    let left = line.files();
    assert_eq!(left.len(), 40);
    assert!(left.keys().all(|path| path.contains("/.done/")), "{left:?}");

    let before = line.collection.source.requests();
    let again = line.run(&["collect"]).await;
    assert_eq!((again.status, again.stdout.as_str()), (0, ""), "{}", again.stderr);
    assert!(again.stderr.contains("0 collected, 0 not needed, 0 failed"), "{}", again.stderr);
    assert_eq!(line.files(), left);
    // The credential.
    assert!(line.collection.source.requests() - before <= 2, "nothing is asked of S3");
}

#[tokio::test]
async fn a_dry_run_says_what_is_due_and_touches_nothing() {
    let line = CommandLine::new().await;
    line.collection.leave("a.csv", b"1234");
    line.collection.leave("b.tmp", b"5");
    let (before, changes) = (line.files(), line.collection.source.changes());
    let ran = line.run(&["collect", "--dry-run"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(ran.stdout, "+ a.csv  (4 bytes; to s3://collected/a.csv)\n");
    assert!(ran.stderr.contains("1 due (+)") && ran.stderr.contains("1 passed over (-)"), "{}", ran.stderr);
    let (lines, _) = line.json(&["collect", "--dry-run"]).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((&lines[0]["path"], &lines[0]["due"]), (&"a.csv".into(), &true.into()));
    assert_eq!((line.files(), line.collection.source.changes()), (before, changes));
}

#[tokio::test]
async fn story_279_one_file_that_cannot_be_read_is_reported_and_the_others_arrive() {
    // The superuser reads everything, so the server is to be another user's.
    let line = CommandLine::new().await;
    for number in 0..20 {
        line.collection.leave(&format!("{number}.csv"), b"good");
    }
    line.collection.leave("bad.csv", b"bad");
    let mode = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(line.collection.local("bad.csv"), mode).unwrap();
    let is_superuser = std::fs::read(line.collection.local("bad.csv")).is_ok();
    if is_superuser {
        // A directory in its place cannot be read as a file either, and is listed as none.
        integration_tests::skip("an unreadable file: this user reads everything");
        return;
    }
    let ran = line.run(&["collect"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("20 collected, 0 not needed, 1 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("bad.csv: RemoteUnreadable: "), "{}", ran.stderr);
    for number in 0..20 {
        assert_eq!(line.stored(&format!("{number}.csv")), Some(b"good".to_vec()));
    }
    assert!(line.collection.local("bad.csv").exists());
}

/// The same without permissions: an object that must not be replaced.
#[tokio::test]
async fn story_279_one_file_that_fails_stops_no_other() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_IF_EXISTS", "fail");
    line.collection.source.put("collected/bad.csv", Body::Bytes(b"another".to_vec())).unwrap();
    for number in 0..20 {
        line.collection.leave(&format!("{number}.csv"), b"good");
    }
    line.collection.leave("bad.csv", b"bad");
    let ran = line.run(&["collect"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("20 collected, 0 not needed, 1 failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("bad.csv: ObjectWriteRefused: "), "{}", ran.stderr);
    assert!(line.collection.local("bad.csv").exists(), "what was not stored stays");
    assert_eq!(line.stored("bad.csv"), Some(b"another".to_vec()));
}

#[tokio::test]
async fn story_274_a_run_that_was_killed_goes_on_in_the_next() {
    let mut line = CommandLine::new().await;
    let size = 96 * MIB;
    line.collection.leave_pattern("large.bin", size);
    let contents = std::fs::read(line.collection.local("large.bin")).unwrap();
    let proxy = line.collection.through_proxy(Fault::Rate(16_000_000)).await;
    let mut killed = line.command(&["collect"]).await;
    let mut child = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    line.stores_more_than(32 * MIB).await;
    child.kill().await.unwrap();
    assert_eq!(line.stored("large.bin"), None, "a part is never seen");
    assert_eq!(line.collection.source.uploads(), 1);
    proxy.set(Fault::None).await;
    let (receipts, ran) = line.json(&["collect"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let receipt = &receipts[0];
    assert_eq!((&receipt["outcome"], &receipt["resumes"]), (&"collected".into(), &1.into()), "{receipt}");
    let sent = line.collection.source.received();
    assert!(sent < size + 40 * MIB, "{sent} bytes were stored for {size}");
    assert!(line.stored("large.bin").unwrap() == contents);
    assert_eq!(line.collection.source.uploads(), 0);
    let states = std::fs::read_dir(line.state.path().join("s3-sftp-bridge")).unwrap().count();
    assert_eq!(states, 0, "nothing is left of the run");
}

#[tokio::test]
async fn a_file_that_changed_after_a_killed_run_begins_again_and_its_old_upload_ends() {
    let mut line = CommandLine::new().await;
    line.collection.leave_pattern("large.bin", 64 * MIB);
    let proxy = line.collection.through_proxy(Fault::Rate(16_000_000)).await;
    let mut killed = line.command(&["collect"]).await;
    let mut child = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    line.stores_more_than(24 * MIB).await;
    child.kill().await.unwrap();
    proxy.set(Fault::None).await;
    line.collection.leave("large.bin", b"another file now");
    let ran = line.run(&["collect"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert_eq!(line.stored("large.bin"), Some(b"another file now".to_vec()));
    assert_eq!(line.collection.source.uploads(), 0, "nothing is left of the first one");
    let states = std::fs::read_dir(line.state.path().join("s3-sftp-bridge")).unwrap().count();
    assert_eq!(states, 0, "nor is its state");
}

/// Ctrl-C in the middle of a file that is uploaded in parts: what was cut off is resumed by the next run, or removed from S3.
#[tokio::test]
async fn what_a_stop_cuts_off_is_resumed_or_removed() {
    for keeps_state in [true, false] {
        let mut line = CommandLine::new().await;
        line.collection.leave_pattern("large.bin", 64 * MIB);
        let proxy = line.collection.through_proxy(Fault::Rate(16_000_000)).await;
        let mut command = line.command(&["collect"]).await;
        if !keeps_state {
            command.env("XDG_STATE_HOME", "/dev/null/nowhere");
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        line.stores_more_than(24 * MIB).await;
        // It does not end by itself before the signal is heard.
        proxy.set(Fault::Swallow).await;
        interrupt(child.id().unwrap());
        let output = child.wait_with_output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let said = if keeps_state { "run the same command again. S3 keeps" } else { "were removed from S3" };
        assert!(stderr.contains(said) && stderr.contains("1 not finished"), "{stderr}");
        assert_eq!(line.collection.source.uploads(), usize::from(keeps_state), "{stderr}");
        assert_eq!(line.stored("large.bin"), None);
        assert!(line.collection.local("large.bin").exists());

        proxy.set(Fault::None).await;
        let before = line.collection.source.received();
        let ran = line.run(&["collect"]).await;
        assert!(ran.status == 0 && ran.stderr.contains("1 collected"), "{ran:?}");
        let again = line.collection.source.received() - before;
        assert_eq!(again < 48 * MIB, keeps_state, "{again} bytes");
        assert_eq!(line.collection.source.uploads(), 0);
        let contents =
            std::fs::read(line.collection.local("").join(line.files().keys().next().unwrap())).unwrap();
        assert!(line.stored("large.bin") == Some(contents));
    }
}

/// The server has renamed the file, and its answer never comes.
#[tokio::test]
async fn a_run_that_was_killed_after_archiving_a_file_leaves_its_receipt_to_the_next() {
    let lost = Quirks { lost_answer: Some(LostAnswer::to("rename")), ..Quirks::default() };
    let line = CommandLine::of(Collection::from(Partner::embedded(lost).await.unwrap()));
    std::fs::create_dir(line.collection.local(".done")).unwrap();
    line.collection.leave_pattern("a.bin", 2 * MIB);
    let mut killed = line.command(&["collect"]).await;
    let mut child = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while line.collection.local("a.bin").exists() {
        assert!(Instant::now() < deadline, "it was not archived");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    child.kill().await.unwrap();
    let (receipts, ran) = line.json(&["collect"]).await;
    assert_eq!((ran.status, receipts.len()), (0, 1), "{}", ran.stderr);
    let afterwards = receipts[0]["afterwards"].as_str().unwrap();
    let archived = line.files().into_keys().next().unwrap();
    assert_eq!(afterwards, format!("archived as out/{archived}"), "{}", receipts[0]);
    assert_eq!(receipts[0]["outcome"], "collected");
    let (receipts, ran) = line.json(&["collect"]).await;
    assert_eq!((ran.status, receipts.len()), (0, 0), "once: {}", ran.stderr);
}

/// What S3 has is not what was sent, but says by its metadata that it is this file.
#[tokio::test]
async fn after_an_object_that_is_another_one_the_next_run_does_not_believe_its_metadata() {
    for size in [300, 2 * MIB, 20 * MIB] {
        let line = CommandLine::new().await;
        line.collection.leave_pattern("a.bin", size);
        let contents = std::fs::read(line.collection.local("a.bin")).unwrap();
        line.collection.source.quirks(StoreQuirks { alters: true, ..StoreQuirks::default() });
        let ran = line.run(&["collect"]).await;
        assert!(ran.status == 1 && ran.stderr.contains("ObjectMismatch"), "{ran:?}");
        assert!(line.collection.local("a.bin").exists(), "it is the only copy");

        line.collection.source.quirks(StoreQuirks::default());
        let (receipts, ran) = line.json(&["collect"]).await;
        assert_eq!(ran.status, 0, "{size}: {}", ran.stderr);
        assert_eq!(receipts[0]["outcome"], "collected", "{size}: {}", receipts[0]);
        assert!(line.stored("a.bin") == Some(contents), "{size}");
        let states = std::fs::read_dir(line.state.path().join("s3-sftp-bridge")).unwrap().count();
        assert_eq!(states, 0, "nothing is left of the runs");
    }
}

/// Ctrl-C; SIGTERM does the same where this test was started with SIGINT ignored, as in the background of a shell.
fn interrupt(id: u32) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0").trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    let signal = if ignored >> 1 & 1 == 1 { "-TERM" } else { "-INT" };
    assert!(std::process::Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

#[tokio::test]
async fn list_says_why_each_name_is_not_taken() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_AFTERWARDS", "leave");
    line.collection.set("COLLECT_MARKER", "{name}.ok");
    for (path, contents) in [
        ("due.csv", &b"1"[..]),
        ("due.csv.ok", b""),
        ("waiting.csv", b"22"),
        ("seen.csv", b"333"),
        ("seen.csv.ok", b""),
        ("half.csv.part", b"4"),
        (".hidden", b"5"),
        ("below/x.csv", b"6"),
        (".done/20261127091500-old.csv", b"7"),
    ] {
        line.collection.leave(path, contents);
    }
    symlink("/etc/passwd", line.collection.local("link.csv")).unwrap();
    let ran = line.run(&["collect", "seen.csv"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let before = line.files();
    let listed = line.listed(&[]).await;
    for (path, symbol, state) in [
        ("due.csv", "+", "due"),
        ("waiting.csv", "-", "marker_missing"),
        ("seen.csv", "=", "collected"),
        ("half.csv.part", "-", "excluded"),
        (".hidden", "-", "excluded"),
        ("below", "-", "directory"),
        ("link.csv", "-", "link"),
        ("due.csv.ok", "-", "marker"),
    ] {
        let (found_symbol, found_state, reason) = &listed[path];
        assert_eq!((found_symbol.as_str(), found_state.as_str()), (symbol, state), "{path}: {reason}");
        assert_eq!(reason.is_empty(), state == "due", "{path}: {reason}");
    }
    assert_eq!(line.files(), before);
    let ran = line.run(&["list", "waiting.csv"]).await;
    assert!(
        ran.stdout.starts_with("- waiting.csv  (its marker ") && ran.stdout.lines().count() == 1,
        "{ran:?}"
    );
    let (lines, _) = line.json(&["list"]).await;
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!((&summary["due"], &summary["collected"]), (&1.into(), &1.into()), "{summary}");
}

#[tokio::test]
async fn story_262_what_grows_between_the_two_looks_is_listed_and_not_taken() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_SETTLE_SECONDS", 3);
    line.collection.leave("grows.csv", b"1");
    line.collection.leave("finished.csv", b"1");
    let path = line.collection.local("grows.csv");
    let growing = tokio::spawn(async move {
        // Longer each time: no two looks show the same.
        loop {
            use std::io::Write as _;
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            file.write_all(b"more").unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let listed = line.listed(&[]).await;
    assert_eq!((listed["grows.csv"].0.as_str(), listed["grows.csv"].1.as_str()), ("~", "changing"));
    assert_eq!(listed["finished.csv"].1, "due");
    let ran = line.run(&["collect"]).await;
    growing.abort();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("waiting 3 s (COLLECT_SETTLE_SECONDS)"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1 collected, 0 not needed, 0 failed, 1 changed or gone meanwhile"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stdout.contains("not collected: sftp://") && ran.stdout.contains("grows.csv"),
        "{}",
        ran.stdout
    );
    assert_eq!(line.stored("grows.csv"), None);
}

#[tokio::test]
async fn story_278_files_that_stay_are_not_taken_again() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_AFTERWARDS", "leave");
    for number in 0..10 {
        line.collection.leave(&format!("{number}.csv"), b"contents");
    }
    let before = line.files();
    let first = line.run(&["collect"]).await;
    assert!(first.stderr.contains("10 collected, 0 not needed, 0 failed"), "{}", first.stderr);
    let received = line.collection.source.received();
    line.collection.leave("3.csv", b"new contents");
    let second = line.run(&["collect"]).await;
    assert_eq!(second.status, 0, "{}", second.stderr);
    assert!(second.stderr.contains("1 collected, 9 not needed, 0 failed"), "{}", second.stderr);
    assert_eq!(line.stored("3.csv"), Some(b"new contents".to_vec()));
    assert_eq!(line.collection.source.received() - received, 12, "only the new one is stored");
    let after = line.files();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
}

/// One list tells that no object has their keys. Then each takes two requests: to store the object, and to verify it.
#[tokio::test]
async fn many_new_files_take_two_requests_each() {
    for afterwards in ["leave", "archive"] {
        let mut line = CommandLine::new().await;
        line.collection.set("COLLECT_AFTERWARDS", afterwards);
        line.collection.set("COLLECT_OBJECT_KEY", "in/{name}");
        let files = |numbers: std::ops::Range<u32>| {
            for number in numbers {
                line.collection.leave(&format!("{number:03}.csv"), number.to_string().as_bytes());
            }
        };
        files(0..30);
        let source = &line.collection.source;
        // What others have, between the keys and beside them, costs nothing.
        for other in ["in/0", "in/0115", "in/zzz", "before", "jn/1"] {
            source.put(&format!("collected/{other}"), Body::Bytes(vec![1])).unwrap();
        }
        // The credential is read with GETs.
        let asked = || source.requests() - source.asked().len() as u64;
        let before = asked();
        let ran = line.run(&["collect"]).await;
        assert!(ran.status == 0 && ran.stderr.contains("30 collected"), "{ran:?}");
        assert_eq!(asked() - before, 1 + 30 * 2, "{afterwards}");
        // Some objects are there: one of another file, and with `leave` the 30 from before.
        files(30..60);
        source.put("collected/in/040.csv", Body::Bytes(vec![1])).unwrap();
        let before = asked();
        let ran = line.run(&["collect"]).await;
        assert!(ran.status == 0 && ran.stderr.contains("30 collected"), "{ran:?}");
        // With `leave`, each object that is there is looked at, and that of another file once more.
        let looks = if afterwards == "leave" { 31 + 1 } else { 1 };
        assert_eq!(asked() - before, 1 + looks + 30 * 2, "{afterwards}");
        for number in 0..60 {
            assert_eq!(line.stored(&format!("in/{number:03}.csv")), Some(number.to_string().into_bytes()));
        }
    }
}

/// The list has several pages, or is refused.
#[tokio::test]
async fn a_list_in_pages_tells_the_same_and_one_that_is_refused_is_done_without() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_AFTERWARDS", "leave");
    let source = &line.collection.source;
    for number in 0..100 {
        line.collection.leave(&format!("{number:03}.csv"), b"some");
        if number % 2 == 0 {
            let other = Body::Bytes(format!("another {number}").into_bytes());
            source.put(&format!("collected/{number:03}.csv"), other).unwrap();
        }
    }
    for quirks in [
        StoreQuirks { keys_max: Some(20), ..StoreQuirks::default() },
        StoreQuirks { denies: Some("ListObjectsV2"), ..StoreQuirks::default() },
    ] {
        source.quirks(quirks);
        let ran = line.run(&["collect"]).await;
        assert!(ran.status == 0 && ran.stderr.contains("100 collected"), "{ran:?}");
        for number in 0..100 {
            assert_eq!(line.stored(&format!("{number:03}.csv")), Some(b"some".to_vec()));
            source.remove(&format!("collected/{number:03}.csv"));
        }
    }
}

#[tokio::test]
async fn one_path_is_taken_and_nothing_else() {
    let mut line = CommandLine::new().await;
    line.collection.set("COLLECT_RECURSIVE", true);
    for path in ["a.csv", "sub/b.csv", "sub/deep/c.csv", "sub2/d.csv", "e.tmp"] {
        line.collection.leave(path, path.as_bytes());
    }
    let ran = line.run(&["collect", "sub"]).await;
    assert!(ran.status == 0 && ran.stderr.contains("2 collected"), "{}", ran.stderr);
    assert!(line.stored("sub/b.csv").is_some() && line.stored("sub2/d.csv").is_none());
    let address =
        format!("sftp://{}:{}/out/a.csv", line.collection.partner.host, line.collection.partner.port);
    let ran = line.run(&["collect", &address]).await;
    assert!(ran.status == 0 && ran.stderr.contains("1 collected"), "{}", ran.stderr);
    assert!(
        ran.stdout.contains(&format!("collected {address} to s3://collected/a.csv (5 bytes; ")),
        "{ran:?}"
    );
    let record = format!("sftp://{}/out/sub2/d.csv", line.collection.partner.host);
    let ran = line.run(&["collect", &record]).await;
    assert!(ran.status == 0 && ran.stderr.contains("1 collected"), "as records name it: {}", ran.stderr);

    let ran = line.run(&["collect", "e.tmp"]).await;
    assert!(ran.status == 0 && ran.stderr.contains("COLLECT_EXCLUDE"), "{ran:?}");
    let ran = line.run(&["collect", "nothing.csv"]).await;
    assert!(ran.status == 1 && ran.stderr.contains("there is nothing at sftp://"), "{ran:?}");
    let ran = line.run(&["collect", "../in"]).await;
    assert!(ran.status == 2 && ran.stderr.contains("COLLECT_DIRECTORY"), "{ran:?}");
}

#[tokio::test]
async fn story_288_a_name_that_s3_cannot_hold_is_said_and_the_others_are_taken() {
    use std::os::unix::ffi::OsStrExt as _;
    let line = CommandLine::new().await;
    line.collection.leave("good.csv", b"good");
    let odd = std::ffi::OsStr::from_bytes(b"caf\xe9.csv");
    std::fs::write(line.collection.local("").join(odd), "odd").unwrap();
    let ran = line.run(&["collect"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: cannot be collected: sftp://"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 collected"), "{}", ran.stderr);
    let listed = line.listed(&[]).await;
    assert!(listed.values().any(|(symbol, state, _)| symbol == "!" && state == "unnameable"), "{listed:?}");
    assert!(line.collection.local("").join(odd).exists());
}

#[tokio::test]
async fn wrong_settings_and_a_refused_login_are_told_once() {
    let mut line = CommandLine::new().await;
    for number in 0..30 {
        line.collection.leave(&format!("{number}.csv"), b"x");
    }
    let other = KeyPair::generate(Kind::Ed25519, Encoding::OpenSsh, "").unwrap();
    line.collection.source.put("keys/id", Body::Bytes(other.private.into_bytes())).unwrap();
    let proxy = line.collection.through_proxy(Fault::None).await;
    for command in ["collect", "list"] {
        let ran = line.run(&[command]).await;
        assert!(ran.status == 1 && ran.stderr.contains("AuthenticationRejected: "), "{ran:?}");
    }
    assert_eq!(proxy.connections(), 2);
    line.collection.variables.remove("COLLECT_BUCKET");
    for command in ["collect", "list"] {
        let ran = line.run(&[command]).await;
        assert!(ran.status == 2 && ran.stderr.contains("COLLECT_BUCKET"), "{ran:?}");
    }
}

#[tokio::test]
async fn one_cut_connection_fails_no_small_file() {
    for bytes in [8_000, 14_000, 20_000] {
        let mut line = CommandLine::new().await;
        for number in 0..60 {
            line.collection.leave(&format!("{number}.csv"), &[b'x'; 1000]);
        }
        let proxy = line.collection.through_proxy(Fault::CutOnceAfter(bytes)).await;
        let ran = line.run(&["collect"]).await;
        assert_eq!(ran.status, 0, "{bytes}: {}", ran.stderr);
        let left = line.files().keys().filter(|path| !path.starts_with(".done/")).count();
        assert_eq!(left, 0, "{bytes}: {}", ran.stderr);
        assert_eq!(line.files().len(), 60, "each is archived once");
        assert!(proxy.connections() >= 2, "{bytes}");
    }
}

/// Prints how long a thousand small files take, beside `sftp get`.
#[tokio::test]
async fn a_thousand_small_files_in_one_run() {
    let line = CommandLine::new().await;
    let contents = |number: usize| vec![b'a' + (number % 26) as u8; 10 * 1024];
    for number in 0..1000 {
        line.collection.leave(&format!("{number:04}.csv"), &contents(number));
    }
    let begun = Instant::now();
    let command = line.command(&["collect"]).await;
    let (ran, memory) = run_watched(command).await;
    let took = begun.elapsed();
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("1000 collected, 0 not needed, 0 failed"), "{}", ran.stderr);
    for number in (0..1000).step_by(97) {
        assert!(line.stored(&format!("{number:04}.csv")) == Some(contents(number)), "{number}");
    }
    println!("1,000 files of 10 KiB: {took:?}, {} MiB", memory / MIB);
    assert!(memory < 200 * MIB, "{memory} bytes");
    assert!(took < Duration::from_secs(60), "{took:?}");
}
