// ssh2's SFTP server for Node.js over a folder: PORT FOLDER USER HOST_KEY AUTHORIZED_KEY.
// ssh2 speaks the protocol and leaves the files to whoever uses it.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { Server, utils } = require("ssh2");
const { STATUS_CODE, OPEN_MODE } = utils.sftp;

const [port, folder, user, hostKey, authorizedKey] = process.argv.slice(2);
const known = utils.parseKey(fs.readFileSync(authorizedKey));

function authenticate(context) {
  const isKnown =
    context.method === "publickey" &&
    context.username === user &&
    context.key.data.equals(known.getPublicSSH()) &&
    (!context.signature || known.verify(context.blob, context.signature, context.hashAlgo) === true);
  isKnown ? context.accept() : context.reject(["publickey"]);
}

function serve(sftp) {
  const open = new Map();
  const listings = new Map();
  let opened = 0;
  const local = (name) => path.join(folder, path.posix.join("/", name));
  const refuse = (id, error) => {
    const codes = { ENOENT: STATUS_CODE.NO_SUCH_FILE, EACCES: STATUS_CODE.PERMISSION_DENIED };
    sftp.status(id, codes[error.code] ?? STATUS_CODE.FAILURE, error.message);
  };
  const done = (id) => (error) => (error ? refuse(id, error) : sftp.status(id, STATUS_CODE.OK));
  const attributes = (id) => (error, stats) =>
    error
      ? refuse(id, error)
      : sftp.attrs(id, {
          mode: stats.mode,
          uid: stats.uid,
          gid: stats.gid,
          size: stats.size,
          atime: stats.atimeMs / 1000,
          mtime: stats.mtimeMs / 1000,
        });
  const descriptor = (handle) => open.get(handle.readUInt32BE(0)) ?? -1;

  sftp.on("REALPATH", (id, name) => {
    const filename = path.posix.join("/", name);
    sftp.name(id, [{ filename, longname: filename, attrs: {} }]);
  });
  sftp.on("STAT", (id, name) => fs.stat(local(name), attributes(id)));
  sftp.on("LSTAT", (id, name) => fs.lstat(local(name), attributes(id)));
  sftp.on("FSTAT", (id, handle) => fs.fstat(descriptor(handle), attributes(id)));
  sftp.on("OPEN", (id, name, flags) => {
    let mode = flags & OPEN_MODE.WRITE ? fs.constants.O_WRONLY : fs.constants.O_RDONLY;
    if (flags & OPEN_MODE.CREAT) mode |= fs.constants.O_CREAT;
    if (flags & OPEN_MODE.TRUNC) mode |= fs.constants.O_TRUNC;
    fs.open(local(name), mode, (error, file) => {
      if (error) return refuse(id, error);
      const handle = Buffer.alloc(4);
      handle.writeUInt32BE(++opened);
      open.set(opened, file);
      sftp.handle(id, handle);
    });
  });
  const stats = (name) => {
    // A name that is not UTF-8 is another one here, and leads nowhere.
    const found = fs.lstatSync(name, { throwIfNoEntry: false });
    if (!found) return {};
    const { mode, uid, gid, size, atimeMs, mtimeMs } = found;
    return { mode, uid, gid, size, atime: atimeMs / 1000, mtime: mtimeMs / 1000 };
  };
  sftp.on("OPENDIR", (id, name) =>
    fs.readdir(local(name), (error, names) => {
      if (error) return refuse(id, error);
      const handle = Buffer.alloc(4);
      handle.writeUInt32BE(++opened);
      listings.set(opened, names.map((filename) => ({ filename, at: path.join(local(name), filename) })));
      sftp.handle(id, handle);
    }));
  sftp.on("READDIR", (id, handle) => {
    const some = listings.get(handle.readUInt32BE(0)).splice(0, 100);
    if (some.length === 0) return sftp.status(id, STATUS_CODE.EOF);
    sftp.name(id, some.map(({ filename, at }) => ({ filename, longname: filename, attrs: stats(at) })));
  });
  sftp.on("WRITE", (id, handle, offset, data) =>
    fs.write(descriptor(handle), data, 0, data.length, offset, done(id)));
  sftp.on("READ", (id, handle, offset, length) =>
    fs.read(descriptor(handle), Buffer.alloc(length), 0, length, offset, (error, read, buffer) => {
      if (error) return refuse(id, error);
      read ? sftp.data(id, buffer.subarray(0, read)) : sftp.status(id, STATUS_CODE.EOF);
    }));
  sftp.on("CLOSE", (id, handle) => {
    if (listings.delete(handle.readUInt32BE(0))) return sftp.status(id, STATUS_CODE.OK);
    fs.close(descriptor(handle), done(id));
    open.delete(handle.readUInt32BE(0));
  });
  sftp.on("REMOVE", (id, name) => fs.unlink(local(name), done(id)));
  sftp.on("MKDIR", (id, name) => fs.mkdir(local(name), done(id)));
  sftp.on("RENAME", (id, from, to) =>
    fs.existsSync(local(to))
      ? sftp.status(id, STATUS_CODE.FAILURE, "the new name exists")
      : fs.rename(local(from), local(to), done(id)));
}

new Server({ hostKeys: [fs.readFileSync(hostKey)] }, (client) => {
  client.on("authentication", authenticate);
  client.on("error", (error) => console.error(error.message));
  client.on("ready", () =>
    client.on("session", (accept) =>
      accept().on("sftp", (accept) => serve(accept()))));
}).listen(Number(port), "127.0.0.1");
