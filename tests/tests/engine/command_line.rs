//! `s3-sftp-bridge deliver` as a program among others: what it prints, and what becomes of it when it is stopped or when
//! nobody reads on.

use std::process::Stdio;
use std::time::Duration;

use integration_tests::cli;
use integration_tests::fault_proxy::Fault;
use integration_tests::object_source::Body;
use integration_tests::partner::Partner;
use integration_tests::{embedded, pattern};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;

use crate::support::{Delivery, MIB, wait_until};

fn signal(child: &Child, signal: &str) {
    let id = child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
}

fn states(delivery: &Delivery) -> usize {
    std::fs::read_dir(delivery.state.path().join("s3-sftp-bridge")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn story_40_a_key_forges_no_line_and_commands_no_terminal() {
    let delivery = Delivery::new().await;
    // The second one has no control character, which a remote path must not have.
    let keys = ["in/a\ndelivered s3://b/forged\u{1b}[2J\u{202e}", "in/txt.\u{202e}gpj\u{2028}delivered"];
    for key in keys {
        delivery.source.put(&format!("b/{key}"), Body::Bytes(pattern::bytes(0, 10))).unwrap();
    }
    for arguments in [vec!["--recursive", "s3://b/in/"], vec!["--json", "--recursive", "s3://b/in/"]] {
        let ran = delivery.run(&arguments).await;
        // Each object has its line, and then there is the summary.
        assert_eq!(ran.stdout.lines().count() + ran.stderr.lines().count(), keys.len() + 1, "{ran:?}");
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{2028}']), "{text:?}");
            assert!(!text.lines().any(|line| line.starts_with("delivered s3://b/forged")), "{text:?}");
        }
    }
    for key in keys {
        let ran = delivery.run(&[&format!("s3://b/{key}"), "--no-such-option=\u{1b}[2J"]).await;
        assert_eq!(ran.status, 2);
        assert!(!ran.stderr.contains(['\u{1b}', '\u{202e}']), "{:?}", ran.stderr);
    }
}

#[tokio::test]
async fn story_41_a_reader_who_goes_away_cuts_off_no_delivery() {
    let mut delivery = Delivery::new().await;
    for number in 0..200 {
        delivery.put(&format!("in/{number:03}"), 10_000);
    }
    let _proxy = delivery.through_proxy(Fault::Rate(500_000)).await;
    let mut command = delivery.command(&["s3://b/in/", "--recursive"]).await;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).await.unwrap();
    assert!(first.starts_with("delivered "), "{first}");
    drop(stdout);
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "no signal, no abort: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    let whole = (0..200).filter(|number| delivery.partner.root.join(format!("in/{number:03}")).exists());
    assert!(whole.clone().count() < 200, "it ended early");
    for number in whole {
        let file = std::fs::File::open(delivery.partner.root.join(format!("in/{number:03}"))).unwrap();
        assert_eq!(pattern::difference(file, 10_000).unwrap(), None);
    }
    // What was under way had time to end.
    let left = std::fs::read_dir(delivery.partner.root.join("in")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(left.filter(|name| name.ends_with(".partial")).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(states(&delivery), 0);
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn story_42_the_command_line_leaves_no_core_dump() {
    let mut delivery = Delivery::new().await;
    delivery.put("file", 4 * MIB);
    let _proxy = delivery.through_proxy(Fault::Rate(500_000)).await;
    let mut child = delivery.command(&["s3://b/file"]).await.spawn().unwrap();
    wait_until("a partial file", || !delivery.partials().is_empty()).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id().unwrap())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    child.kill().await.unwrap();
}

/// Killed, or told to end in one of the ways that one can be told: the next run is the same execution, and goes on. What
/// was sent last is not believed to be there.
#[tokio::test]
async fn story_43_a_run_that_ended_early_goes_on_in_the_next() {
    // What is ignored when a test starts, as SIGINT is in the background, the command ignores as well.
    let signals = [("-KILL", 9), ("-TERM", 15), ("-INT", 2), ("-HUP", 1)];
    for (how, _) in signals.into_iter().filter(|(_, number)| !is_ignored(*number)) {
        let mut delivery = Delivery::new().await;
        delivery.put("file", 48 * MIB);
        let proxy = delivery.through_proxy(Fault::Rate(10_000_000)).await;
        let mut child = delivery.command(&["s3://b/file"]).await.stderr(Stdio::null()).spawn().unwrap();
        wait_until("a part of the file", || {
            delivery.partials().first().is_some_and(|name| {
                std::fs::metadata(delivery.partner.root.join(name)).is_ok_and(|file| file.len() > 36 * MIB)
            })
        })
        .await;
        // It does not end by itself before the signal is heard.
        proxy.set(Fault::Swallow).await;
        let partials = delivery.partials();
        signal(&child, how);
        let status = child.wait().await.unwrap();
        assert_eq!(status.code(), if how == "-KILL" { None } else { Some(1) }, "{how}");
        assert!(states(&delivery) > 0, "{how}");
        assert_eq!(delivery.partials(), partials, "{how}");
        proxy.set(Fault::None).await;
        let sent = proxy.bytes_up();
        let ran = delivery.run(&["s3://b/file", "--json"]).await;
        assert_eq!(ran.status, 0, "{how}: {}", ran.stderr);
        delivery.assert_arrived("file", 48 * MIB);
        let again = proxy.bytes_up() - sent;
        assert!(again < 40 * MIB, "{how}: {again} bytes were sent again");
        assert_eq!(states(&delivery), 0, "{how}");
    }
}

#[tokio::test]
async fn story_43_two_runs_at_once_do_not_meet() {
    let mut delivery = Delivery::new().await;
    delivery.put("file", 2 * MIB);
    let _proxy = delivery.through_proxy(Fault::Rate(2_000_000)).await;
    let commands = [delivery.command(&["s3://b/file"]).await, delivery.command(&["s3://b/file"]).await];
    let [one, two] = commands.map(cli::run);
    let (one, two) = tokio::join!(one, two);
    for ran in [&one, &two] {
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
    delivery.assert_arrived("file", 2 * MIB);
    assert_eq!(states(&delivery), 0);
}

#[tokio::test]
async fn story_43_a_newer_upload_is_not_held_up_by_what_an_earlier_run_left() {
    let mut delivery = Delivery::new().await;
    delivery.put("file", 8 * MIB);
    let proxy = delivery.through_proxy(Fault::Rate(1_000_000)).await;
    let mut child = delivery.command(&["s3://b/file"]).await.spawn().unwrap();
    wait_until("a partial file", || !delivery.partials().is_empty()).await;
    child.kill().await.unwrap();
    for name in delivery.partials() {
        std::fs::remove_file(delivery.partner.root.join(name)).unwrap();
    }
    proxy.set(Fault::None).await;
    delivery.put("file", MIB);
    let ran = delivery.run(&["s3://b/file"]).await;
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("delivered "), "{}", ran.stdout);
    delivery.assert_arrived("file", MIB);
}

#[tokio::test]
async fn story_47_the_address_in_the_output_has_its_port() {
    let delivery = Delivery::new().await;
    delivery.put("in/file", 10);
    let ran = delivery.run(&["s3://b/in/file"]).await;
    let address = format!(" to sftp://{}:{}/in/file ", delivery.partner.host, delivery.partner.port);
    assert!(ran.stdout.contains(&address), "{}", ran.stdout);
}

#[tokio::test]
async fn story_53_what_is_missing_of_aws_is_named() {
    let delivery = Delivery::new().await;
    delivery.put("file", 10);
    for (missing, words) in [
        (vec!["AWS_REGION", "AWS_DEFAULT_REGION"], "no AWS region is set: set AWS_REGION"),
        (
            vec!["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
            "no AWS credentials were found: set AWS_PROFILE",
        ),
    ] {
        let mut command = delivery.command(&["s3://b/file"]).await;
        for name in missing {
            command.env_remove(name);
        }
        let ran = cli::run(command).await;
        assert_eq!(ran.status, 2, "{}", ran.stderr);
        assert!(ran.stderr.starts_with("InvalidConfig: ") && ran.stderr.contains(words), "{}", ran.stderr);
        assert_eq!(
            ran.stderr.matches("AWS region").count() + ran.stderr.matches("AWS credentials").count(),
            1
        );
    }
}

#[tokio::test]
async fn story_54_a_prefix_and_a_missing_bucket_are_no_missing_object() {
    let delivery = Delivery::new().await;
    delivery.put("acme/report.csv", 10);
    for key in ["acme", "acme/"] {
        let ran = delivery.run(&[&format!("s3://b/{key}")]).await;
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("add --recursive"), "{}", ran.stderr);
    }
    let ran = delivery.run(&["s3://b/acme/report.cvs"]).await;
    assert!(ran.stderr.contains("does not exist") && !ran.stderr.contains("--recursive"), "{}", ran.stderr);
    for arguments in [vec!["s3://bb/acme/report.csv"], vec!["-r", "s3://bb/acme/"]] {
        let ran = delivery.run(&arguments).await;
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(r#"the bucket "bb" does not exist"#), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn story_55_a_hint_on_the_command_line_is_one_for_it() {
    let quirks = embedded::Quirks { capacity: Some(5), ..embedded::Quirks::default() };
    let delivery = Delivery::to(Partner::embedded(quirks).await.unwrap());
    delivery.put("file", 10);
    let ran = delivery.run(&["s3://b/file"]).await;
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("run the command again") && !ran.stderr.contains("redrive"),
        "{}",
        ran.stderr
    );
}

/// `nohup` means what it says.
#[tokio::test]
async fn story_57_a_hang_up_that_is_to_be_ignored_is_ignored() {
    let mut delivery = Delivery::new().await;
    delivery.put("file", 2 * MIB);
    let _proxy = delivery.through_proxy(Fault::Rate(1_000_000)).await;
    let plain = delivery.command(&["s3://b/file"]).await;
    let mut command = tokio::process::Command::new("/usr/bin/nohup");
    let plain = plain.as_std();
    command.arg(plain.get_program()).args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    wait_until("a partial file", || !delivery.partials().is_empty()).await;
    signal(&child, "-HUP");
    let output =
        tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0));
    delivery.assert_arrived("file", 2 * MIB);
}

/// Whether this process was started with the signal ignored.
fn is_ignored(number: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    ignored & (1 << (number - 1)) != 0
}
