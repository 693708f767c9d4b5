"""Paramiko's SFTP server over a folder: PORT FOLDER USER HOST_KEY AUTHORIZED_KEY.

With SHA256 in the environment it hashes with that, too, and knows the request by the draft's name.
"""

import hashlib
import os
import socket
import sys
import threading

import paramiko
import paramiko.sftp
import paramiko.sftp_server
from paramiko import SFTP_OK, SFTPAttributes, SFTPHandle, SFTPServer, SFTPServerInterface

PORT, FOLDER, USER, HOST_KEY, AUTHORIZED_KEY = sys.argv[1:]
KNOWN = open(AUTHORIZED_KEY).read().split()[1]


class Login(paramiko.ServerInterface):
    def get_allowed_auths(self, username):
        return "publickey"

    def check_auth_publickey(self, username, key):
        known = username == USER and key.get_base64() == KNOWN
        return paramiko.AUTH_SUCCESSFUL if known else paramiko.AUTH_FAILED

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED


class Handle(SFTPHandle):
    def stat(self):
        return SFTPAttributes.from_stat(os.fstat(self.file.fileno()))

    def chattr(self, attr):
        return change(self.filename, attr)


def change(path, attr):
    SFTPServer.set_file_attr(path, attr)
    return SFTP_OK


def answering(method):
    """What the file system refuses is an answer to the client."""

    def wrapped(*arguments):
        try:
            return method(*arguments)
        except OSError as error:
            return SFTPServer.convert_errno(error.errno)

    return wrapped


class Files(SFTPServerInterface):
    def local(self, path):
        return FOLDER + self.canonicalize(path)

    @answering
    def list_folder(self, path):
        entries = os.scandir(self.local(path))
        return [SFTPAttributes.from_stat(entry.stat(), entry.name) for entry in entries]

    @answering
    def stat(self, path):
        return SFTPAttributes.from_stat(os.stat(self.local(path)))

    @answering
    def lstat(self, path):
        return SFTPAttributes.from_stat(os.lstat(self.local(path)))

    @answering
    def open(self, path, flags, attr):
        path = self.local(path)
        descriptor = os.open(path, flags, 0o666)
        mode = {os.O_WRONLY: "wb", os.O_RDWR: "r+b"}.get(flags & os.O_ACCMODE, "rb")
        handle = Handle(flags)
        handle.filename = path
        handle.file = handle.readfile = handle.writefile = os.fdopen(descriptor, mode)
        return handle

    @answering
    def remove(self, path):
        os.remove(self.local(path))
        return SFTP_OK

    @answering
    def rename(self, oldpath, newpath):
        if os.path.lexists(self.local(newpath)):
            return paramiko.SFTP_FAILURE
        os.rename(self.local(oldpath), self.local(newpath))
        return SFTP_OK

    @answering
    def posix_rename(self, oldpath, newpath):
        os.rename(self.local(oldpath), self.local(newpath))
        return SFTP_OK

    @answering
    def mkdir(self, path, attr):
        os.mkdir(self.local(path))
        return SFTP_OK

    @answering
    def rmdir(self, path):
        os.rmdir(self.local(path))
        return SFTP_OK

    @answering
    def chattr(self, path, attr):
        return change(self.local(path), attr)


class HashingServer(SFTPServer):
    def _process(self, t, request_number, msg):
        if t == paramiko.sftp.CMD_EXTENDED and msg.get_text() == "check-file-handle":
            return self._check_file(request_number, msg)
        msg.rewind()
        msg.get_int()
        return super()._process(t, request_number, msg)


SERVER = SFTPServer
if "SHA256" in os.environ:
    paramiko.sftp_server._hash_class["sha256"] = hashlib.sha256
    SERVER = HashingServer


def serve(connection):
    transport = paramiko.Transport(connection)
    transport.add_server_key(paramiko.Ed25519Key(filename=HOST_KEY))
    transport.set_subsystem_handler("sftp", SERVER, Files)
    try:
        transport.start_server(server=Login())
        # The channel belongs to whoever accepts it, and ends with it.
        channels = []
        while transport.is_active():
            channels.append(transport.accept(1))
    except (EOFError, OSError, paramiko.SSHException) as error:
        print(error, file=sys.stderr)


listener = socket.create_server(("127.0.0.1", int(PORT)))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
