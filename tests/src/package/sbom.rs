//! What the programs of a package are made of, in the format CycloneDX. It has no time, so that two builds agree.
//!
//! It comes from `cargo tree`. `cargo metadata` turns on the features of the whole workspace, so it would list crates
//! that only the tests' build has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::parts::{Architecture, COMMAND_LINE, FUNCTIONS};
use super::sums::hex;

/// The name of the file.
pub const FILE: &str = "sbom.cdx.json";

/// A crate with its version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
}

/// What is known of a crate.
#[derive(Clone, Debug, Default)]
struct Facts {
    licence: String,
    repository: String,
    dependencies: BTreeSet<Crate>,
}

impl Crate {
    /// Its name in the document: the package URL of crates.io, for a crate of others.
    fn reference(&self, checksums: &BTreeMap<Crate, String>) -> String {
        let kind = if checksums.contains_key(self) { "pkg:cargo/" } else { "s3-sftp-bridge/" };
        format!("{kind}{}@{}", self.name, self.version)
    }
}

/// The document for the shipped programs: their normal and build dependencies on this processor.
pub fn document(root: &Path, version: &str, architecture: Architecture) -> Result<String> {
    let mut crates = BTreeMap::new();
    // They are built apart, so that the functions do without what only people need.
    for packages in [&FUNCTIONS[..], &[COMMAND_LINE]] {
        add_tree(&mut crates, &tree(root, packages, architecture)?)?;
    }
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?;
    let checksums = checksums(&lock);
    let programs = FUNCTIONS.iter().chain([&COMMAND_LINE]);
    let programs = programs.map(|name| crates.keys().find(|it| it.name == *name).context("no program"));
    let programs: Result<Vec<_>> = programs.map(|it| Ok(it?.reference(&checksums))).collect();
    let bridge = format!("s3-sftp-bridge@{version}");
    let mut dependencies = vec![json!({ "ref": bridge, "dependsOn": programs? })];
    dependencies.extend(crates.iter().map(|(it, facts)| {
        let on: Vec<_> = facts.dependencies.iter().map(|on| on.reference(&checksums)).collect();
        json!({ "ref": it.reference(&checksums), "dependsOn": on })
    }));
    let components: Vec<_> = crates.iter().map(|(it, facts)| component(it, facts, &checksums)).collect();
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application", "bom-ref": bridge, "name": "s3-sftp-bridge", "version": version,
            "licenses": [{ "license": { "id": "Apache-2.0" } }],
            "properties": [{ "name": "architecture", "value": architecture.name() }],
        } },
        "components": components,
        "dependencies": dependencies,
    });
    document["serialNumber"] = serial_number(&document.to_string()).into();
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// What `cargo tree` prints: depth and crate, licence, repository.
fn tree(root: &Path, packages: &[&str], architecture: Architecture) -> Result<String> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    tree.current_dir(root).args(["tree", "--locked", "--edges", "normal,build", "--prefix", "depth"]);
    tree.args(["--target", architecture.target(), "--format", "{p}\t{l}\t{r}"]);
    tree.args(packages.iter().flat_map(|package| ["--package", package]));
    let output = tree.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn add_tree(crates: &mut BTreeMap<Crate, Facts>, tree: &str) -> Result<()> {
    let mut above: Vec<Crate> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let unexpected = || format!("cargo tree printed a line of another form: {line:?}");
        // Cargo marks a crate whose dependencies it has printed before.
        let line = line.trim_end_matches(" (*)");
        let digits = line.find(|it: char| !it.is_ascii_digit()).with_context(unexpected)?;
        let (depth, rest) = line.split_at(digits);
        let depth: usize = depth.parse().with_context(unexpected)?;
        let fields: Vec<_> = rest.split('\t').collect();
        let [package, licence, repository] = fields[..] else { anyhow::bail!(unexpected()) };
        let (name, version) = package.split_once(" v").with_context(unexpected)?;
        let version = version.split(' ').next().unwrap_or_default();
        let this = Crate { name: name.to_owned(), version: version.to_owned() };
        above.truncate(depth);
        if let Some(parent) = above.last() {
            crates.entry(parent.clone()).or_default().dependencies.insert(this.clone());
        }
        let facts = crates.entry(this.clone()).or_default();
        (facts.licence, facts.repository) = (licence.replace('/', " OR "), repository.to_owned());
        above.push(this);
    }
    Ok(())
}

/// The checksums of the crates of others.
fn checksums(lock: &str) -> BTreeMap<Crate, String> {
    let packages = lock.split("[[package]]\n").skip(1);
    let checksum = |package: &str| {
        let value = |name: &str| {
            let mut values = package.lines().filter_map(|line| line.strip_prefix(name));
            Some(values.next()?.trim_matches('"').to_owned())
        };
        Some((Crate { name: value("name = ")?, version: value("version = ")? }, value("checksum = ")?))
    };
    packages.filter_map(checksum).collect()
}

fn component(it: &Crate, facts: &Facts, checksums: &BTreeMap<Crate, String>) -> Value {
    let reference = it.reference(checksums);
    let mut component = json!({
        "type": "library", "bom-ref": reference, "name": it.name, "version": it.version,
    });
    if !facts.licence.is_empty() {
        component["licenses"] = json!([{ "expression": facts.licence }]);
    }
    if !facts.repository.is_empty() {
        component["externalReferences"] = json!([{ "type": "vcs", "url": facts.repository }]);
    }
    if let Some(checksum) = checksums.get(it) {
        component["purl"] = reference.into();
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// A UUID of version 8 that is made of the contents.
fn serial_number(contents: &str) -> String {
    let mut bytes = Sha256::digest(contents);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes[..16]);
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    format!("urn:uuid:{}", parts.join("-"))
}
