//! Looks at servers that tell little, or are hostile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws::records::RecordBucket;
use bridge::{ErrorName, FailureKey, FailureState, VersionMark};
use integration_tests::wire::{attributes, kind};
use list_remote::Limits;

use super::shelf::{self, Entry, Shelf, nothing, size};
use super::watching::{LONG_AGO, Watching};
use crate::support::unique;

const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;
const NO_SUCH_FILE: u32 = 2;
const PERMISSION_DENIED: u32 = 3;

fn file(name: impl Into<Vec<u8>>) -> Entry {
    (name.into(), attributes(7, FILE, LONG_AGO))
}

fn folder(name: &str) -> Entry {
    (name.into(), attributes(4096, FOLDER, LONG_AGO))
}

/// A directory, and the files in it as they were listed.
fn show(path: &str) -> Vec<u8> {
    if path.ends_with(".csv") { attributes(7, FILE, LONG_AGO) } else { attributes(4096, FOLDER, LONG_AGO) }
}

/// A server that lists too little.
struct Terse;

impl Shelf for Terse {
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>> {
        assert_eq!(directory, "out");
        (number == 0).then(|| {
            let names = [
                "bare.csv",
                "folder",
                "gone.csv",
                "left-out.tmp",
                "no-size.csv",
                "no-time.csv",
                "refused.csv",
            ];
            let mut entries: Vec<Entry> = names.map(|name| (name.into(), nothing())).into();
            entries.push(("sized.csv".into(), size(7)));
            entries.push(file("told.csv"));
            entries
        })
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        let mode = [&4_u32.to_be_bytes()[..], &FILE.to_be_bytes()].concat();
        Ok(match path {
            "out" => attributes(4096, FOLDER, LONG_AGO),
            "out/bare.csv" | "out/left-out.tmp" | "out/sized.csv" => attributes(5, FILE, LONG_AGO),
            "out/folder" => attributes(4096, FOLDER, LONG_AGO),
            "out/told.csv" => attributes(7, FILE, LONG_AGO),
            "out/no-size.csv" => mode,
            "out/no-time.csv" => {
                [&5_u32.to_be_bytes()[..], &6_u64.to_be_bytes(), &FILE.to_be_bytes()].concat()
            }
            "out/refused.csv" => return Err(PERMISSION_DENIED),
            _ => return Err(NO_SUCH_FILE),
        })
    }
}

#[tokio::test]
async fn story_271_what_the_listing_does_not_tell_is_asked_for() {
    let (partner, asked) = shelf::partner(Terse).await;
    let watching = Watching::at(partner).await;
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over), (4, 1), "{look:?}");
    let taken: Vec<_> =
        watching.started().await.into_iter().map(|it| (it.path, it.size, it.modified)).collect();
    let told = Some(LONG_AGO);
    let expected =
        [("bare.csv", 5, told), ("no-time.csv", 6, None), ("sized.csv", 5, told), ("told.csv", 7, told)];
    assert_eq!(taken, expected.map(|(name, size, time)| (name.to_owned(), size, time)));
    let words = look.warnings.join("\n");
    for name in ["no-size.csv", "refused.csv"] {
        assert!(
            words.contains(&format!("\"out/{name}\" is not collected: the server does not tell its size")),
            "{words}"
        );
    }
    assert_eq!(look.warnings.len(), 2);
    let looks = shelf::paths(&asked, kind::LSTAT);
    let of_told = looks.iter().filter(|path| *path == "out/told.csv").count();
    assert_eq!(of_told, 1, "only the last look before it is started");
    let again = watching.look().await;
    assert_eq!(
        (again.started, again.started_before),
        (0, 4),
        "without a time it is not taken again and again"
    );
}

/// A server that lists links as what they lead to.
struct Followed;

impl Shelf for Followed {
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>> {
        assert!(!directory.contains("circle"), "a link was followed");
        (number == 0).then(|| vec![file("a.csv"), folder("circle")])
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(if path.ends_with("circle") { attributes(6, 0o120_777, LONG_AGO) } else { show(path) })
    }
}

#[tokio::test]
async fn story_286_a_link_that_is_listed_as_a_directory_is_not_followed_either() {
    let (partner, asked) = shelf::partner(Followed).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_RECURSIVE", "true");
    let look = watching.look().await;
    assert_eq!((look.started, look.passed_over, look.seen), (1, 1, 2), "{look:?}");
    assert_eq!(shelf::paths(&asked, kind::OPENDIR), ["out"]);
}

/// A server with names that lead elsewhere.
struct Tricks;

const TRICKS: [&[u8]; 14] = [
    b"",
    b"/etc/passwd",
    b"../up.csv",
    b"a/../../up.csv",
    b"below/file.csv",
    b"..\\up.csv",
    b"nul\0.csv",
    b"a\nb.csv",
    b"\x1b[2J.csv",
    b"\xff\xfe.csv",
    b"c1\xc2\x9b.csv",
    b"slash.csv/",
    b"./here.csv",
    b"\\\\server\\share",
];

impl Shelf for Tricks {
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>> {
        if directory != "out" {
            assert_eq!(directory, "out/down", "a name led elsewhere");
            return (number == 0).then(|| vec![file("good.csv"), file("../good.csv")]);
        }
        (number == 0).then(|| {
            let mut entries: Vec<Entry> = TRICKS.map(file).into();
            entries.extend(TRICKS.map(|name| (name.to_vec(), attributes(0, FOLDER, 0))));
            entries.extend([file("."), file(".."), folder("."), folder("..")]);
            entries.extend([file("x".repeat(256)), file("good.csv"), folder("down")]);
            entries
        })
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(show(path))
    }
}

#[tokio::test]
async fn story_289_names_that_lead_elsewhere_are_named_and_not_taken() {
    let (partner, asked) = shelf::partner(Tricks).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_RECURSIVE", "true");
    // Nothing is left out for its looks.
    watching.set("COLLECT_EXCLUDE", "none-of-these");
    watching.set("COLLECT_OBJECT_KEY", "from-partner/{path}");
    let look = watching.look().await;
    assert_eq!(watching.started_paths().await, ["down/good.csv", "good.csv"]);
    let tricks = TRICKS.len() as u64;
    assert_eq!((look.started, look.unnameable_count), (2, 2 * tricks + 2), "{look:?}");
    assert_eq!(look.unnameable.len(), 20, "the first of them");
    assert!(look.unnameable.iter().all(|it| !it.path.chars().any(char::is_control)), "{:?}", look.unnameable);
    let opened = shelf::paths(&asked, kind::OPENDIR);
    assert_eq!(opened, ["out", "out/down"]);
}

/// A server that lists without end.
struct Endless {
    packets: Arc<AtomicU64>,
    folders: bool,
}

impl Shelf for Endless {
    fn packet(&self, _: &str, number: usize) -> Option<Vec<Entry>> {
        self.packets.fetch_add(1, Ordering::Relaxed);
        let name = |it| format!("{number}-{it}-{}", "x".repeat(100));
        Some((0..100).map(|it| if self.folders { folder(&name(it)) } else { file(name(it)) }).collect())
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(show(path))
    }
}

#[tokio::test]
async fn story_290_a_server_that_lists_without_end_meets_a_limit() {
    for (folders, marker, words) in [
        (false, "none", "lists more than 5000 names there, the last ones in \"out\""),
        (false, "{name}", "lists more than 5000 names"),
        (true, "none", "more directories than can be looked into"),
    ] {
        let packets = Arc::new(AtomicU64::new(0));
        let (partner, _) = shelf::partner(Endless { packets: Arc::clone(&packets), folders }).await;
        let mut watching = Watching::at(partner).await;
        watching.set("COLLECT_RECURSIVE", "true");
        if marker != "none" {
            watching.set("COLLECT_MARKER", "{name}.done");
        }
        watching.limits = Limits { names: 5_000, waiting: 128 * 1024, ..Limits::default() };
        let error = watching.try_look(&watching.process()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::InvalidConfig, "{error}");
        assert!(error.message().contains(words), "{error}");
        let packets = packets.load(Ordering::Relaxed);
        assert!((1..=51).contains(&packets), "{packets} packets of 100 names were asked for");
        assert!(watching.started().await.is_empty());
    }
}

/// A server whose directories have directories without end.
struct Bottomless;

impl Shelf for Bottomless {
    fn packet(&self, _: &str, number: usize) -> Option<Vec<Entry>> {
        (number == 0).then(|| vec![file("a.csv"), folder("d")])
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(show(path))
    }
}

#[tokio::test]
async fn story_290_directories_in_directories_without_end_meet_a_limit() {
    let (partner, asked) = shelf::partner(Bottomless).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_RECURSIVE", "true");
    let look = watching.look().await;
    assert_eq!(look.started, 17, "one in the directory, and one on each of 16 levels");
    assert_eq!(shelf::paths(&asked, kind::OPENDIR).len(), 17);
    assert_eq!(look.warnings.len(), 1);
    assert!(look.warnings[0].contains("more than 16 levels below COLLECT_DIRECTORY"), "{:?}", look.warnings);
}

/// A server that refuses one directory, and breaks off in another.
struct Partly;

impl Shelf for Partly {
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>> {
        match (directory, number) {
            ("out", 0) => Some(vec![folder("forbidden"), folder("open"), file("a.csv")]),
            ("out/open", 0) => Some(vec![file("b.csv")]),
            _ => None,
        }
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(show(path))
    }

    fn refuses(&self, directory: &str) -> Option<u32> {
        directory.ends_with("forbidden").then_some(PERMISSION_DENIED)
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_listed_holds_up_no_other() {
    let (partner, _) = shelf::partner(Partly).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_RECURSIVE", "true");
    let look = watching.look().await;
    assert_eq!(watching.started_paths().await, ["a.csv", "open/b.csv"]);
    assert_eq!(look.warnings.len(), 1);
    assert!(
        look.warnings[0].contains("\"out/forbidden\" is not collected: it cannot be listed")
            && look.warnings[0].contains("PERMISSION_DENIED")
    );
}

/// A server that breaks off in this directory, and lists the others to their ends.
struct BrokenOff(&'static str);

impl Shelf for BrokenOff {
    fn packet(&self, directory: &str, number: usize) -> Option<Vec<Entry>> {
        match (directory, number) {
            ("out", 0) => Some(vec![folder("below"), file("a.csv")]),
            ("out/below", 0) => Some(vec![file("b.csv")]),
            _ => None,
        }
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        Ok(show(path))
    }

    fn end(&self, directory: &str) -> u32 {
        if directory == self.0 { PERMISSION_DENIED } else { 1 }
    }
}

/// Watches this server. A look has failed before, and its record is open.
async fn watching_after_a_failed_look(shelf: impl Shelf) -> (Watching, RecordBucket) {
    let (partner, _) = shelf::partner(shelf).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_RECURSIVE", "true");
    let (s3, name) = (watching.bridge.aws.s3(), unique("looked-at"));
    s3.create_bucket().bucket(&name).send().await.unwrap();
    watching.set("RECORD_BUCKET", &name);
    let records = RecordBucket::new(s3, &name);
    let directory = bridge::collect::url(&watching.bridge.partner.host, "out");
    let failure =
        FailureKey::open(&directory, VersionMark::look(), "2026-03-01T12:00:00Z", "RemoteUnreadable", "c");
    records.put(&failure, &serde_json::json!({})).await.unwrap();
    assert_eq!(open_looks(&watching, &records).await, 1);
    (watching, records)
}

/// The number of open failures of looks.
async fn open_looks(watching: &Watching, records: &RecordBucket) -> usize {
    let directory = bridge::collect::url(&watching.bridge.partner.host, "out");
    records.failures_of_looks(FailureState::Open, &directory).await.unwrap().len()
}

/// Otherwise the rest of the directory would never be collected, and every look would be green.
#[tokio::test]
async fn story_290_a_listing_that_breaks_off_starts_what_it_listed_and_is_a_failure() {
    let (watching, records) = watching_after_a_failed_look(BrokenOff("out")).await;
    for _ in 0..2 {
        let error = watching.try_look(&watching.process()).await.unwrap_err();
        assert_eq!(error.name, ErrorName::RemoteUnreadable, "{error}");
        assert!(error.message().contains("COLLECT_DIRECTORY \"out\" cannot be listed to its end"), "{error}");
        assert!(error.message().contains("PERMISSION_DENIED"), "{error}");
        assert_eq!(watching.started_paths().await, ["a.csv", "below/b.csv"]);
    }
    assert_eq!(open_looks(&watching, &records).await, 1);
}

#[tokio::test]
async fn a_look_with_a_gap_settles_no_earlier_failure() {
    let (watching, records) = watching_after_a_failed_look(BrokenOff("out/below")).await;
    let look = watching.look().await;
    assert_eq!((look.started, look.warnings.len()), (2, 1), "{look:?}");
    assert_eq!(open_looks(&watching, &records).await, 1);
    let (watching, records) = watching_after_a_failed_look(BrokenOff("nowhere")).await;
    assert_eq!(watching.look().await.started, 2);
    assert_eq!(open_looks(&watching, &records).await, 0, "a whole look settles it");
}

/// A server that lists times in minutes and sizes in blocks, and has more than is taken at once.
struct Coarse;

impl Shelf for Coarse {
    fn packet(&self, _: &str, number: usize) -> Option<Vec<Entry>> {
        let coarse = |name: String| (name.into_bytes(), attributes(4096, FILE, LONG_AGO / 60 * 60));
        let files = (0..100).map(|it| coarse(format!("{it:02}.csv")));
        (number == 0).then(|| files.chain([file("gone.csv.old"), file("link.old")]).collect())
    }

    fn show(&self, path: &str) -> Result<Vec<u8>, u32> {
        match path {
            "out/gone.csv.old" => Err(NO_SUCH_FILE),
            "out/link.old" => Ok(attributes(3, 0o120_777, LONG_AGO)),
            path => Ok(show(path)),
        }
    }
}

#[tokio::test]
async fn a_file_is_taken_with_what_the_server_shows_of_it_alone() {
    let (partner, asked) = shelf::partner(Coarse).await;
    let mut watching = Watching::at(partner).await;
    watching.set("COLLECT_MAX_FILES", "30");
    let process = watching.process();
    let look = watching.try_look(&process).await.unwrap();
    assert_eq!((look.started, look.seen), (30, 102), "{look:?}");
    for file in watching.started().await {
        assert_eq!((file.size, file.modified), (7, Some(LONG_AGO)), "{file:?}");
    }
    assert_eq!(shelf::paths(&asked, kind::LSTAT).len(), 30, "nothing else was looked at");
    watching.set("COLLECT_MAX_FILES", "1000");
    let look = watching.look().await;
    assert_eq!((look.started, look.started_before, look.passed_over), (70, 30, 1), "{look:?}");
    assert_eq!(watching.started().await.len(), 100, "neither the link nor what is gone");
    for process in [&process, &watching.process()] {
        let look = watching.try_look(process).await.unwrap();
        assert_eq!(look.started, 0, "no file is taken twice: {look:?}");
    }
}
