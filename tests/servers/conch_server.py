"""The SFTP server of Twisted's Conch over a folder: PORT FOLDER USER HOST_KEY AUTHORIZED_KEY."""

import os
import sys

from twisted.conch.avatar import ConchUser
from twisted.conch.checkers import InMemorySSHKeyDB, SSHPublicKeyChecker
from twisted.conch.interfaces import ISFTPServer
from twisted.conch.ssh import filetransfer, session
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.unix import SFTPServerForUnixConchUser
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.python import components, log
from twisted.python.filepath import FilePath

PORT, FOLDER, USER, HOST_KEY, AUTHORIZED_KEY = sys.argv[1:]


class User(ConchUser):
    """Stands in for a user of the system, whose rights and home Conch would otherwise take."""

    def __init__(self):
        super().__init__()
        self.channelLookup[b"session"] = session.SSHSession
        self.subsystemLookup[b"sftp"] = filetransfer.FileTransferServer

    def getUserGroupId(self):
        return os.getuid(), os.getgid()

    def getHomeDir(self):
        return FilePath(FOLDER)

    def _runAsUser(self, f, *args, **kw):
        calls = [(f, args, kw)] if callable(f) else f
        for function, arguments, *keywords in calls:
            result = function(*arguments, **(keywords[0] if keywords else {}))
        return result


components.registerAdapter(SFTPServerForUnixConchUser, User, ISFTPServer)


class Realm:
    def requestAvatar(self, avatar_id, mind, *interfaces):
        return interfaces[0], User(), lambda: None


class Factory(SSHFactory):
    def getPublicKeys(self):
        return {self.key.sshType(): self.key.public()}

    def getPrivateKeys(self):
        return {self.key.sshType(): self.key}

    def getPrimes(self):
        return None


log.startLogging(sys.stderr)
factory = Factory()
factory.key = Key.fromFile(HOST_KEY)
known = InMemorySSHKeyDB({USER.encode(): [Key.fromFile(AUTHORIZED_KEY)]})
factory.portal = Portal(Realm(), [SSHPublicKeyChecker(known)])
reactor.listenTCP(int(PORT), factory, interface="127.0.0.1")
reactor.run()
