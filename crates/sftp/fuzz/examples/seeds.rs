//! Writes the seeds of the target `replies`: usual replies of servers, and some unusual ones. The seed `openssh` is not
//! written here: it was captured from a session with `sftp-server` of OpenSSH 9.2.
//!
//! `cargo run --example seeds -- seeds/replies`

use std::path::PathBuf;

/// Large pieces only.
const WHOLE: [u16; 4] = [u16::MAX; 4];

/// As in the target.
const ZEROS: u8 = 236;

fn packet(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&(1 + body.len() as u32).to_be_bytes(), &[kind][..], &body].concat()
}

fn string(string: &[u8]) -> Vec<u8> {
    [&(string.len() as u32).to_be_bytes(), string].concat()
}

fn strings(all: &[&str]) -> Vec<u8> {
    all.iter().flat_map(|one| string(one.as_bytes())).collect()
}

fn numbers(all: &[u64]) -> Vec<u8> {
    all.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn status(id: u32, code: u32, strings: &[u8]) -> Vec<u8> {
    packet(101, &[&id.to_be_bytes(), &code.to_be_bytes(), strings])
}

fn data(id: u32, length: usize, tail: &[u8]) -> Vec<u8> {
    let content: Vec<u8> = (0..length).map(|index| index as u8).collect();
    packet(103, &[&id.to_be_bytes(), &string(&content), tail])
}

fn extended(body: &[u8]) -> Vec<u8> {
    packet(201, &[&1u32.to_be_bytes(), body])
}

/// The folder of the seeds.
struct Seeds(PathBuf);

impl Seeds {
    fn write(&self, name: &str, cuts: [u16; 4], zeros: u8, stream: &[u8]) -> std::io::Result<()> {
        let cuts: Vec<u8> = cuts.iter().flat_map(|cut| cut.to_le_bytes()).collect();
        std::fs::write(self.0.join(name), [&cuts, &[zeros][..], stream].concat())
    }

    fn whole(&self, name: &str, stream: &[u8]) -> std::io::Result<()> {
        self.write(name, WHOLE, 0, stream)
    }
}

const ID: [u8; 4] = 1u32.to_be_bytes();
const THREE: [u8; 4] = 3u32.to_be_bytes();

fn version() -> Vec<u8> {
    packet(2, &[&THREE, &extensions()])
}

fn extensions() -> Vec<u8> {
    strings(&["posix-rename@openssh.com", "1", "limits@openssh.com", "1", "check-file", ""])
}

/// One name.
fn name() -> Vec<u8> {
    packet(104, &[&ID, &ID, &strings(&["a", "-rw-r--r-- a"]), &[0; 4]])
}

/// Every attribute that version 3 knows.
fn all_attributes() -> Vec<u8> {
    let (flags, mode) = (0x8000_000fu32.to_be_bytes(), 0o040_755u32.to_be_bytes());
    let (size_and_owner, times) =
        (numbers(&[1 << 33, 0x03e8_0000_03e8]), numbers(&[0x6500_0000_6500_0001]));
    [&flags[..], &size_and_owner, &mode, &times, &ID, &strings(&["acl", "none"])].concat()
}

fn answers(seeds: &Seeds) -> std::io::Result<()> {
    seeds.whole("version", &packet(2, &[&THREE]))?;
    seeds.whole("version-extensions", &version())?;
    let half = packet(2, &[&THREE, &extensions(), &string(b"vendor-id")]);
    seeds.whole("version-half-an-extension", &half)?;
    seeds.whole("status-ok", &status(1, 0, &strings(&["Success", ""])))?;
    seeds.whole("status-latin-1", &status(1, 4, &string(b"Schl\xfcssel fehlt")))?;
    seeds.whole("status-bare", &status(1, u32::MAX, &[]))?;
    seeds.whole("handle", &packet(102, &[&ID, &string(&[0xff, 0, 0xfe, 7])]))?;
    seeds.whole("handle-longest", &packet(102, &[&ID, &string(&[7; 256])]))?;
    seeds.whole("handle-too-long", &packet(102, &[&ID, &string(&[7; 257])]))?;
    let long = format!("x{}", "ä".repeat(700));
    seeds.whole("status-long", &status(1, 4, &string(long.as_bytes())))?;
    seeds.whole("extended-long", &extended(&[7; 1500]))?;
    seeds.whole("attributes", &packet(105, &[&ID, &[0; 4]]))?;
    seeds.whole("attributes-all", &packet(105, &[&ID, &all_attributes()]))?;
    seeds.whole("no-sftp", b"Last login: Mon Nov  3 08:15:00\r\n")?;
    seeds.whole("too-short", &[0, 0, 0, 1, 102, 0, 0, 0, 0])
}

fn bytes_of_files(seeds: &Seeds) -> std::io::Result<()> {
    seeds.whole("data-empty", &data(1, 0, &[]))?;
    seeds.whole("data-end-of-file", &data(1, 100, &[1]))?;
    let pieces = [data(1, 300, &[]), data(2, 17, &[]), data(3, 700, &[])].concat();
    seeds.write("data-in-pieces", [1, 4, 9, 100], 0, &pieces)?;
    seeds.write("data-byte-by-byte", [1; 4], 0, &[data(1, 1500, &[]), status(2, 1, &[])].concat())?;
    seeds.write("data-of-255-kib", WHOLE, ZEROS + 8, &data(1, 255 * 1024, &[])[..20])?;
    seeds.write("data-of-512-kib", [3, 5, 7, 0], ZEROS + 16, &data(1, 512 * 1024 - 9, &[])[..20])?;
    let many =
        [version(), status(1, 0, &[]), data(2, 40, &[]), name(), status(3, 3, &strings(&["Denied", "en"]))];
    seeds.write("session", [2, 3, 50, 7], 0, &many.concat())
}

fn names(seeds: &Seeds) -> std::io::Result<()> {
    seeds.whole("name", &name())?;
    let line = string(b"drwxr-xr-x    2 acme     acme         4096 Jan  1 00:00 x");
    let entries = [
        [string(b"."), line.clone(), all_attributes()].concat(),
        [string(b"\xff\0/../"), Vec::new(), string(b""), vec![0; 4]].concat(),
        [string(&[b'n'; 255]), line, all_attributes()].concat(),
    ];
    for (seed, count) in [("names", 3u32), ("names-too-few", 4)] {
        seeds.whole(seed, &packet(104, &[&ID, &count.to_be_bytes(), &entries.concat()]))?;
    }
    let three = packet(104, &[&ID, &THREE, &entries.concat()]);
    seeds.write("names-in-pieces", [1, 4, 9, 30], 0, &three)?;
    seeds.whole("names-end-of-list", &packet(104, &[&ID, &THREE, &entries.concat(), &[1]]))?;
    seeds.whole("names-none", &packet(104, &[&ID, &[0; 4]]))?;
    seeds.whole("names-countless", &packet(104, &[&ID, &[0xff; 4], &entries[0]]))?;
    let pairs = [&strings(&["a", ""])[..], &[0x80, 0, 0, 0], &[0xff; 4]].concat();
    seeds.whole("names-countless-attributes", &packet(104, &[&ID, &ID, &pairs]))?;
    // Empty names until the packet ends: the most names that a packet can have.
    let most = (500 * 1024 / 12_u32).to_be_bytes();
    let stream = [&(500 * 1024_u32).to_be_bytes(), &[104][..], &ID, &most].concat();
    seeds.write("names-of-500-kib", WHOLE, ZEROS + 16, &stream)
}

fn extended_replies(seeds: &Seeds) -> std::io::Result<()> {
    seeds.whole("limits", &extended(&numbers(&[256 * 1024, 255 * 1024, 255 * 1024, 1019])))?;
    seeds.whole("limits-none", &extended(&numbers(&[0; 4])))?;
    seeds.whole("limits-small", &extended(&numbers(&[34_000, 0, u64::MAX, 1])))?;
    let statvfs = [4096, 4096, 1 << 26, 1 << 25, 1 << 24, 1 << 24, 1 << 23, 1 << 23, 1, 2, 255];
    seeds.whole("statvfs", &extended(&numbers(&statvfs)))?;
    let hash: Vec<u8> = (0..32).collect();
    seeds.whole("check-file-proftpd", &extended(&[strings(&["sha256"]), hash.clone()].concat()))?;
    seeds.whole("check-file-paramiko", &extended(&[strings(&["check-file", "sha256"]), hash].concat()))?;
    seeds.whole("check-file-md5", &extended(&[strings(&["md5"]), vec![7; 16]].concat()))
}

fn main() -> std::io::Result<()> {
    let seeds = Seeds(PathBuf::from(std::env::args().nth(1).expect("the folder for the seeds")));
    std::fs::create_dir_all(&seeds.0)?;
    answers(&seeds)?;
    bytes_of_files(&seeds)?;
    names(&seeds)?;
    extended_replies(&seeds)
}
