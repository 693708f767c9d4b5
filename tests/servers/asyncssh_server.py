"""AsyncSSH's SFTP server over a folder: PORT FOLDER USER HOST_KEY AUTHORIZED_KEY."""

import asyncio
import os
import sys

import asyncssh

PORT, FOLDER, USER, HOST_KEY, AUTHORIZED_KEY = sys.argv[1:]
EXPIRED = "EXPIRED" in os.environ


class Login(asyncssh.SSHServer):
    def begin_auth(self, username):
        return True

    def validate_public_key(self, username, key):
        return username == USER and key == asyncssh.read_public_key(AUTHORIZED_KEY)

    def public_key_auth_supported(self):
        return not EXPIRED

    def password_auth_supported(self):
        return EXPIRED

    def validate_password(self, username, password):
        raise asyncssh.PasswordChangeRequired("Your password has expired.")


async def main():
    server = await asyncssh.listen(
        "127.0.0.1",
        int(PORT),
        server_factory=Login,
        server_host_keys=[HOST_KEY],
        sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=FOLDER),
    )
    await server.wait_closed()


asyncio.run(main())
