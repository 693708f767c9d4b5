//! An SFTP server without a network: requests as values, and what each kind of server makes of them.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::files::{Files, Node};

/// How a server behaves.
#[derive(Clone, Copy, Debug, Hash)]
pub(crate) struct Kind {
    pub(crate) posix_rename: PosixRename,
    pub(crate) rename: Rename,
    pub(crate) stat: Allowed,
    pub(crate) read: Allowed,
    pub(crate) open: Open,
    pub(crate) fsync: bool,
    pub(crate) order: Order,
}

/// In which order the requests of one session are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Order {
    /// Those for one handle as they were sent, as the protocol demands. Others in any order.
    ForEachHandle,
    /// A CLOSE may overtake WRITEs: the server works in parallel.
    CloseOvertakes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PosixRename {
    Works,
    Absent,
    /// It is announced, and refuses a name that exists.
    RefusesExisting,
    /// It is answered with OK, and the server appends `.in` to the name.
    Elsewhere,
}

/// Plain RENAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rename {
    /// A target that exists is refused, even if the source is missing.
    TargetFirst,
    /// A missing source is noticed first.
    SourceFirst,
    Replaces,
    /// No file is ever renamed.
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Allowed {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Open {
    Keeps,
    /// Whatever is opened for writing is cut.
    Truncates,
}

impl Kind {
    /// OpenSSH.
    pub(crate) const POSIX: Self = Self {
        posix_rename: PosixRename::Works,
        rename: Rename::SourceFirst,
        stat: Allowed::Yes,
        read: Allowed::Yes,
        open: Open::Keeps,
        fsync: true,
        order: Order::ForEachHandle,
    };
    /// No extensions, and a target that exists is refused.
    pub(crate) const PLAIN: Self =
        Self { posix_rename: PosixRename::Absent, rename: Rename::TargetFirst, fsync: false, ..Self::POSIX };
}

impl Kind {
    /// Whether no rename gives a file the name that was asked for.
    pub(crate) fn takes_elsewhere(self) -> bool {
        self.posix_rename == PosixRename::Elsewhere
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum Request {
    Open { path: String, flags: u32 },
    Close { handle: u32 },
    Read { handle: u32, offset: u64, length: u32 },
    Write { handle: u32, offset: u64, data: Bytes },
    Fstat { handle: u32 },
    Stat { path: String },
    Setstat { path: String, attributes: Attributes },
    Fsetstat { handle: u32, attributes: Attributes },
    Remove { path: String },
    Rename { from: String, to: String },
    PosixRename { from: String, to: String },
    Mkdir { path: String },
    Rmdir { path: String },
    Realpath { path: String },
    Fsync { handle: u32 },
    Limits,
    Unknown(u8),
}

#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Attributes {
    size: Option<u64>,
    mode: Option<u32>,
    modified: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Status(u32),
    Handle(u32),
    Data(Vec<u8>),
    Attributes { size: u64, mode: u32, modified: u32 },
    Name(String),
    Limits,
}

pub(crate) const OK: Answer = Answer::Status(0);
const END_OF_FILE: Answer = Answer::Status(1);
const NO_SUCH_FILE: Answer = Answer::Status(2);
const DENIED: Answer = Answer::Status(3);
const FAILURE: Answer = Answer::Status(4);
const UNSUPPORTED: Answer = Answer::Status(8);

const WRITE: u32 = 0x02;
const CREATE: u32 = 0x08;
const TRUNCATE: u32 = 0x10;
const EXCLUDE: u32 = 0x20;

/// Data in one READ and one WRITE: the least that the client agrees to, so that small files take several.
pub(crate) const DATA: u64 = 1024;

impl Request {
    /// Whether it changes what others see, so that it matters whether it was carried out before an answer was lost.
    pub(crate) fn changes(&self) -> bool {
        match self {
            Self::Open { flags, .. } => flags & CREATE != 0,
            Self::Write { .. }
            | Self::Setstat { .. }
            | Self::Fsetstat { .. }
            | Self::Remove { .. }
            | Self::Rename { .. }
            | Self::PosixRename { .. }
            | Self::Mkdir { .. }
            | Self::Rmdir { .. } => true,
            _ => false,
        }
    }

    /// Whether it is carried out late, after its session has ended: what publishes. Against a request that takes a final
    /// name away and is carried out after everything else, no client can do anything.
    pub(crate) fn may_come_late(&self) -> bool {
        match self {
            Self::Rename { to, .. } | Self::PosixRename { to, .. } => to == crate::store::OBJECT_KEY,
            _ => false,
        }
    }

    /// Whether it may be served before one that was sent earlier.
    pub(crate) fn may_overtake(&self, earlier: &Self, order: Order) -> bool {
        match (self.handle(), earlier.handle()) {
            (Some(one), Some(other)) if one == other => {
                order == Order::CloseOvertakes && matches!(self, Self::Close { .. })
            }
            _ => true,
        }
    }

    fn handle(&self) -> Option<u32> {
        match self {
            Self::Close { handle }
            | Self::Read { handle, .. }
            | Self::Write { handle, .. }
            | Self::Fstat { handle }
            | Self::Fsetstat { handle, .. }
            | Self::Fsync { handle } => Some(*handle),
            _ => None,
        }
    }

    /// For the trace.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Write { handle, offset, data } => format!("WRITE {handle} {offset}+{}", data.len()),
            other => format!("{other:?}"),
        }
    }
}

/// The files that one session has open.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Handles {
    open: BTreeMap<u32, u32>,
    next: u32,
}

impl Handles {
    pub(crate) fn holds(&self, inode: u32) -> bool {
        self.open.values().any(|open| *open == inode)
    }

    pub(crate) fn clear(&mut self) {
        self.open.clear();
    }
}

/// Does what is asked for.
pub(crate) fn serve(
    kind: Kind,
    files: &mut Files,
    handles: &mut Handles,
    request: &Request,
    now: u32,
) -> Answer {
    match request {
        Request::Open { path, flags } => open(kind, files, handles, path, *flags, now),
        Request::Close { handle } => handles.open.remove(handle).map_or(FAILURE, |_| OK),
        Request::Read { handle, offset, length } => {
            let data = handles.open.get(handle).and_then(|number| files.inode(*number));
            let Some(data) = data.map(|inode| &inode.data) else { return FAILURE };
            let from = (*offset as usize).min(data.len());
            let to = (from + (*length as usize).min(DATA as usize)).min(data.len());
            if from == to { END_OF_FILE } else { Answer::Data(data[from..to].to_vec()) }
        }
        Request::Write { handle, offset, data } => {
            let Some(inode) = handles.open.get(handle).and_then(|number| files.inode_mut(*number)) else {
                return FAILURE;
            };
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            if inode.data.len() < to {
                inode.data.resize(to, 0);
            }
            inode.data[from..to].copy_from_slice(data);
            inode.modified = now;
            OK
        }
        Request::Fstat { .. } | Request::Stat { .. } if kind.stat == Allowed::No => DENIED,
        Request::Fstat { handle } => match handles.open.get(handle) {
            Some(number) => attributes(files, Node::File(*number)),
            None => FAILURE,
        },
        Request::Stat { path } => files.look(path).map_or(NO_SUCH_FILE, |node| attributes(files, node)),
        Request::Setstat { path, attributes } => match files.look(path) {
            Some(Node::File(number)) => set(files, number, *attributes),
            Some(Node::Directory) => OK,
            None => NO_SUCH_FILE,
        },
        Request::Fsetstat { handle, attributes } => match handles.open.get(handle) {
            Some(number) => set(files, *number, *attributes),
            None => FAILURE,
        },
        Request::Remove { path } => match files.look(path) {
            Some(Node::File(_)) => files.unlink(path).map_or(NO_SUCH_FILE, |_| OK),
            Some(Node::Directory) => FAILURE,
            None => NO_SUCH_FILE,
        },
        Request::Rename { from, to } => rename(kind.rename, files, from, to),
        Request::PosixRename { from, to } => match kind.posix_rename {
            PosixRename::Works => rename(Rename::Replaces, files, from, to),
            PosixRename::RefusesExisting => rename(Rename::SourceFirst, files, from, to),
            PosixRename::Elsewhere => rename(Rename::Replaces, files, from, &format!("{to}.in")),
            PosixRename::Absent => UNSUPPORTED,
        },
        Request::Mkdir { path } => {
            if files.look(path).is_some() || !files.has_parent(path) {
                return FAILURE;
            }
            files.make_directory(path);
            OK
        }
        Request::Rmdir { path } => files.unlink(path).map_or(NO_SUCH_FILE, |_| OK),
        Request::Realpath { path } => Answer::Name(format!("/{path}")),
        Request::Fsync { handle } if kind.fsync => handles.open.get(handle).map_or(FAILURE, |_| OK),
        Request::Limits => Answer::Limits,
        Request::Fsync { .. } | Request::Unknown(_) => UNSUPPORTED,
    }
}

fn open(kind: Kind, files: &mut Files, handles: &mut Handles, path: &str, flags: u32, now: u32) -> Answer {
    if flags & WRITE == 0 && kind.read == Allowed::No {
        return DENIED;
    }
    let number = match files.look(path) {
        Some(Node::Directory) => return FAILURE,
        Some(Node::File(_)) if flags & EXCLUDE != 0 => return FAILURE,
        Some(Node::File(number)) => number,
        None if flags & CREATE == 0 || !files.has_parent(path) => return NO_SUCH_FILE,
        None => files.create(path, now),
    };
    let cuts = flags & TRUNCATE != 0 || kind.open == Open::Truncates && flags & WRITE != 0;
    if let Some(inode) = files.inode_mut(number).filter(|_| cuts) {
        inode.data.clear();
        inode.modified = now;
    }
    let handle = handles.next;
    handles.next += 1;
    handles.open.insert(handle, number);
    Answer::Handle(handle)
}

fn attributes(files: &Files, node: Node) -> Answer {
    match node {
        Node::Directory => Answer::Attributes { size: 0, mode: 0o040_755, modified: 0 },
        Node::File(number) => match files.inode(number) {
            Some(inode) => Answer::Attributes {
                size: inode.data.len() as u64,
                mode: 0o100_000 | inode.mode,
                modified: inode.modified,
            },
            None => FAILURE,
        },
    }
}

fn set(files: &mut Files, number: u32, attributes: Attributes) -> Answer {
    let Some(inode) = files.inode_mut(number) else { return FAILURE };
    if let Some(size) = attributes.size {
        inode.data.resize(size as usize, 0);
    }
    inode.mode = attributes.mode.map_or(inode.mode, |mode| mode & 0o7777);
    inode.modified = attributes.modified.unwrap_or(inode.modified);
    OK
}

fn rename(how: Rename, files: &mut Files, from: &str, to: &str) -> Answer {
    let (source, target) = (files.look(from).is_some(), files.look(to).is_some());
    match how {
        Rename::Never => return DENIED,
        Rename::TargetFirst if target => return FAILURE,
        _ if !source => return NO_SUCH_FILE,
        Rename::SourceFirst if target => return FAILURE,
        _ => {}
    }
    if !files.has_parent(to) {
        return NO_SUCH_FILE;
    }
    files.rename(from, to);
    OK
}

/// A packet without its length: INIT, or a request and its id.
pub(crate) enum Packet {
    Init,
    Request(u32, Request),
}

/// Cuts the next packet off.
pub(crate) fn next_packet(buffer: &mut BytesMut) -> Option<Packet> {
    let length = buffer.get(..4).map(|mut head| head.get_u32() as usize)?;
    if buffer.len() < 4 + length {
        return None;
    }
    let mut packet = buffer.split_to(4 + length).freeze();
    packet.advance(4);
    Some(parse(packet))
}

fn parse(mut packet: Bytes) -> Packet {
    let kind = packet.get_u8();
    if kind == 1 {
        return Packet::Init;
    }
    let id = packet.get_u32();
    let p = &mut packet;
    Packet::Request(id, request(kind, p))
}

fn request(kind: u8, p: &mut Bytes) -> Request {
    match kind {
        3 => Request::Open { path: path(p), flags: p.get_u32() },
        4 => Request::Close { handle: handle(p) },
        5 => Request::Read { handle: handle(p), offset: p.get_u64(), length: p.get_u32() },
        6 => Request::Write { handle: handle(p), offset: p.get_u64(), data: string(p) },
        8 => Request::Fstat { handle: handle(p) },
        9 => Request::Setstat { path: path(p), attributes: attributes_of(p) },
        10 => Request::Fsetstat { handle: handle(p), attributes: attributes_of(p) },
        13 => Request::Remove { path: path(p) },
        14 => Request::Mkdir { path: path(p) },
        15 => Request::Rmdir { path: path(p) },
        16 => Request::Realpath { path: path(p) },
        7 | 17 => Request::Stat { path: path(p) },
        18 => Request::Rename { from: path(p), to: path(p) },
        200 => match string(p).as_ref() {
            b"posix-rename@openssh.com" => Request::PosixRename { from: path(p), to: path(p) },
            b"fsync@openssh.com" => Request::Fsync { handle: handle(p) },
            b"limits@openssh.com" => Request::Limits,
            _ => Request::Unknown(kind),
        },
        other => Request::Unknown(other),
    }
}

fn string(packet: &mut Bytes) -> Bytes {
    let length = packet.get_u32() as usize;
    packet.split_to(length)
}

fn handle(packet: &mut Bytes) -> u32 {
    string(packet).get_u32()
}

/// Relative to where a session begins.
fn path(packet: &mut Bytes) -> String {
    let path = String::from_utf8(string(packet).to_vec()).expect("paths are text");
    let path = path.trim_start_matches('/').trim_end_matches('/');
    if path == "." { String::new() } else { path.to_owned() }
}

fn attributes_of(packet: &mut Bytes) -> Attributes {
    let flags = packet.get_u32();
    let size = (flags & 0x01 != 0).then(|| packet.get_u64());
    if flags & 0x02 != 0 {
        packet.advance(8);
    }
    let mode = (flags & 0x04 != 0).then(|| packet.get_u32());
    let modified = (flags & 0x08 != 0).then(|| {
        packet.advance(4);
        packet.get_u32()
    });
    Attributes { size, mode, modified }
}

/// The first packet of a server.
pub(crate) fn version(kind: Kind) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u8(2);
    body.put_u32(3);
    let posix = (kind.posix_rename != PosixRename::Absent).then_some("posix-rename@openssh.com");
    let fsync = kind.fsync.then_some("fsync@openssh.com");
    for name in [Some("limits@openssh.com"), posix, fsync].into_iter().flatten() {
        put_string(&mut body, name.as_bytes());
        put_string(&mut body, b"1");
    }
    framed(&body)
}

pub(crate) fn encode(id: u32, answer: &Answer) -> Bytes {
    let mut body = BytesMut::new();
    let head = |body: &mut BytesMut, kind: u8| {
        body.put_u8(kind);
        body.put_u32(id);
    };
    match answer {
        Answer::Status(code) => {
            head(&mut body, 101);
            body.put_u32(*code);
            put_string(&mut body, format!("status {code}").as_bytes());
            put_string(&mut body, b"");
        }
        Answer::Handle(handle) => {
            head(&mut body, 102);
            put_string(&mut body, &handle.to_be_bytes());
        }
        Answer::Data(data) => {
            head(&mut body, 103);
            put_string(&mut body, data);
        }
        Answer::Attributes { size, mode, modified } => {
            head(&mut body, 105);
            body.put_u32(0x01 | 0x04 | 0x08);
            body.put_u64(*size);
            body.put_u32(*mode);
            body.put_u32(*modified);
            body.put_u32(*modified);
        }
        Answer::Name(name) => {
            head(&mut body, 104);
            body.put_u32(1);
            put_string(&mut body, name.as_bytes());
            put_string(&mut body, name.as_bytes());
            body.put_u32(0);
        }
        Answer::Limits => {
            head(&mut body, 201);
            for limit in [0, DATA, DATA, 0] {
                body.put_u64(limit);
            }
        }
    }
    framed(&body)
}

fn put_string(body: &mut BytesMut, string: &[u8]) {
    body.put_u32(string.len() as u32);
    body.put_slice(string);
}

fn framed(body: &[u8]) -> Bytes {
    let mut packet = BytesMut::with_capacity(4 + body.len());
    packet.put_u32(body.len() as u32);
    packet.put_slice(body);
    packet.freeze()
}
