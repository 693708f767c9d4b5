//! The other direction: files on the server become objects, and are archived, deleted or left.

use std::collections::BTreeMap;
use std::fs::{self, File};

use bridge::ErrorName;
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::object_source::{Body, ObjectSource};
use integration_tests::{cli, pattern};
use serde_json::Value;

use super::{Case, several};
use crate::support::MIB;

/// The directory on the server, with one for each check.
const DIRECTORY: &str = "to-collect";
const BUCKET: &str = "collected";
/// The size of the file whose connection is cut, and after how many bytes.
const CUT: (u64, u64) = (24 * MIB, 17 * MIB);

/// One server, and an S3 of its own.
struct Collecting<'a> {
    case: &'a Case,
    source: ObjectSource,
    variables: BTreeMap<String, String>,
}

fn own((name, value): (&str, String)) -> (String, String) {
    (name.to_owned(), value)
}

impl Case {
    /// Collects files as the page says. `ok`, or what else came of which of them.
    pub(super) async fn collected(&self) -> String {
        let collecting = Collecting::from(self);
        let mut cells = collecting.names().await;
        for what in ["empty", "5 MiB", "100 MiB", "archive", "delete", "leave", "cut and resumed"] {
            cells.push((what, collecting.check(what).await));
        }
        fs::remove_dir_all(self.delivery.partner.root.join(DIRECTORY)).unwrap();
        several(cells)
    }
}

impl<'a> Collecting<'a> {
    fn from(case: &'a Case) -> Self {
        let source = ObjectSource::start_writable().unwrap();
        let key = case.delivery.partner.client_key.private.clone();
        source.put("keys/id", Body::Bytes(key.into_bytes())).unwrap();
        let mut variables = case.delivery.variables.clone();
        for (name, value) in [
            ("COLLECT_BUCKET", BUCKET),
            ("COLLECT_RECURSIVE", "true"),
            // The files of these checks are finished.
            ("COLLECT_SETTLE_SECONDS", "0"),
            ("SFTP_LOCATION", "delivered"),
        ] {
            variables.insert(name.into(), value.into());
        }
        Self { case, source, variables }
    }

    async fn check(&self, what: &str) -> String {
        match what {
            "empty" => self.cell(what, &[("empty.bin", 0)], "leave").await,
            "5 MiB" => self.cell(what, &[("5MiB.bin", 5 * MIB)], "leave").await,
            "100 MiB" => self.cell(what, &[("100MiB.bin", 100 * MIB)], "leave").await,
            "cut and resumed" => self.resumed().await,
            afterwards => self.cell(what, &[("a.csv", 1000), ("below/b.csv", 2000)], afterwards).await,
        }
    }

    async fn names(&self) -> Vec<(&'static str, String)> {
        let mut cells = Vec::new();
        for (what, path) in super::names() {
            cells.push((what, self.cell(what, &[(&path, 1000)], "leave").await));
        }
        cells
    }

    async fn resumed(&self) -> String {
        let (size, after) = CUT;
        let proxy = FaultProxy::start(self.case.delivery.partner.port).await.unwrap();
        proxy.set(Fault::CutAnswersAfter(after)).await;
        let port = proxy.port.to_string();
        let settings = [("SFTP_PORT", &*port), ("COLLECT_AFTERWARDS", "leave")];
        match self.collect("cut", &[("cut.bin", size)], &settings).await {
            Ok(receipts) => {
                let number = |field: &str| receipts[0][field].as_u64().unwrap_or_default();
                assert!(number("resumes") > 0, "it was not cut: {receipts:?}");
                if number("bytes_read") < size + size / 4 { "ok".into() } else { "ok, from the start".into() }
            }
            Err(cell) => cell,
        }
    }

    /// Collects these files, and looks what became of them on the server.
    async fn cell(&self, what: &str, files: &[(&str, u64)], afterwards: &str) -> String {
        let settings = [("COLLECT_AFTERWARDS", afterwards)];
        let receipts = match self.collect(what, files, &settings).await {
            Ok(receipts) => receipts,
            Err(cell) => return cell,
        };
        let name = self.case.name;
        let directory = self.case.delivery.partner.root.join(DIRECTORY).join(what);
        let finding = self.examined(what, afterwards).await;
        if let Some(warning) = receipts.iter().find_map(|receipt| receipt["warnings"][0].as_str()) {
            println!("{name}: {afterwards}: {warning}");
            // Where nothing can be renamed, each deletion has a warning.
            if receipts.iter().all(|receipt| receipt["afterwards"] == "deleted") {
                assert!(files.iter().all(|(path, _)| !directory.join(path).exists()), "{name}");
                assert_eq!(finding, "warn", "{name}");
                return "ok".into();
            }
            let is_there = |(path, _): &(&str, u64)| directory.join(path).exists();
            if !files.iter().all(is_there) {
                return "swept".into();
            }
            assert_eq!(finding, "fail", "{name}");
            return "kept".into();
        }
        assert!(["ok", "not tried"].contains(&&*finding), "{name}: {afterwards}: {finding}");
        for (path, length) in files {
            let local = directory.join(path);
            assert_eq!(local.exists(), afterwards == "leave", "{name}: {afterwards} {path}");
            let archive = local.parent().unwrap().join(".done");
            let archived: Vec<_> = fs::read_dir(archive).into_iter().flatten().map(Result::unwrap).collect();
            assert_eq!(archived.len(), usize::from(afterwards == "archive"), "{name}: {archived:?}");
            for entry in archived {
                let difference = pattern::difference(File::open(entry.path()).unwrap(), *length).unwrap();
                assert_eq!(difference, None, "{name}: {entry:?}");
                assert!(
                    entry
                        .file_name()
                        .to_string_lossy()
                        .ends_with(&format!("-{}", local.file_name().unwrap().to_string_lossy()))
                );
            }
        }
        "ok".into()
    }

    /// What `doctor --collect` finds of the same.
    async fn examined(&self, what: &str, afterwards: &str) -> String {
        let mut variables = self.variables.clone();
        let directory = format!("{DIRECTORY}/{what}");
        variables.extend(
            [("COLLECT_DIRECTORY", directory), ("COLLECT_AFTERWARDS", afterwards.to_owned())].map(own),
        );
        variables.extend(self.source.environment().into_iter().map(own));
        let ran = cli::run(cli::doctor(&variables, &["--collect", "--json"]).await).await;
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let check = |name: &str, field: &str| {
            let checks = report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["check"] == name).unwrap();
            check[field].as_str().unwrap().to_owned()
        };
        assert_eq!(check("clean-up", "status"), "ok", "{}: {report:#}", self.case.name);
        let is_tried = !check("afterwards", "found").starts_with("not tried");
        if is_tried { check("afterwards", "status") } else { "not tried".into() }
    }

    /// Leaves these files on the server, collects them, and compares every byte in S3. Returns the receipts, or what the
    /// cell says of a failure.
    async fn collect(
        &self,
        what: &str,
        files: &[(&str, u64)],
        settings: &[(&str, &str)],
    ) -> Result<Vec<Value>, String> {
        let directory = format!("{DIRECTORY}/{what}");
        for (path, length) in files {
            self.leave(&format!("{directory}/{path}"), *length).await;
        }
        let mut command = cli::operate(self.source.environment(), &["collect", "--json"]).await;
        command.envs(&self.variables).envs(settings.iter().copied()).env("COLLECT_DIRECTORY", directory);
        command.env("XDG_STATE_HOME", self.case.delivery.state.path());
        let ran = cli::run(command).await;
        for (path, length) in files {
            let name = format!("{BUCKET}/{path}");
            let Some(object) = self.source.object(&name) else { continue };
            let difference = pattern::difference(&object.contents.unwrap()[..], *length).unwrap();
            assert_eq!(difference, None, "{}: {path} differs", self.case.name);
            self.source.remove(&name);
        }
        if ran.status != 0 || ran.stdout.lines().count() != files.len() {
            println!("{}: {files:?}: {}", self.case.name, ran.stderr);
            let words = ran.stderr.split([' ', ':', '\n']);
            let name = words.filter_map(ErrorName::parse).next();
            return Err(name.map_or("not listed".into(), |name| format!("`{name}`")));
        }
        let receipts: Vec<Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(receipts.iter().all(|receipt| receipt["outcome"] == "collected"), "{receipts:?}");
        Ok(receipts)
    }

    /// A file of the partner's. One that appears on the disk is not seen by a server that caches directories: there it
    /// comes through the server.
    async fn leave(&self, path: &str, length: u64) {
        if self.case.name.starts_with("rclone") {
            self.case.deliver(path, length, None).await.unwrap();
            return;
        }
        let local = self.case.delivery.partner.root.join(path);
        fs::create_dir_all(local.parent().unwrap()).unwrap();
        pattern::write(File::create(local).unwrap(), length).unwrap();
    }
}
