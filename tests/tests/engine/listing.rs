//! Directories of real servers, and of servers that are broken or malicious.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bridge::{Error, ErrorName};
use integration_tests::embedded::Script;
use integration_tests::partner::{Options, Partner};
use integration_tests::servers::Server;
use integration_tests::wire::{self, Request, kind, serve};
use integration_tests::{skip, tools};
use sftp::{Attributes, DirectoryEntry, FileType, Session, StatusCode};
use tokio::sync::Notify;

use crate::support::{session, wait_until};

/// In 2001, so that no clock has to do with it.
const MODIFIED: u32 = 1_000_000_000;

const MODE_OF_FILE: u32 = 0o100_644;

fn write(root: &Path, name: &[u8], size: usize) {
    let path = root.join(std::ffi::OsStr::from_bytes(name));
    std::fs::write(&path, vec![7; size]).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(MODIFIED) + size as u64);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

async fn connect(partner: &Partner) -> Session {
    session(partner, partner.port, sftp::Options::default()).await
}

/// All entries by name. No name may come twice.
async fn list(session: &Session, path: &str) -> sftp::Result<BTreeMap<Vec<u8>, Attributes>> {
    let mut directory = session.sftp().read_directory(path).await?;
    let mut all = BTreeMap::new();
    while let Some(entries) = directory.next().await? {
        assert!(!entries.is_empty());
        for DirectoryEntry { name, attributes } in entries {
            assert_eq!(all.insert(name.to_vec(), attributes), None, "{name:?} came twice");
        }
    }
    assert!(directory.next().await?.is_none(), "the end stays the end");
    Ok(all)
}

/// The names that a server can list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Names {
    Ascii,
    Utf8,
    Any,
}

/// Names of all kinds, with size and time; an empty directory, a missing one, and one of 2,000 files.
async fn lists(partner: &Partner, names: Names) {
    let longest = "n".repeat(255);
    let plain = ["plain.txt", "a b+c%2B.txt", "-rf", "#1;`x`$(y)\"'*?[", ".dotfile", "..two", &longest];
    let beyond = ["räksmörgås.csv", "📦🙂.bin", "\u{202e}txt.exe"];
    let mut expected: Vec<&[u8]> = plain.map(str::as_bytes).into();
    if names >= Names::Utf8 {
        expected.extend(beyond.map(str::as_bytes));
    }
    if names == Names::Any {
        expected.extend([&b"latin-1 \xe4\xf6\xfc"[..], b"\xff\xfe"]);
    }
    let root = &partner.root;
    for (size, name) in expected.iter().enumerate() {
        write(root, name, size);
    }
    std::fs::create_dir_all(root.join("down/empty")).unwrap();
    std::fs::create_dir(root.join("many")).unwrap();
    for number in 0..2000 {
        std::fs::write(root.join(format!("many/{number}")), "").unwrap();
    }

    let session = connect(partner).await;
    let mut all = list(&session, "").await.unwrap();
    for directory in ["down", "many"] {
        let attributes = all.remove(directory.as_bytes()).unwrap();
        assert_eq!(attributes.file_type(), Some(FileType::Directory), "{directory}");
    }
    assert_eq!(all.len(), expected.len(), "{all:?}");
    for (size, name) in expected.iter().enumerate() {
        let attributes = all.get(*name).unwrap_or_else(|| panic!("{:?}: {all:?}", name.escape_ascii()));
        assert_eq!(attributes.size, Some(size as u64), "{:?}", name.escape_ascii());
        assert_eq!(attributes.modified, Some(MODIFIED + size as u32), "{:?}", name.escape_ascii());
        assert_eq!(attributes.file_type(), Some(FileType::File), "{:?}", name.escape_ascii());
    }

    assert_eq!(list(&session, "down").await.unwrap().into_keys().collect::<Vec<_>>(), [b"empty"]);
    assert_eq!(list(&session, "down/empty").await.unwrap(), BTreeMap::new());
    let numbers = list(&session, "many").await.unwrap();
    assert_eq!(numbers.len(), 2000);
    assert!((0..2000).all(|number| numbers.contains_key(number.to_string().as_bytes())));
    assert!(list(&session, "missing").await.unwrap_err().is_not_found());

    let sftp = session.sftp();
    assert_eq!(sftp.lstat("missing").await.unwrap(), None);
    let attributes = sftp.lstat("a b+c%2B.txt").await.unwrap().unwrap();
    let expected = (Some(1), Some(MODIFIED + 1), Some(FileType::File));
    assert_eq!((attributes.size, attributes.modified, attributes.file_type()), expected);
    assert_eq!(sftp.lstat("down").await.unwrap().unwrap().file_type(), Some(FileType::Directory));
    if names < Names::Any {
        write(root, b"down/a \xe4", 1);
        write(root, b"down/b", 1);
        match list(&session, "down").await {
            Ok(all) => assert_eq!(all.len(), 3, "the name is another one, but nothing is left out: {all:?}"),
            Err(error) => assert!(matches!(error, sftp::Error::Refused(_)), "{error}"),
        }
    }
    assert!(!sftp.is_poisoned());
}

/// With these settings. `None` if it is not available.
async fn open_ssh(settings: &str) -> Option<Partner> {
    let Some(sshd) = tools::sshd().await.unwrap() else {
        skip("directories of OpenSSH: it is not available here");
        return None;
    };
    let options = Options { settings: settings.to_owned(), ..Options::default() };
    Some(Partner::open_ssh(sshd, options).await.unwrap())
}

async fn program(server: Server, names: Names) {
    let Some(software) = server.install().await.unwrap() else {
        return skip(&format!("directories of {server:?}: it is not available here"));
    };
    let partner = Partner::program(software, Options::default()).await.unwrap();
    lists(&partner, names).await;
}

#[tokio::test]
async fn directories_of_open_ssh() {
    let Some(partner) = open_ssh("").await else { return };
    lists(&partner, Names::Any).await;
}

#[tokio::test]
async fn directories_of_proftpd() {
    program(Server::ProFtpd, Names::Any).await;
}

#[tokio::test]
async fn directories_of_green_end() {
    program(Server::GreenEnd, Names::Any).await;
}

#[tokio::test]
async fn directories_of_asyncssh() {
    program(Server::AsyncSsh, Names::Any).await;
}

#[tokio::test]
async fn directories_of_paramiko() {
    program(Server::Paramiko, Names::Utf8).await;
}

#[tokio::test]
async fn directories_of_conch() {
    program(Server::Conch, Names::Ascii).await;
}

#[tokio::test]
async fn directories_of_ssh2() {
    program(Server::Ssh2, Names::Utf8).await;
}

#[tokio::test]
async fn directories_of_pkg_sftp() {
    program(Server::PkgSftp, Names::Any).await;
}

#[tokio::test]
async fn directories_of_rclone() {
    program(Server::Rclone, Names::Any).await;
}

/// Links, directories and pipes are told apart. LSTAT looks at a link itself.
#[tokio::test]
async fn the_type_of_everything_is_told() {
    let Some(partner) = open_ssh("").await else { return };
    let root = &partner.root;
    write(root, b"file", 5);
    std::fs::create_dir(root.join("directory")).unwrap();
    for (link, target) in
        [("to-file", "file"), ("to-directory", "directory"), ("to-nothing", "x"), ("loop", "loop")]
    {
        symlink(target, root.join(link)).unwrap();
    }
    assert!(std::process::Command::new("mkfifo").arg(root.join("pipe")).status().unwrap().success());
    let session = connect(&partner).await;
    let types = |all: BTreeMap<Vec<u8>, Attributes>| {
        all.into_iter()
            .map(|(name, attributes)| (String::from_utf8(name).unwrap(), attributes.file_type().unwrap()))
            .collect::<Vec<_>>()
    };
    let expected = [
        ("directory", FileType::Directory),
        ("file", FileType::File),
        ("loop", FileType::Link),
        ("pipe", FileType::Other),
        ("to-directory", FileType::Link),
        ("to-file", FileType::Link),
        ("to-nothing", FileType::Link),
    ];
    let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
    assert_eq!(types(list(&session, ".").await.unwrap()), expected);
    let sftp = session.sftp();
    for (name, kind) in &expected {
        let attributes = sftp.lstat(name).await.unwrap().unwrap();
        assert_eq!(attributes.file_type(), Some(*kind), "{name}");
    }
    let target = sftp.stat("to-file").await.unwrap().unwrap();
    assert_eq!((target.file_type(), target.size), (Some(FileType::File), Some(5)));
    let error = list(&session, "file").await.unwrap_err();
    assert!(matches!(&error, sftp::Error::Refused(status) if status.operation == "opendir"), "{error}");
}

/// The server's own words, and the session goes on.
#[tokio::test]
async fn what_may_not_be_listed_is_refused_in_the_servers_words() {
    for (request, operation) in [("opendir", "opendir"), ("readdir", "readdir"), ("lstat", "lstat")] {
        let settings = format!("ForceCommand internal-sftp -P {request} -d FOLDER/files\n");
        let Some(partner) = open_ssh(&settings).await else { return };
        write(&partner.root, b"file", 5);
        let session = connect(&partner).await;
        let error = match request {
            "lstat" => session.sftp().lstat("file").await.unwrap_err(),
            _ => list(&session, "").await.unwrap_err(),
        };
        let sftp::Error::Refused(status) = &error else { panic!("{error}") };
        assert_eq!((status.operation, status.code), (operation, StatusCode::PERMISSION_DENIED));
        assert!(session.sftp().stat("file").await.unwrap().is_some());
        assert!(!session.sftp().is_poisoned());
    }
}

/// How many files and directories below this folder are held open by any process.
fn held_open_below(root: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let files = processes.filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok()).flatten();
    let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(root) && target != root).count()
}

#[tokio::test]
async fn a_directory_is_closed_when_it_is_dropped_and_at_its_end() {
    let Some(partner) = open_ssh("").await else { return };
    let folder = partner.root.join("down");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..500 {
        std::fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let session = connect(&partner).await;
    let sftp = session.sftp();
    let mut at_its_start = sftp.read_directory("down").await.unwrap();
    let unread = sftp.read_directory("down").await.unwrap();
    let mut at_its_end = sftp.read_directory("down").await.unwrap();
    assert_eq!(held_open_below(&partner.root), 3);
    assert_eq!(at_its_start.next().await.unwrap().map(|entries| entries.len() < 500), Some(true));
    while at_its_end.next().await.unwrap().is_some() {}
    wait_until("closed at its end", || held_open_below(&partner.root) == 2).await;
    drop((at_its_start, unread));
    wait_until("closed when dropped", || held_open_below(&partner.root) == 0).await;
    assert!(at_its_end.next().await.unwrap().is_none());
    assert!(!sftp.is_poisoned());
}

const PATIENCE: Duration = Duration::from_secs(1);

/// A session with a server that opens any directory, and answers READDIR like this. The second argument counts them.
async fn answering(
    answer: impl Fn(&Request, usize) -> Vec<u8> + Send + Sync + 'static,
) -> (Partner, Session) {
    let answer = Arc::new(answer);
    let script = Script::new(move |channel| {
        let answer = Arc::clone(&answer);
        let mut count = 0;
        async move {
            serve(channel, |request| match request.kind {
                kind::OPENDIR => Some(request.reply(kind::HANDLE, &[&wire::string(&[0xff, 0, 0xfe])])),
                kind::READDIR => {
                    count += 1;
                    Some(answer(request, count))
                }
                _ => None,
            })
            .await;
        }
    });
    let partner = Partner::scripted(script).await.unwrap();
    let options = sftp::Options { stall_timeout: PATIENCE, ..sftp::Options::default() };
    let session = session(&partner, partner.port, options).await;
    (partner, session)
}

/// Two files in one packet, and the end.
fn two_files(request: &Request, count: usize) -> Vec<u8> {
    let file = |name: &'static str| (name, wire::attributes(7, MODE_OF_FILE, MODIFIED));
    match count {
        1 => request.names([file("."), file("a"), file(".."), file("b")]),
        _ => request.status(1, "the end"),
    }
}

#[tokio::test]
async fn a_reply_of_the_wrong_type_is_an_error_and_not_the_end() {
    let replies = [
        ("HANDLE", kind::HANDLE, wire::string(b"h")),
        ("ATTRS", kind::ATTRS, vec![0; 4]),
        ("DATA", kind::DATA, wire::string(&[0; 30_000])),
        ("type 77", 77, b"x".to_vec()),
    ];
    for (name, kind, body) in replies {
        let (_partner, session) = answering(move |request, _| request.reply(kind, &[&body])).await;
        let error = Error::from(list(&session, "in").await.unwrap_err());
        assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
        assert!(error.message().contains(name) && error.message().contains("readdir \"in\""), "{error}");
        assert!(session.sftp().is_poisoned());
    }
    // A status that is not the end, not even OK.
    for code in [0, 4, u32::MAX] {
        let (_partner, session) = answering(move |request, count| match count {
            1 => two_files(request, 1),
            _ => request.status(code, "odd"),
        })
        .await;
        let error = list(&session, "in").await.unwrap_err();
        assert!(matches!(&error, sftp::Error::Refused(status) if status.code.0 == code), "{error}");
        assert!(!session.sftp().is_poisoned());
    }
}

/// Names in reply to something else are an error as well.
#[tokio::test]
async fn names_that_nobody_asked_for() {
    let script = Script::new(|channel| async move {
        serve(channel, |request| match request.kind {
            kind::OPENDIR | kind::LSTAT => Some(two_files(request, 1)),
            _ => None,
        })
        .await;
    });
    let partner = Partner::scripted(script).await.unwrap();
    let error = connect(&partner).await.sftp().read_directory("in").await.unwrap_err().to_string();
    assert!(error.contains("opendir") && error.contains("NAME"), "{error}");
    let error = connect(&partner).await.sftp().lstat("in").await.unwrap_err().to_string();
    assert!(error.contains("lstat") && error.contains("NAME"), "{error}");
}

#[tokio::test]
async fn a_count_larger_than_the_packet_ends_the_session() {
    let short = |count: u32| {
        move |request: &Request, _: usize| {
            let entry = [wire::string(b"a"), wire::string(b""), vec![0; 4]].concat();
            request.reply(kind::NAME, &[&count.to_be_bytes(), &entry])
        }
    };
    for count in [2, u32::MAX] {
        let (_partner, session) = answering(short(count)).await;
        let started = Instant::now();
        let error = Error::from(list(&session, "in").await.unwrap_err());
        assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
        assert!(error.message().contains("a packet ended early"), "{error}");
        assert!(started.elapsed() < PATIENCE);
    }
    let (_partner, session) = answering(move |request, count| match count {
        1 => short(1)(request, count),
        _ => request.status(1, ""),
    })
    .await;
    assert_eq!(list(&session, "in").await.unwrap().into_keys().collect::<Vec<_>>(), [b"a"]);
}

#[tokio::test]
async fn no_answer_to_readdir_has_a_time_limit() {
    let (_partner, session) = answering(|_, _| Vec::new()).await;
    let started = Instant::now();
    let error = Error::from(list(&session, "in").await.unwrap_err());
    assert_eq!(error.name, ErrorName::ConnectionLost, "{error}");
    assert!(error.message().contains("did not finish readdir within 1 s"), "{error}");
    assert!(started.elapsed() < PATIENCE * 3);
}

/// Some servers send nothing at times, or `.` and `..` apart. A server that does so without end is stopped.
#[tokio::test]
async fn packets_without_names_are_passed_over_but_not_without_end() {
    let dots = |request: &Request, count: usize| match count % 3 {
        0 => request.names([(".", vec![0; 4])]),
        1 => request.names([("..", vec![0; 4])]),
        _ => request.names(Vec::<(&str, Vec<u8>)>::new()),
    };
    let (_partner, session) = answering(move |request, count| match count {
        ..50 => dots(request, count),
        _ => two_files(request, count - 49),
    })
    .await;
    assert_eq!(list(&session, "in").await.unwrap().into_keys().collect::<Vec<_>>(), [b"a", b"b"]);

    let (_partner, session) = answering(dots).await;
    let started = Instant::now();
    let error = Error::from(list(&session, "in").await.unwrap_err());
    assert_eq!(error.name, ErrorName::RemoteFailure, "{error}");
    assert!(error.message().contains("NAME without a name, 100 times"), "{error}");
    assert!(started.elapsed() < PATIENCE * 10);
    assert!(session.sftp().is_poisoned());
}

#[tokio::test]
async fn a_listing_without_sizes_times_or_types_says_so() {
    let (_partner, session) = answering(|request, count| match count {
        1 => request.names([
            (&b"nothing"[..], vec![0; 4]),
            (b"mode without type", [&4_u32.to_be_bytes()[..], &0o644_u32.to_be_bytes()].concat()),
            (b"", wire::attributes(u64::MAX, 0, u32::MAX)),
            (b"../../etc/passwd\0", wire::attributes(7, MODE_OF_FILE, MODIFIED)),
        ]),
        _ => request.status(1, ""),
    })
    .await;
    let all = list(&session, "in").await.unwrap();
    let told = |name: &[u8]| {
        let Attributes { size, modified, .. } = all[name];
        (size, modified, all[name].file_type())
    };
    assert_eq!(told(b"nothing"), (None, None, None));
    assert_eq!(told(b"mode without type"), (None, None, None));
    assert_eq!(told(b""), (Some(u64::MAX), Some(u32::MAX), None));
    let passwd = (Some(7), Some(MODIFIED), Some(FileType::File));
    assert_eq!(told(b"../../etc/passwd\0"), passwd, "what a name is good for is for others to decide");
}

/// The READDIR that is in flight is not lost with a future.
#[tokio::test]
async fn a_dropped_future_loses_no_name() {
    let (asked, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (is_asked, goes_on) = (Arc::clone(&asked), Arc::clone(&go_on));
    let script = Script::new(move |channel| {
        let (is_asked, goes_on) = (Arc::clone(&is_asked), Arc::clone(&goes_on));
        hesitating(channel, is_asked, goes_on)
    });
    let partner = Partner::scripted(script).await.unwrap();
    let session = connect(&partner).await;
    let mut directory = session.sftp().read_directory("in").await.unwrap();
    tokio::select! {
        _ = directory.next() => panic!("it was not answered yet"),
        () = asked.notified() => {}
    }
    go_on.notify_one();
    let names: Vec<_> =
        directory.next().await.unwrap().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, [&b"a"[..], b"b"]);
    assert!(directory.next().await.unwrap().is_none());
}

/// Says when the first READDIR has come, and answers it when it is told to.
async fn hesitating(
    mut channel: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    is_asked: Arc<Notify>,
    goes_on: Arc<Notify>,
) {
    use tokio::io::AsyncWriteExt;
    let mut count = 0;
    while let Some(request) = Request::read(&mut channel).await {
        let reply = match request.kind {
            kind::INIT => wire::packet(kind::VERSION, 3, &[]),
            kind::OPENDIR => request.reply(kind::HANDLE, &[&wire::string(b"h")]),
            kind::READDIR => {
                count += 1;
                if count == 1 {
                    is_asked.notify_one();
                    goes_on.notified().await;
                }
                two_files(&request, count)
            }
            _ => request.status(0, ""),
        };
        if channel.write_all(&reply).await.is_err() {
            return;
        }
    }
}
