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

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).expect("the folder for the seeds"));
    std::fs::create_dir_all(&folder)?;
    let write = |name: &str, cuts: [u16; 4], zeros: u8, stream: &[u8]| {
        let cuts: Vec<u8> = cuts.iter().flat_map(|cut| cut.to_le_bytes()).collect();
        std::fs::write(folder.join(name), [&cuts, &[zeros][..], stream].concat())
    };

    let three = 3u32.to_be_bytes();
    let id = 1u32.to_be_bytes();
    let extensions = strings(&["posix-rename@openssh.com", "1", "limits@openssh.com", "1", "check-file", ""]);
    let version = packet(2, &[&three, &extensions]);
    write("version", WHOLE, 0, &packet(2, &[&three]))?;
    write("version-extensions", WHOLE, 0, &version)?;
    write("version-half-an-extension", WHOLE, 0, &packet(2, &[&three, &extensions, &string(b"vendor-id")]))?;
    write("status-ok", WHOLE, 0, &status(1, 0, &strings(&["Success", ""])))?;
    write("status-latin-1", WHOLE, 0, &status(1, 4, &string(b"Schl\xfcssel fehlt")))?;
    write("status-bare", WHOLE, 0, &status(1, u32::MAX, &[]))?;
    write("handle", WHOLE, 0, &packet(102, &[&id, &string(&[0xff, 0, 0xfe, 7])]))?;
    write("handle-longest", WHOLE, 0, &packet(102, &[&id, &string(&[7; 256])]))?;
    write("handle-too-long", WHOLE, 0, &packet(102, &[&id, &string(&[7; 257])]))?;
    let long = format!("x{}", "ä".repeat(700));
    write("status-long", WHOLE, 0, &status(1, 4, &string(long.as_bytes())))?;
    write("extended-long", WHOLE, 0, &extended(&[7; 1500]))?;
    write("attributes", WHOLE, 0, &packet(105, &[&id, &[0; 4]]))?;
    let flags = 0x8000_000fu32.to_be_bytes();
    let (mode, times) = (0o040_755u32.to_be_bytes(), numbers(&[0x6500_0000_6500_0001]));
    let pairs = [&id[..], &strings(&["acl", "none"])].concat();
    write(
        "attributes-all",
        WHOLE,
        0,
        &packet(105, &[&id, &flags, &numbers(&[1 << 33, 0x03e8_0000_03e8]), &mode, &times, &pairs]),
    )?;
    write("data-empty", WHOLE, 0, &data(1, 0, &[]))?;
    write("data-end-of-file", WHOLE, 0, &data(1, 100, &[1]))?;
    write(
        "data-in-pieces",
        [1, 4, 9, 100],
        0,
        &[data(1, 300, &[]), data(2, 17, &[]), data(3, 700, &[])].concat(),
    )?;
    write("data-byte-by-byte", [1; 4], 0, &[data(1, 1500, &[]), status(2, 1, &[])].concat())?;
    write("data-of-255-kib", WHOLE, ZEROS + 8, &data(1, 255 * 1024, &[])[..20])?;
    write("data-of-512-kib", [3, 5, 7, 0], ZEROS + 16, &data(1, 512 * 1024 - 9, &[])[..20])?;
    let name = packet(104, &[&id, &id, &strings(&["a", "-rw-r--r-- a"]), &[0; 4]]);
    write("name", WHOLE, 0, &name)?;
    let line = string(b"drwxr-xr-x    2 acme     acme         4096 Jan  1 00:00 x");
    let all =
        [&flags[..], &numbers(&[1 << 33, 0x03e8_0000_03e8]), &mode, &times, &id, &strings(&["acl", "none"])];
    let (all, three_and_four) = (all.concat(), [3u32.to_be_bytes(), 4u32.to_be_bytes()]);
    let entries = [
        [string(b"."), line.clone(), all.clone()].concat(),
        [string(b"\xff\0/../"), Vec::new(), string(b""), vec![0; 4]].concat(),
        [string(&[b'n'; 255]), line, all].concat(),
    ];
    for (seed, count) in ["names", "names-too-few"].into_iter().zip(three_and_four) {
        write(seed, WHOLE, 0, &packet(104, &[&id, &count, &entries.concat()]))?;
    }
    write("names-in-pieces", [1, 4, 9, 30], 0, &packet(104, &[&id, &three, &entries.concat()]))?;
    write("names-end-of-list", WHOLE, 0, &packet(104, &[&id, &three, &entries.concat(), &[1]]))?;
    write("names-none", WHOLE, 0, &packet(104, &[&id, &[0; 4]]))?;
    write("names-countless", WHOLE, 0, &packet(104, &[&id, &[0xff; 4], &entries[0]]))?;
    let pairs = [&strings(&["a", ""])[..], &[0x80, 0, 0, 0], &[0xff; 4]].concat();
    write("names-countless-attributes", WHOLE, 0, &packet(104, &[&id, &id, &pairs]))?;
    // Empty names until the packet ends: the most names that a packet can have.
    let most = (500 * 1024 / 12_u32).to_be_bytes();
    write(
        "names-of-500-kib",
        WHOLE,
        ZEROS + 16,
        &[&(500 * 1024_u32).to_be_bytes(), &[104][..], &id, &most].concat(),
    )?;
    write("limits", WHOLE, 0, &extended(&numbers(&[256 * 1024, 255 * 1024, 255 * 1024, 1019])))?;
    write("limits-none", WHOLE, 0, &extended(&numbers(&[0; 4])))?;
    write("limits-small", WHOLE, 0, &extended(&numbers(&[34_000, 0, u64::MAX, 1])))?;
    let statvfs = [4096, 4096, 1 << 26, 1 << 25, 1 << 24, 1 << 24, 1 << 23, 1 << 23, 1, 2, 255];
    write("statvfs", WHOLE, 0, &extended(&numbers(&statvfs)))?;
    let hash: Vec<u8> = (0..32).collect();
    write("check-file-proftpd", WHOLE, 0, &extended(&[strings(&["sha256"]), hash.clone()].concat()))?;
    write("check-file-paramiko", WHOLE, 0, &extended(&[strings(&["check-file", "sha256"]), hash].concat()))?;
    write("check-file-md5", WHOLE, 0, &extended(&[strings(&["md5"]), vec![7; 16]].concat()))?;
    let many =
        [version, status(1, 0, &[]), data(2, 40, &[]), name, status(3, 3, &strings(&["Denied", "en"]))];
    write("session", [2, 3, 50, 7], 0, &many.concat())?;
    write("no-sftp", WHOLE, 0, b"Last login: Mon Nov  3 08:15:00\r\n")?;
    write("too-short", WHOLE, 0, &[0, 0, 0, 1, 102, 0, 0, 0, 0])
}
