//! The same deliveries to every server that partners run. What comes of them is `docs/compatibility.md`.

mod collected;
mod inspect;
mod played;
mod real;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use bridge::{ErrorName, Outcome, Proof, Receipt};
use integration_tests::compatibility::{CHECKS, Comparison, Row};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::{cli, pattern, skip};
use serde_json::Value;

use crate::support::{Delivery, MIB};

/// A server, and where it differs from one that takes everything.
struct Case {
    /// Its name on the page.
    name: &'static str,
    version: String,
    delivery: Delivery,
    /// What is set for it, beside what every server needs.
    settings: SettingsOfRow,
    /// Cells that are not what they are for most servers, each with the reason; nothing else may differ.
    differs: Differs,
}

const STAGING: &str = "staging";

/// What a contract may ask for, and a server refuse.
const DEMANDS: [(&str, &str); 7] = [
    ("SFTP_FILE_MODE", "0640"),
    ("SFTP_DIR_MODE", "0750"),
    ("SFTP_PRESERVE_MTIME", "require"),
    ("SFTP_IF_EXISTS", "keep-both"),
    ("SFTP_STAGING_DIRECTORY", STAGING),
    ("SFTP_PARTIAL_NAME", "{name}.{id}.partial"),
    ("SFTP_PROOF", "hash"),
];

/// Variables and their values.
type SettingsOfRow = &'static [(&'static str, &'static str)];

/// A check, its cell, and the reason for the notes; none for a cell that says it all.
type Differs = &'static [(&'static str, &'static str, &'static str)];

/// What a cell says where the server is like most others.
fn usual(check: &str) -> &'static str {
    match check {
        "auto" => "read back",
        "hash" => "`InvalidConfig`",
        _ => "ok",
    }
}

impl Case {
    fn new(
        name: &'static str,
        version: String,
        mut delivery: Delivery,
        settings: SettingsOfRow,
        differs: Differs,
    ) -> Self {
        settings.iter().for_each(|(name, value)| delivery.set(name, value));
        Self { name, version, delivery, settings, differs }
    }

    /// Runs every check, compares what comes of it with what is expected, and with the page.
    async fn run(self, facts: Option<[String; 3]>) {
        let mut cells = Vec::new();
        let mut surprises = Vec::new();
        for check in CHECKS {
            let expected = self.differs.iter().find(|(name, ..)| *name == check);
            let expected = expected.map_or(usual(check), |(_, cell, _)| *cell);
            let found = self.check(check).await;
            if found != expected {
                surprises.push(format!("{check}: expected {expected}, found {found}"));
            }
            cells.push(found);
        }
        assert!(surprises.is_empty(), "{}:\n{}", self.name, surprises.join("\n"));
        let reasons = self.differs.iter().filter(|(_, _, why)| !why.is_empty());
        let reasons = reasons.map(|(check, cell, why)| format!("*{check}* ({cell}): {why}."));
        let settings = self.settings.iter().map(|(name, value)| format!("`{name}={value}`"));
        let settings = settings.collect::<Vec<_>>().join(" and ");
        let settings = (!settings.is_empty()).then(|| format!("all but *doctor* with {settings}."));
        let notes = settings.into_iter().chain(reasons).collect();
        let Self { name, version, .. } = self;
        let row = Row { name, version, cells, notes, facts };
        match row.record().unwrap() {
            Comparison::Same => {}
            Comparison::OtherVersion(shown) => skip(&format!(
                "comparing {name} with docs/compatibility.md, which speaks of {shown}; this is {}",
                row.version
            )),
            Comparison::Different => panic!(
                "docs/compatibility.md is out of date: run `cargo xtask compatibility`. Of {name} it should say:\n{row:#?}"
            ),
        }
    }

    async fn check(&self, check: &str) -> String {
        match check {
            "names" => self.names().await,
            "empty" => self.cell(self.deliver("empty.bin", 0, None).await),
            "1 byte" => self.cell(self.deliver("one.bin", 1, None).await),
            "5 MiB" => self.cell(self.deliver("5MiB.bin", 5 * MIB, None).await),
            "100 MiB" => self.cell(self.deliver("100MiB.bin", 100 * MIB, Some("none")).await),
            "overwriting" => {
                let former = "yesterday's, which is longer ".repeat(1000);
                std::fs::write(self.delivery.partner.root.join("report.csv"), former).unwrap();
                self.cell(self.deliver("report.csv", 1000, None).await)
            }
            "new directories" => self.cell(self.deliver("new/deep/down/file.bin", 1000, None).await),
            "cut and resumed" => self.resumed().await,
            "doctor" => self.recommended().await,
            "collected" => self.collected().await,
            proof => match self.deliver(&format!("{proof}.bin"), 200_000, Some(proof)).await {
                Ok(receipt) if proof == "auto" => shown(receipt.proof).to_owned(),
                delivered => self.cell(delivered),
            },
        }
    }

    async fn names(&self) -> String {
        let mut cells = Vec::new();
        for (what, object_key) in names() {
            cells.push((what, self.cell(self.deliver(&object_key, 1000, None).await)));
        }
        several(cells)
    }

    async fn resumed(&self) -> String {
        const SIZE: u64 = 24 * MIB;
        let proxy = FaultProxy::start(self.delivery.partner.port).await.unwrap();
        proxy.set(Fault::CutOnceAfter(SIZE / 2)).await;
        self.delivery.put("cut.bin", SIZE);
        let mut variables = self.delivery.variables.clone();
        variables.insert("SFTP_PORT".into(), proxy.port.to_string());
        let delivered = self.through(&variables, "cut.bin", SIZE).await;
        match delivered {
            Ok(receipt) => {
                assert!(receipt.resumes > 0, "it was not cut");
                // A server that is slow to answer has up to 8 MiB in flight, which are sent again.
                let resumed = SIZE + SIZE * 3 / 8;
                if receipt.bytes_sent < resumed { "ok".into() } else { "ok, from the start".into() }
            }
            failed => self.cell(failed),
        }
    }

    /// Delivers with what `doctor` recommends, to someone who knows nothing of the server, and to someone who demands
    /// what not every server does.
    async fn recommended(&self) -> String {
        let known = ["SFTP_HOST", "SFTP_PORT", "SFTP_USER", "SFTP_TRUSTED_HOST_KEYS", "SFTP_S3_SSH_KEY"];
        let mut variables = self.delivery.variables.clone();
        variables.retain(|name, _| known.contains(&name.as_str()));
        let cell = self.as_recommended(&variables, "as recommended.csv").await;
        variables.extend(DEMANDS.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let demanding = self.as_recommended(&variables, "made for it/as demanded.csv").await;
        let left =
            std::fs::read_dir(self.delivery.partner.root.join(STAGING)).into_iter().flatten().flatten();
        assert_eq!(left.map(|entry| entry.file_name()).collect::<Vec<_>>(), Vec::<OsString>::new());
        if cell == demanding { cell } else { format!("{cell}; with demands {demanding}") }
    }

    async fn as_recommended(&self, variables: &BTreeMap<String, String>, object_key: &str) -> String {
        let key_file = self.delivery.partner.client_key_file();
        let arguments = ["--json", "--key-file", key_file.to_str().unwrap()];
        let ran = cli::run(cli::doctor(variables, &arguments).await).await;
        let diagnosis: Value = serde_json::from_str(&ran.stdout).unwrap();
        let Some(recommended) = diagnosis["recommended"]["environment"].as_object() else {
            panic!("{}: nothing is recommended: {diagnosis:#}", self.name);
        };
        let mut variables = variables.clone();
        for (name, value) in recommended {
            variables.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        println!("{}: {}", self.name, diagnosis["recommended"]["changes"]);
        self.delivery.put(object_key, 1000);
        self.cell(self.through(&variables, object_key, 1000).await)
    }

    /// Delivers this many bytes with this proof or the setting's, and checks that all of them arrived or none.
    async fn deliver(
        &self,
        object_key: &str,
        length: u64,
        proof: Option<&str>,
    ) -> Result<Receipt, bridge::Error> {
        self.delivery.put(object_key, length);
        let mut variables = self.delivery.variables.clone();
        if let Some(proof) = proof {
            variables.insert("SFTP_PROOF".into(), proof.into());
        }
        self.through(&variables, object_key, length).await
    }

    async fn through(
        &self,
        variables: &BTreeMap<String, String>,
        object_key: &str,
        length: u64,
    ) -> Result<Receipt, bridge::Error> {
        let process = self.delivery.process_with(variables);
        let delivered = process.deliver_with_retries(object_key).await;
        process.partner.disconnect().await;
        match &delivered {
            Ok(receipt) => {
                assert_eq!(receipt.outcome, Outcome::Delivered, "{}: {object_key}", self.name);
                let file = std::fs::File::open(self.arrived(object_key));
                let file = file.unwrap_or_else(|error| panic!("{}: {object_key}: {error}", self.name));
                let difference = pattern::difference(file, length).unwrap();
                assert_eq!(difference, None, "{}: {object_key} differs", self.name);
                let name = object_key.rsplit('/').next().unwrap();
                let left = std::fs::read_dir(self.arrived(object_key).parent().unwrap()).unwrap().flatten();
                let left = left.map(|entry| entry.file_name().into_string().unwrap());
                let ours =
                    |left: &String| left.ends_with(".partial") && left.contains(&name[..name.len().min(200)]);
                assert_eq!(left.filter(ours).collect::<Vec<_>>(), Vec::<String>::new(), "{}", self.name);
            }
            Err(error) => {
                println!("{}: {object_key}: {error}", self.name);
                let is_whole = |file| pattern::difference(file, length).unwrap().is_none();
                let published = std::fs::File::open(self.arrived(object_key)).is_ok_and(is_whole);
                let direct = variables.get("SFTP_PUBLISH").is_some_and(|publish| publish == "direct");
                assert!(direct || !published, "{}: {object_key} failed and is there: {error}", self.name);
            }
        }
        delivered
    }

    /// A file on the partner's disk. Drop boxes take files away.
    fn arrived(&self, object_key: &str) -> PathBuf {
        let root = &self.delivery.partner.root;
        let taken = root.join(integration_tests::embedded::TAKEN).join(object_key);
        if taken.exists() { taken } else { root.join(object_key) }
    }

    fn cell(&self, delivered: Result<Receipt, bridge::Error>) -> String {
        match delivered {
            Ok(receipt) => {
                if !receipt.warnings.is_empty() {
                    println!("{}: {:?}", self.name, receipt.warnings);
                }
                let says = |words| receipt.warnings.iter().any(|warning| warning.contains(words));
                if says("the former file was removed before") {
                    "ok, removed first".into()
                } else if says("moved aside") {
                    "ok, moved aside".into()
                } else {
                    "ok".into()
                }
            }
            Err(error) => {
                assert_ne!(error.name, ErrorName::Internal, "{error}");
                format!("`{}`", error.name)
            }
        }
    }
}

/// Names that are odd in some way, and in which.
fn names() -> [(&'static str, String); 4] {
    [
        ("signs", "a b+c%2B.txt".into()),
        ("umlauts", "räksmörgås/ü.csv".into()),
        ("emoji", "📦/🙂.bin".into()),
        ("255 bytes", format!("{}.txt", "n".repeat(251))),
    ]
}

/// One cell for several: what all of them say, or else what those say that are not `ok`.
fn several(cells: Vec<(&str, String)>) -> String {
    let mut found = BTreeMap::<String, Vec<&str>>::new();
    for (what, cell) in cells {
        found.entry(cell).or_default().push(what);
    }
    if found.len() == 1 {
        return found.into_keys().collect();
    }
    let others = found.into_iter().filter(|(cell, _)| cell != "ok");
    others.map(|(cell, what)| format!("{cell}: {}", what.join(", "))).collect::<Vec<_>>().join("; ")
}

fn shown(proof: Option<Proof>) -> &'static str {
    match proof {
        Some(Proof::ServerHash) => "server hash",
        Some(Proof::ReadBack) => "read back",
        Some(Proof::Size) => "size",
        Some(Proof::Unverified) => "unverified",
        None => "nothing",
    }
}
