//! `docs/compatibility.md`, from the results of the tests of each server. A test writes its rows into `target/`;
//! `cargo xtask compatibility` puts them together.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tools::workspace;

/// While this environment variable is set, the results are not compared with the page, because it is being rewritten.
pub const RENEWING: &str = "BRIDGE_COMPATIBILITY_RENEWING";

/// The checks of every server, and the headings of their columns.
pub const CHECKS: [&str; 15] = [
    "names",
    "empty",
    "1 byte",
    "5 MiB",
    "100 MiB",
    "overwriting",
    "new directories",
    "cut and resumed",
    "auto",
    "hash",
    "read-back",
    "size",
    "none",
    "doctor",
    "collected",
];

/// The servers, in the order of the page. The real ones first.
pub const SERVERS: [&str; 26] = [
    "OpenSSH",
    "OpenSSH, chrooted",
    "OpenSSH, old algorithms",
    "ProFTPD mod_sftp",
    "Dropbear with OpenSSH's sftp-server",
    "Dropbear with Green End's gesftpserver",
    "TinySSH with OpenSSH's sftp-server",
    "AsyncSSH",
    "Paramiko",
    "Twisted Conch",
    "ssh2 for Node.js",
    "Go's pkg/sftp",
    "rclone (Go pkg/sftp) with a cache",
    "rclone (Go pkg/sftp)",
    "Apache MINA, IBM Sterling",
    "AWS Transfer Family",
    "AWS Transfer Family, stat denied",
    "Azure Blob",
    "MinIO",
    "drop box, swept at close",
    "drop box, swept after the rename",
    "write-only directory",
    "one session only",
    "slow CLOSE",
    "quota, on the last WRITE",
    "quota, on CLOSE",
];

/// The results of one server.
#[derive(Clone, Debug)]
pub struct Row {
    /// One of [`SERVERS`].
    pub name: &'static str,
    /// Which software it was.
    pub version: String,
    /// The result of each of [`CHECKS`].
    pub cells: Vec<String>,
    /// What a reader has to know about settings, and about cells that say more than `ok`.
    pub notes: Vec<String>,
    /// Of the second table: what else it told of itself. None for a server that is only played.
    pub facts: Option<[String; 3]>,
}

/// How the results compare with the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The page says the same.
    Same,
    /// The page speaks of another version of the server.
    OtherVersion(String),
    /// The page says something else of the same version.
    Different,
}

impl Row {
    /// Its lines, in the order of the page: of the first table, the notes, of the second table.
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("| {} | {} |", self.name, self.cells.join(" | "))];
        lines.extend(self.notes.iter().map(|note| format!("- **{}**: {note}", self.name)));
        if let Some(facts) = &self.facts {
            lines.push(format!("| {} | {} | {} |", self.name, self.version, facts.join(" | ")));
        }
        lines
    }

    /// Writes the results for the page, and compares them with the present page.
    pub fn record(&self) -> Result<Comparison> {
        let lines = self.lines();
        let folder = found();
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(file_name(self.name)), lines.join("\n"))?;
        if std::env::var_os(RENEWING).is_some() {
            return Ok(Comparison::Same);
        }
        let page = std::fs::read_to_string(page())?;
        let of_this: Vec<&str> = page.lines().filter(|line| is_of(line, self.name)).collect();
        if of_this == lines {
            return Ok(Comparison::Same);
        }
        let start = format!("| {} | ", self.name);
        let shown = of_this.iter().skip(1).find_map(|line| line.strip_prefix(&start)?.split(" | ").next());
        Ok(match shown {
            Some(shown) if shown != self.version => Comparison::OtherVersion(shown.to_owned()),
            _ => Comparison::Different,
        })
    }
}

fn is_of(line: &str, name: &str) -> bool {
    line.starts_with(&format!("| {name} |")) || line.starts_with(&format!("- **{name}**:"))
}

fn file_name(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Where the tests write their results.
pub fn found() -> PathBuf {
    workspace().join("target/compatibility")
}

/// The page.
pub fn page() -> PathBuf {
    workspace().join("docs/compatibility.md")
}

/// The page, made of what the tests found; of a server that could not be tried here, what the page said before.
/// Returns it with the names of those servers.
pub fn renew() -> Result<(String, Vec<&'static str>)> {
    let former = std::fs::read_to_string(page()).unwrap_or_default();
    let mut kept = Vec::new();
    let (mut behaviour, mut facts, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    for name in SERVERS {
        let found = std::fs::read_to_string(found().join(file_name(name))).unwrap_or_else(|_| {
            kept.push(name);
            former.lines().filter(|line| is_of(line, name)).collect::<Vec<_>>().join("\n")
        });
        let mut tables = found.lines().filter(|line| line.starts_with('|')).map(str::to_owned);
        behaviour.push(tables.next().with_context(|| format!("nothing is known of {name}"))?);
        facts.extend(tables);
        notes.extend(found.lines().filter(|line| line.starts_with('-')).map(str::to_owned));
    }
    let head = format!("| server | {} |\n|{}", CHECKS.join(" | "), " --- |".repeat(CHECKS.len() + 1));
    let text = TEMPLATE
        .replace("REAL", &facts.len().to_string())
        .replace("BEHAVIOUR", &format!("{head}\n{}", behaviour.join("\n")))
        .replace("NOTES", &notes.join("\n"))
        .replace("FACTS", &facts.join("\n"));
    Ok((text, kept))
}

const TEMPLATE: &str = "\
# Compatibility

`cargo xtask compatibility` writes this page from a run of the tests; do not edit it. The tests fail if their results differ
from it.

The first REAL servers are the real programs. The others cannot be installed for a test: a server in the tests plays what
is documented of them, or what users of other tools reported. So those rows show that the bridge handles these traits, not
that it was tried with these products.

Every server gets the same deliveries by the real functions' handlers, and each file that arrives is compared byte for byte:

- **names**: spaces, `+` and `%2B`; umlauts; emoji; a component of 255 bytes.
- **empty** to **100 MiB**: the sizes, the largest with `SFTP_PROOF=none`. **overwriting**: the name exists. **new
  directories**: three that do not exist.
- **cut and resumed**: the connection is cut in the middle of 24 MiB. `ok`: the transfer resumed there.
- **auto**, **hash**, **read-back**, **size**, **none**: with that `SFTP_PROOF`. With `auto` the cell is the proof in the
  receipt.
- **doctor**: `s3-sftp-bridge doctor` runs with host, user and key only, and a file is delivered with the settings that it
  recommends. Then again with settings that require a mode of files and directories, the time, a hash, a staging directory,
  and that existing files are kept.
- **collected**: the other direction, by `s3-sftp-bridge collect`. Files with the names above, of 0 bytes, 5 MiB and 100
  MiB become objects; two files, one of them in a directory, are archived, deleted, and left; and the connection is cut in
  the middle of 24 MiB. `ok`: every object has the contents of its file, what was read was not read again, the file is
  where the settings want it, and `doctor --collect` predicts it.

`ok` means delivered, proved as configured, and nothing of ours left behind. An error's name means that the server cannot do
it: the delivery failed with that [error](errors.md), and no file has the final name. (MinIO, and the drop box that sweeps at
close, are written to directly: a part may have it.) A required proof that the server does not offer is `InvalidConfig`. If a
server needs settings of its own, the [notes](#notes) name them; all others ran with the required settings only.

BEHAVIOUR

## Notes

NOTES

## What the servers say of themselves

The algorithms that were agreed on with the settings of the row: key exchange, host key, cipher, and MAC if the cipher needs
one. The extensions of the server's VERSION packet; the limits of `limits@openssh.com`.

| server | version | agreed on | extensions | data in one READ and WRITE |
| --- | --- | --- | --- | --- |
FACTS
";
