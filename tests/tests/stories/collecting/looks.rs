//! What a look at the partner's directory takes, and what it passes over.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use aws_sdk_sfn::types::ExecutionStatus;
use bridge::collect::{ATTEMPTS_MAX, ListCursor, ListRemoteInput};
use bridge::{Deadline, ErrorName, Execution};
use list_remote::{Limits, Listed, Verdict};
use serde_json::json;

use super::watching::{DIRECTORY, LONG_AGO, Watching, look_now, machine, set_modified};
use crate::support::unique;

/// A Windows client that copies a file keeps its time, also while it is still writing.
#[tokio::test]
async fn story_260_an_old_time_is_no_reason_to_take_a_file_or_not_to() {
    let watching = Watching::new().await;
    let path = watching.put("report.csv", "half", 915_148_800);
    assert_eq!(watching.look().await.started, 1, "an old file is as good as a new one");
    std::fs::write(&path, "half and the rest").unwrap();
    set_modified(&path, 915_148_800);
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (1, 0), "it has grown: another file");
    let sizes: Vec<_> = watching.started().await.into_iter().map(|file| (file.size, file.modified)).collect();
    assert_eq!(sizes, [(4, Some(915_148_800)), (17, Some(915_148_800))]);
}

#[tokio::test]
async fn story_268_files_with_the_same_time_are_all_taken() {
    let watching = Watching::new().await;
    let names = ["a.csv", "b.csv", "c.csv"];
    for name in names {
        watching.put(name, "same", LONG_AGO);
    }
    assert_eq!(watching.look().await.started, 3);
    watching.put("d.csv", "same", LONG_AGO);
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (1, 3));
    assert_eq!(watching.started_paths().await, ["a.csv", "b.csv", "c.csv", "d.csv"]);
}

#[tokio::test]
async fn story_269_a_file_older_than_the_newest_one_seen_is_taken() {
    let watching = Watching::new().await;
    watching.put("new.csv", "x", LONG_AGO + 100);
    assert_eq!(watching.look().await.started, 1);
    watching.put("old.csv", "x", LONG_AGO - 100);
    watching.put("older.csv", "x", 0);
    assert_eq!(watching.look().await.started, 2);
    assert_eq!(watching.started_paths().await, ["new.csv", "old.csv", "older.csv"]);
}

#[tokio::test]
async fn story_272_a_name_with_new_contents_is_a_new_file() {
    let watching = Watching::new().await;
    watching.put("prices.csv", "monday", LONG_AGO);
    assert_eq!(watching.look().await.started, 1);
    watching.put("prices.csv", "tuesday", LONG_AGO + 1);
    assert_eq!(watching.look().await.started, 1);
    // As many bytes, and another time.
    watching.put("prices.csv", "TUESDAY", LONG_AGO + 2);
    assert_eq!(watching.look().await.started, 1);
    assert_eq!(watching.look().await.started, 0, "nothing has changed");
    let seen: Vec<_> =
        watching.started().await.into_iter().map(|file| (file.size, file.modified.unwrap())).collect();
    assert_eq!(seen, [(6, LONG_AGO), (7, LONG_AGO + 1), (7, LONG_AGO + 2)]);
}

#[tokio::test]
async fn story_273_a_name_in_two_directories_is_two_files() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_RECURSIVE", "true");
    for path in ["orders.csv", "north/orders.csv", "south/orders.csv", "south/east/orders.csv"] {
        watching.put(path, "same", LONG_AGO);
    }
    let look = watching.look().await;
    assert_eq!((look.started, look.seen), (4, 7), "four files and three directories");
    let expected = ["north/orders.csv", "orders.csv", "south/east/orders.csv", "south/orders.csv"];
    assert_eq!(watching.started_paths().await, expected);
    watching.set("COLLECT_RECURSIVE", "false");
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before, look.seen), (0, 1, 3));
}

/// The mark of a file is its execution: nothing else says that it was seen.
#[tokio::test]
async fn story_274_a_look_that_is_killed_loses_no_file_and_takes_none_twice() {
    let watching = Watching::new().await;
    let names: Vec<String> = (0..60).map(|number| format!("{number:02}.csv")).collect();
    for name in &names {
        watching.put(name, "x", LONG_AGO);
    }
    let process = watching.process();
    let has_begun = async {
        while watching.started_paths().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        look = watching.try_look(&process) => panic!("it was to be killed: {look:?}"),
        () = has_begun => {}
    }
    let look = watching.look().await;
    assert!(look.started_before >= 1, "{look:?}");
    assert_eq!(look.started + look.started_before, 60);
    assert_eq!(watching.started_paths().await, names);
}

#[tokio::test]
async fn story_282_a_look_ends_at_once_while_an_older_one_is_under_way() {
    let watching = Watching::new().await;
    watching.put("a.csv", "x", LONG_AGO);
    let waits = json!({"Type": "Wait", "Seconds": 100_000, "End": true});
    let watch = machine(&watching.bridge, waits).await;
    let sfn = watching.bridge.aws.sfn();
    let start = async |name: &str| {
        let started = sfn.start_execution().state_machine_arn(&watch).name(name).send().await.unwrap();
        let start_time = aws::timestamp(std::time::SystemTime::try_from(started.start_date).unwrap());
        Execution {
            id: started.execution_arn,
            state_machine_id: watch.clone(),
            start_time,
            ..Execution::default()
        }
    };
    let older = start("a-older").await;
    let younger = start("b-younger").await;
    let process = watching.process();
    let credential = watching.credential().await;
    let look = async |execution: &Execution, listing| {
        let (execution, credential) = (execution.clone(), credential.clone());
        let input = ListRemoteInput { execution, credential, listing };
        list_remote::handle(&process.0, input, Deadline::NEVER).await.unwrap()
    };
    let ended = look(&younger, None).await;
    assert_eq!(ended.reason.as_deref(), Some("the look a-older is under way, and goes on"));
    assert_eq!((ended.seen, ended.started), (0, 0));
    let went_on = look(&older, None).await;
    assert_eq!((went_on.reason, went_on.started), (None, 1));
    sfn.stop_execution().execution_arn(&older.id).send().await.unwrap();
    let went_on = look(&younger, None).await;
    assert_eq!((went_on.reason, went_on.started_before), (None, 1), "the older one has ended");
    sfn.stop_execution().execution_arn(&younger.id).send().await.unwrap();
}

#[tokio::test]
async fn story_282_looks_at_the_same_time_take_each_file_once() {
    let watching = Watching::new().await;
    for number in 0..40 {
        watching.put(&format!("{number:02}.csv"), "x", LONG_AGO);
    }
    let (one, other) = tokio::join!(watching.look(), watching.look());
    assert_eq!(one.started + other.started, 40, "{one:?} {other:?}");
    assert_eq!(one.started_before + other.started_before, 40);
    assert_eq!(watching.started().await.len(), 40);
}

#[tokio::test]
async fn story_284_of_each_directory_only_the_newest_file_is_taken() {
    let mut watching = Watching::new().await;
    for (name, value) in
        [("NEWEST_ONLY", "true"), ("AFTERWARDS", "leave"), ("RECURSIVE", "true"), ("EMPTY", "skip")]
    {
        watching.set(&format!("COLLECT_{name}"), value);
    }
    watching.put("2024.csv", "x", LONG_AGO);
    watching.put("2025.csv", "x", LONG_AGO + 2);
    watching.put("2025-b.csv", "x", LONG_AGO + 2);
    // Newer, but left out.
    watching.put("2026.tmp", "x", LONG_AGO + 9);
    watching.put("2026.csv", "", LONG_AGO + 9);
    watching.put("other/1999.csv", "x", 1);
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over), (2, 4), "{look:?}");
    assert_eq!(watching.started_paths().await, ["2025.csv", "other/1999.csv"], "of two, the last by name");
    watching.put("2027.csv", "x", LONG_AGO + 10);
    assert_eq!(watching.look().await.started, 1);
    assert_eq!(watching.started_paths().await, ["2025.csv", "2027.csv", "other/1999.csv"]);
}

#[tokio::test]
async fn story_285_a_file_is_taken_once_its_marker_is_there_and_no_marker_is_taken() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_MARKER", "{name}.done");
    watching.put("whole.csv", "x", LONG_AGO);
    watching.put("whole.csv.done", "", LONG_AGO);
    watching.put("unfinished.csv", "x", LONG_AGO);
    // The marker came first.
    watching.put("early.csv.done", "", LONG_AGO);
    // A marker of nothing, and what only looks like one.
    watching.put("gone.csv.done", "x", LONG_AGO);
    watching.put(".done", "x", LONG_AGO);
    std::fs::create_dir(watching.bridge.partner.root.join(DIRECTORY).join("unfinished.csv.done")).unwrap();
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over), (1, 5), "{look:?}");
    assert_eq!(watching.started_paths().await, ["whole.csv"]);
    watching.put("early.csv", "x", LONG_AGO);
    assert_eq!(watching.look().await.started, 1);
    assert_eq!(watching.started_paths().await, ["early.csv", "whole.csv"]);
}

/// In whatever order the server lists them, and more of them than one packet holds.
#[tokio::test]
async fn story_285_each_of_many_files_finds_its_marker() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_MARKER", "_{name}.trg");
    for number in 0..300 {
        watching.put(&format!("{number:03}.csv"), "x", LONG_AGO);
        if number % 3 == 0 {
            watching.put(&format!("_{number:03}.csv.trg"), "", LONG_AGO);
        }
    }
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over), (100, 300));
    let expected: Vec<String> = (0..100).map(|third| format!("{:03}.csv", third * 3)).collect();
    assert_eq!(watching.started_paths().await, expected);
}

#[tokio::test]
async fn story_286_no_symbolic_link_is_followed() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_RECURSIVE", "true");
    let root = watching.bridge.partner.root.join(DIRECTORY);
    watching.put("real/file.csv", "x", LONG_AGO);
    let outside = watching.bridge.partner.root.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret.csv"), "x").unwrap();
    let link = |to: &Path, name: &str| symlink(to, root.join(name)).unwrap();
    link(Path::new("real/file.csv"), "to-a-file.csv");
    link(Path::new("real"), "to-a-directory");
    link(&outside, "to-the-outside");
    link(&outside.join("secret.csv"), "to-a-secret.csv");
    link(Path::new(".."), "in-a-circle");
    link(Path::new("."), "real/in-a-smaller-circle");
    link(Path::new("nowhere"), "to-nothing");
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over, look.seen), (1, 7, 9), "{look:?}");
    assert_eq!(watching.started_paths().await, ["real/file.csv"]);
}

#[tokio::test]
async fn story_288_a_name_that_s3_cannot_hold_is_named_and_holds_nothing_up() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_RECURSIVE", "true");
    let root = watching.bridge.partner.root.join(DIRECTORY);
    watching.put("good.csv", "x", LONG_AGO);
    for name in [&b"latin-1 \xe4.csv"[..], b"two\nlines.csv", b"back\\slash.csv"] {
        std::fs::write(root.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    let deep = ["d"; 5].map(|letter| letter.repeat(250)).join("/");
    watching.put(&format!("{deep}/long.csv"), "x", LONG_AGO);
    let look = watching.look().await;
    assert_eq!((look.started, look.unnameable_count), (1, 4), "{look:?}");
    assert_eq!(watching.started_paths().await, ["good.csv"]);
    let mut named: Vec<_> = look.unnameable.iter().map(|it| (it.path.as_str(), it.reason.as_str())).collect();
    named.sort_unstable();
    let paths: Vec<&str> = named.iter().map(|(path, _)| path.get(..7).unwrap_or(path)).collect();
    assert_eq!(paths, ["back\\sl", "ddddddd", "latin-1", "two\\nli"], "{named:?}");
    for (found, words) in named.iter().zip(["backslash", "1024", "UTF-8", "control character"]) {
        assert!(found.1.contains(words), "{found:?}");
    }
}

#[tokio::test]
async fn the_oldest_come_first_and_the_rest_with_the_next_looks() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_MAX_FILES", "3");
    for number in 0..8_u32 {
        watching.put(&format!("{number}.csv"), "x", LONG_AGO + 100 - number);
    }
    assert_eq!(watching.look().await.started, 3);
    assert_eq!(watching.started_paths().await, ["5.csv", "6.csv", "7.csv"]);
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before, look.seen), (3, 3, 8));
    assert_eq!(watching.look().await.started, 2);
    assert_eq!(watching.look().await.started, 0);
    assert_eq!(watching.started().await.len(), 8);
}

/// The directory is walked through again for those that did not fit.
#[tokio::test]
async fn a_look_holds_few_candidates_and_starts_all() {
    let mut watching = Watching::new().await;
    watching.limits = Limits { candidates: 4, ..Limits::default() };
    for number in 0..30 {
        watching.put(&format!("{number:02}.csv"), "x", LONG_AGO + number % 5);
    }
    watching.put("left-out.tmp", "x", LONG_AGO);
    let look = watching.look().await;
    assert_eq!((look.started, look.seen, look.passed_over), (30, 31, 1), "{look:?}");
    let process = watching.process();
    for _ in 0..2 {
        let look = watching.try_look(&process).await.unwrap();
        assert_eq!((look.started, look.started_before), (0, 30), "{look:?}");
    }
}

/// Otherwise a look over files that stay would ask Step Functions for each of them, every time.
#[tokio::test]
async fn a_warm_process_does_not_ask_for_what_it_knows() {
    let mut watching = Watching::new().await;
    for number in 0..20 {
        watching.put(&format!("{number:02}.csv"), "x", LONG_AGO);
    }
    let process = watching.process();
    assert_eq!(watching.try_look(&process).await.unwrap().started, 20);
    watching.all_ended().await;
    assert_eq!(
        watching.try_look(&process).await.unwrap().started_before,
        20,
        "it learns that they are stored"
    );
    // From now on nothing can be started.
    let delete = watching.bridge.aws.sfn().delete_state_machine().state_machine_arn(&watching.collections);
    delete.send().await.unwrap();
    let look = watching.try_look(&process).await.unwrap();
    assert_eq!((look.started, look.started_before), (0, 20));
    let error = watching.try_look(&watching.process()).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InvalidConfig, "{error}");
    assert!(error.message().contains("COLLECT_STATE_MACHINE_ARN"), "{error}");
    watching.collections = String::new();
}

/// The storage is away for a moment, after a look has listed its files. Its name is taken, and nothing is stored.
#[tokio::test]
async fn story_274_files_that_were_away_for_a_moment_are_collected_once_they_are_back() {
    let watching = Watching::new().await;
    let names = ["a.csv", "b.csv", "c.csv"];
    for name in names {
        watching.put(name, "x", LONG_AGO);
    }
    let process = watching.process();
    let directory = watching.bridge.partner.root.join(DIRECTORY);
    let away = watching.bridge.partner.root.join("away");
    for outcome in ["gone", "changed"] {
        watching.collections_end_with(outcome).await;
        assert_eq!(watching.try_look(&process).await.unwrap().started, 3, "{outcome}");
        std::fs::rename(&directory, &away).unwrap();
        watching.all_ended().await;
        let error = watching.try_look(&process).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteUnreadable, "{error}");
        std::fs::rename(&away, &directory).unwrap();
    }
    watching.collections_end_with("collected").await;
    std::fs::rename(directory.join("c.csv"), &away).unwrap();
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (2, 0), "a cold process asks, too: {look:?}");
    watching.all_ended().await;
    std::fs::rename(&away, directory.join("c.csv")).unwrap();
    let look = watching.try_look(&process).await.unwrap();
    assert_eq!((look.started, look.started_before), (1, 2), "{look:?}");
    watching.all_ended().await;
    for process in [&process, &watching.process()] {
        let look = watching.try_look(process).await.unwrap();
        assert_eq!((look.started, look.started_before), (0, 3), "they are stored: {look:?}");
    }
    assert_eq!(watching.started().await.len(), 3 * names.len());
}

/// A redrive is for a person to decide.
#[tokio::test]
async fn a_file_whose_execution_has_failed_is_not_started_again() {
    let mut watching = Watching::new().await;
    watching.collections =
        machine(&watching.bridge, json!({"Type": "Fail", "Error": "RemoteUnreadable"})).await;
    watching.put("a.csv", "x", LONG_AGO);
    assert_eq!(watching.look().await.started, 1);
    watching.all_ended().await;
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before), (0, 1), "{look:?}");
}

#[tokio::test]
async fn a_file_that_every_execution_finds_gone_is_given_up_with_a_warning() {
    let watching = Watching::new().await;
    watching.collections_end_with("gone").await;
    watching.put("a.csv", "x", LONG_AGO);
    let process = watching.process();
    for attempt in 1..=ATTEMPTS_MAX {
        let look = watching.try_look(&process).await.unwrap();
        assert_eq!((look.started, look.warnings.len()), (1, 0), "{attempt}: {look:?}");
        watching.all_ended().await;
    }
    let look = watching.try_look(&process).await.unwrap();
    assert_eq!((look.started, look.started_before, look.warnings.len()), (0, 1, 1), "{look:?}");
    assert!(look.warnings[0].contains("20 executions have found it gone or changed"), "{look:?}");
}

#[tokio::test]
async fn a_call_goes_on_behind_the_cursor() {
    let watching = Watching::new().await;
    for (name, modified) in [("a", 1), ("b", 2), ("c", 2), ("d", 3)] {
        watching.put(name, "x", modified);
    }
    let cursor = Some(ListCursor { modified: 2, path: "b".into() });
    let listing = bridge::collect::ListProgress { cursor, started: 2, seen: 4, ..Default::default() };
    let (execution, credential) = (look_now(), watching.credential().await);
    let input = ListRemoteInput { execution, credential, listing: Some(listing) };
    let look = list_remote::handle(&watching.process().0, input, Deadline::NEVER).await.unwrap();
    assert_eq!((look.started, look.seen, look.cursor), (4, 4, None));
    assert_eq!(watching.started_paths().await, ["c", "d"]);
}

#[tokio::test]
async fn a_directory_that_is_missing_is_an_error_that_says_so() {
    let mut watching = Watching::new().await;
    watching.set("COLLECT_DIRECTORY", "nowhere");
    let error = watching.try_look(&watching.process()).await.unwrap_err();
    assert_eq!(error.name, ErrorName::RemoteUnreadable, "{error}");
    assert!(error.message().contains("COLLECT_DIRECTORY \"nowhere\" cannot be listed"), "{error}");
}

#[tokio::test]
async fn without_a_state_machine_nothing_is_looked_at() {
    let watching = Watching::new().await;
    let process = watching.process();
    let deps = list_remote::Deps { collections: None, ..process.0 };
    let input =
        ListRemoteInput { execution: look_now(), credential: watching.credential().await, listing: None };
    let error = list_remote::handle(&deps, input, Deadline::NEVER).await.unwrap_err();
    assert_eq!(error.name, ErrorName::InvalidConfig);
    assert!(error.message().contains("COLLECT_STATE_MACHINE_ARN is not set"), "{error}");
}

/// Without Step Functions, for the command line.
#[tokio::test]
async fn a_list_says_of_each_entry_what_becomes_of_it() {
    let mut watching = Watching::new().await;
    for (name, value) in
        [("MARKER", "{name}.ok"), ("EMPTY", "skip"), ("INCLUDE", "*.csv"), ("RECURSIVE", "true")]
    {
        watching.set(&format!("COLLECT_{name}"), value);
    }
    for path in
        ["due.csv", "due.csv.ok", "waits.csv", "notes.txt", ".done/20200101000000-old.csv", "below/waits.csv"]
    {
        watching.put(path, "x", LONG_AGO);
    }
    watching.put("empty.csv", "", LONG_AGO);
    let deps = list_remote::Deps { collections: None, ..watching.process().0 };
    let mut listed = Vec::new();
    let credential = watching.credential().await;
    let seen = list_remote::list(&deps, &credential, "2026-03-01T12:00:00Z", async |entry: Listed| {
        listed.push(entry);
        Ok(())
    });
    assert_eq!(seen.await.unwrap(), 8);
    listed.sort_by(|one, other| one.path.cmp(&other.path));
    let words: Vec<(&str, String)> = listed
        .iter()
        .map(|entry| (entry.path.as_str(), entry.verdict.reason().unwrap_or("due".into()).into_owned()))
        .collect();
    let expected = [
        (".done", "archive"),
        ("below/waits.csv", "\"below/waits.csv.ok\" is missing"),
        ("due.csv", "due"),
        ("due.csv.ok", "COLLECT_MARKER"),
        ("empty.csv", "COLLECT_EMPTY"),
        ("notes.txt", "COLLECT_INCLUDE"),
        ("waits.csv", "\"waits.csv.ok\" is missing"),
    ];
    assert_eq!(words.len(), expected.len(), "{words:?}");
    for ((path, reason), (expected, part)) in words.iter().zip(expected) {
        assert!(*path == expected && reason.contains(part), "{path}: {reason}");
    }
    assert!(listed.iter().any(|entry| entry.verdict == Verdict::Due(watching.file("due.csv"))));
    assert!(watching.started().await.is_empty());
}

/// Whether Step Functions refuses the second start, as the design needs it.
#[tokio::test]
async fn step_functions_starts_an_execution_of_a_name_once() {
    let watching = Watching::new().await;
    let sfn = watching.bridge.aws.sfn();
    let name = unique("once");
    let start =
        || sfn.start_execution().state_machine_arn(&watching.collections).name(&name).input("{}").send();
    let arn = start().await.unwrap().execution_arn;
    let ended = async || {
        let found = sfn.describe_execution().execution_arn(&arn).send().await.unwrap();
        *found.status() == ExecutionStatus::Succeeded
    };
    while !ended().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = start().await.unwrap_err().into_service_error();
    assert!(error.is_execution_already_exists(), "{error:?}");
}
