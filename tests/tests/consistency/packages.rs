//! A package depends on its programs and the repository alone, and every mistake with one is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use integration_tests::package::{
    Architecture, Binaries, COMMAND_LINE, FUNCTIONS, Package, hosting, sbom, sums, template,
};
use serde_json::Value;

use crate::read;

fn programs(folder: &Path, architecture: Architecture) -> Binaries {
    Binaries::pretended(folder, architecture).unwrap()
}

fn package(folder: &Path) -> Package {
    let binaries = programs(&folder.join("programs"), Architecture::X86_64);
    Package::assemble(&binaries, "1.2.3", Architecture::X86_64, &folder.join("out")).unwrap()
}

/// Every file of a package and its archive: name, mode, sum.
fn found(package: &Package) -> Vec<(String, u32, String)> {
    let paths = sums::files(&package.folder).unwrap().into_iter().map(|file| package.folder.join(file));
    let paths = paths.chain([package.folder.clone(), package.archive_file()]);
    let found = paths.map(|path| {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let is_ours = path.starts_with(&package.folder);
        let sum = if path.is_dir() { String::new() } else { sums::of(&path).unwrap() };
        (path.file_name().unwrap().to_string_lossy().into_owned(), if is_ours { mode } else { 0 }, sum)
    });
    found.collect()
}

/// Set for a child process with umask 077: the folder where it makes a package.
const STRICT: &str = "PACKAGE_WITH_A_STRICT_UMASK";

/// Runs the test of this name in a process of its own. A change of the umask here would meet all tests.
fn with_strict_umask(test: &str, folder: &Path) {
    let mut child = Command::new("sh");
    child.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test]).env(STRICT, folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The same programs elsewhere, later, with other modes and in another order.
fn package_of_changed_programs(folder: &Path) -> Package {
    let mut binaries = programs(&folder.join("else/where"), Architecture::X86_64);
    let later = SystemTime::now() + Duration::from_secs(1_000_000);
    for program in binaries.functions.values().chain([&binaries.command_line]) {
        File::options().write(true).open(program).unwrap().set_modified(later).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o700)).unwrap();
    }
    binaries.functions = binaries.functions.into_iter().rev().collect();
    let package = Package::assemble(&binaries, "1.2.3", Architecture::X86_64, &folder.join("a")).unwrap();
    package.archive().unwrap();
    package
}

#[test]
fn the_same_programs_make_the_same_package_whatever_the_folder_the_time_and_the_umask() {
    if let Some(folder) = std::env::var_os(STRICT) {
        let archive = package_of_changed_programs(Path::new(&folder)).archive_file();
        // It is no part of the package, and so has what the umask leaves.
        assert_eq!(fs::metadata(archive).unwrap().permissions().mode() & 0o777, 0o600);
        return;
    }
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let first = package(one.path());
    first.archive().unwrap();

    let name = "packages::the_same_programs_make_the_same_package_whatever_the_folder_the_time_and_the_umask";
    with_strict_umask(name, other.path());
    let second = Package::open(&other.path().join("a/s3-sftp-bridge-1.2.3-x86_64")).unwrap();

    assert_eq!(found(&first), found(&second));
    let names = sums::files(&first.folder).unwrap();
    let expected = [
        "LICENSE",
        "SHA256SUMS",
        "backfill.asl.json",
        "bridge.asl.json",
        "collect.asl.json",
        "collect.zip",
        "fetch-key.zip",
        "list-remote.zip",
        "record-failure.zip",
        "s3-sftp-bridge",
        "sbom.cdx.json",
        "settle-remote.zip",
        "template.yaml",
        "transfer.zip",
        "verify-remote.zip",
        "watch.asl.json",
    ];
    assert_eq!(names, expected);
    assert_eq!(fs::metadata(first.command_line()).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn other_programs_read_the_archives_and_the_sums() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let archive = package.archive().unwrap();
    let script = "import sys, zipfile\nfor path in sys.argv[1:]:\n  archive = zipfile.ZipFile(path)\n  \
                  assert archive.testzip() is None\n  for it in archive.infolist():\n    \
                  print(it.filename, oct(it.external_attr >> 16), it.date_time)";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(package.folder.join("transfer.zip")).arg(&archive);
    let output = python.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.starts_with("bootstrap 0o100755 (1980, 1, 1, 0, 0, 0)\n"), "{text}");
    let folder_name = "s3-sftp-bridge-1.2.3-x86_64";
    assert!(text.contains(&format!("{folder_name}/s3-sftp-bridge 0o100755 (1980")), "{text}");
    assert!(text.contains(&format!("{folder_name}/template.yaml 0o100644 (1980")), "{text}");
    for (folder, list) in [
        (package.folder.clone(), "SHA256SUMS".to_owned()),
        (archive.parent().unwrap().to_owned(), format!("{folder_name}.zip.sha256")),
    ] {
        let check =
            Command::new("sha256sum").args(["--check", "--strict", &list]).current_dir(folder).output();
        assert!(check.unwrap().status.success(), "{list}");
    }
}

#[test]
fn the_packaged_template_is_the_template_but_for_the_code_and_the_processor() {
    let source = read("sam/template.yaml");
    let zips: BTreeMap<String, String> = [("transfer.zip".into(), "0123".into())].into();
    let packaged = template::packaged(&source, "1.2.3", Architecture::Arm64, &zips).unwrap();
    for line in [
        "      CodeUri: transfer.zip",
        "      DefinitionUri: bridge.asl.json",
        "    AllowedValues: [arm64]",
        "    Default: arm64",
        "      transfer.zip: 0123",
        "    Value: \"1.2.3\"",
    ] {
        assert_eq!(packaged.lines().filter(|found| *found == line).count(), 1, "{line:?}");
    }
    assert!(!packaged.contains("BuildMethod") && !packaged.contains("../"));
    assert_eq!(template::facts(&packaged).unwrap(), ("1.2.3".to_owned(), Architecture::Arm64));
    // Nothing else was touched: comments, order, and every other line.
    let kept: BTreeSet<&str> = packaged.lines().collect();
    let lost: Vec<&str> = source.lines().filter(|line| !kept.contains(line)).collect();
    // Of each function four lines, of each state machine one, of the processor three, of the version two.
    assert_eq!(lost.len(), 4 * 7 + 4 + 3 + 2, "{lost:#?}");

    let hosted = template::hosted(&packaged, |file| Ok(format!("s3://code/{file}"))).unwrap();
    assert!(hosted.contains("\n      CodeUri: s3://code/transfer.zip\n"));
    assert!(hosted.contains("\n      DefinitionUri: s3://code/backfill.asl.json\n"));
}

#[test]
fn a_template_in_which_a_line_is_missing_or_there_twice_is_refused() {
    let source = read("sam/template.yaml");
    let line = "\n      CodeUri: ../functions/transfer\n";
    for (changed, times) in [
        (source.replace(line, "\n      CodeUri: ../transfer\n"), 0),
        (source.replace(line, &line.repeat(2)), 2),
    ] {
        let refused = template::packaged(&changed, "1", Architecture::X86_64, &BTreeMap::new()).unwrap_err();
        let message = refused.to_string();
        assert!(message.contains(line) && message.contains(&format!("has them {times} times")), "{message}");
    }
    let refused = template::facts(&source).unwrap_err().to_string();
    assert!(refused.contains("is no package's"), "{refused}");
}

#[test]
fn mistakes_with_packages_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path());
    let whole = |at: &Path| Package::open(at).map_err(|error| format!("{error:#}"));
    let opened = whole(&package.folder).unwrap();
    assert_eq!((opened.version.as_str(), opened.architecture), ("1.2.3", Architecture::X86_64));

    let zip = package.folder.join("transfer.zip");
    let bytes = fs::read(&zip).unwrap();
    fs::write(&zip, [&bytes, b"more".as_slice()].concat()).unwrap();
    let refused = whole(&package.folder).unwrap_err();
    assert!(refused.contains("transfer.zip was changed: its SHA-256 is"), "{refused}");
    fs::remove_file(&zip).unwrap();
    let refused = whole(&package.folder).unwrap_err();
    assert!(refused.contains("transfer.zip is missing; unpack the package again"), "{refused}");
    let list = fs::read_to_string(package.folder.join(sums::FILE)).unwrap();
    let shorter: String =
        list.lines().filter(|line| !line.ends_with("transfer.zip")).map(|it| format!("{it}\n")).collect();
    fs::write(package.folder.join(sums::FILE), shorter).unwrap();
    let refused = whole(&package.folder).unwrap_err();
    assert!(refused.contains("SHA256SUMS has no sum of transfer.zip"), "{refused}");
    let refused = whole(folder.path()).unwrap_err();
    assert!(refused.contains("is no package: it has no SHA256SUMS"), "{refused}");

    let other = programs(&folder.path().join("other"), Architecture::Arm64);
    let refused = Package::assemble(&other, "1.2.3", Architecture::X86_64, &folder.path().join("b"));
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(
        refused.contains("the package is for x86_64, and") && refused.contains("a program for arm64"),
        "{refused}"
    );
    assert_eq!(fs::read_dir(folder.path().join("b")).unwrap().count(), 0, "nothing is left behind");
    fs::remove_file(&other.functions["transfer"]).unwrap();
    let refused = Package::assemble(&other, "1.2.3", Architecture::Arm64, &folder.path().join("b"));
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("transfer/bootstrap cannot be read; build it first"), "{refused}");

    fs::create_dir_all(folder.path().join("c/s3-sftp-bridge-1.2.3-x86_64")).unwrap();
    let programs = programs(&folder.path().join("programs"), Architecture::X86_64);
    let refused = Package::assemble(&programs, "1.2.3", Architecture::X86_64, &folder.path().join("c"));
    assert!(refused.unwrap_err().to_string().contains("is there already and is no package"));
    assert!(Architecture::parse("amd64").unwrap_err().to_string().contains("take x86_64 or arm64"));
}

#[test]
fn a_package_never_takes_the_place_of_files_that_are_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let first = package(folder.path());
    fs::write(first.template(), "old").unwrap();
    assert_ne!(fs::read_to_string(package(folder.path()).template()).unwrap(), "old", "it is replaced");

    fs::write(first.folder.join("acme.toml"), "mine").unwrap();
    fs::create_dir(first.folder.join("keys")).unwrap();
    fs::write(first.folder.join("keys/acme"), "mine, too").unwrap();
    let binaries = programs(&folder.path().join("programs"), Architecture::X86_64);
    let out = folder.path().join("out");
    for refused in [
        Package::assemble(&binaries, "1.2.3", Architecture::X86_64, &out).map(drop),
        Package::ensure_place("1.2.3", Architecture::X86_64, &out),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("SHA256SUMS does not list: acme.toml, keys; move them away"), "{refused}");
    }
    assert_eq!(fs::read_to_string(first.folder.join("acme.toml")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(first.folder.join("keys/acme")).unwrap(), "mine, too");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "nothing is left behind");
    Package::ensure_place("1.2.4", Architecture::X86_64, &out).unwrap();
}

/// A client of an S3 that gives this answer to one request.
fn answered(status: u16, headers: &str) -> Client {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!("HTTP/1.1 {status} -\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n");
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let lines = BufReader::new(&connection).lines();
        lines.take_while(|line| !line.as_ref().unwrap().is_empty()).for_each(drop);
        connection.write_all(answer.as_bytes()).unwrap();
    });
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .force_path_style(true);
    Client::from_conf(config.build())
}

#[tokio::test]
async fn the_region_of_a_bucket_is_found_whatever_the_status_that_names_it() {
    let header = "x-amz-bucket-region: eu-north-1\r\n";
    for status in [200, 301, 307, 400] {
        let found = hosting::region_of(&answered(status, header), "code").await;
        assert_eq!(found.unwrap(), "eu-north-1", "{status}");
    }
    for (status, headers, expected) in [
        (403, header, "may not be used with these credentials"),
        (404, header, "does not exist; create it first"),
        (400, "", "gave no answer"),
    ] {
        let refused = hosting::region_of(&answered(status, headers), "code").await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the bucket \"code\" {expected}")), "{status}: {refused}");
    }
}

/// What `cargo tree` lists for one shipped program.
fn listed(program: &str, architecture: Architecture) -> BTreeSet<(String, String)> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--package", program, "--edges", "no-dev", "--prefix", "none"]);
    tree.args(["--format", "{p}", "--target", architecture.target()]);
    let output = tree.current_dir(integration_tests::tools::workspace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.lines().filter_map(|line| line.split_once(" v"));
    words.map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap().to_owned())).collect()
}

#[test]
fn the_bill_of_materials_lists_what_cargo_tree_lists_for_the_shipped_programs() {
    let root = integration_tests::tools::workspace();
    let lock = read("Cargo.lock");
    for architecture in Architecture::ALL {
        let text = sbom::document(root, "1.2.3", architecture).unwrap();
        assert!(!text.contains(root.to_str().unwrap()), "a folder of this machine");
        assert_eq!(text, sbom::document(root, "1.2.3", architecture).unwrap());
        let document: Value = serde_json::from_str(&text).unwrap();
        let components = document["components"].as_array().unwrap();
        let field = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        let names = components.iter().map(|it| (field(it, "name"), field(it, "version"))).collect();
        let programs = FUNCTIONS.iter().chain([&COMMAND_LINE]);
        let expected: BTreeSet<_> = programs.flat_map(|program| listed(program, architecture)).collect();
        assert_eq!(expected, names, "{}", architecture.name());
        assert!(
            names.len() > 100 && !names.iter().any(|(name, _)| ["proptest", "ring"].contains(&name.as_str()))
        );

        let references: BTreeSet<String> = components.iter().map(|it| field(it, "bom-ref")).collect();
        assert_eq!(references.len(), components.len());
        for it in components {
            let ours = root.join("crates").join(field(it, "name")).exists() || it.get("hashes").is_none();
            assert!(it["licenses"].is_array(), "{it}");
            assert!(ours || lock.contains(it["hashes"][0]["content"].as_str().unwrap()), "{it}");
        }
        for edge in document["dependencies"].as_array().unwrap().iter().skip(1) {
            assert!(references.contains(&field(edge, "ref")), "{edge}");
            let on = edge["dependsOn"].as_array().unwrap();
            assert!(on.iter().all(|it| references.contains(it.as_str().unwrap())), "{edge}");
        }
    }
}
