"""Starts a program for each connection, which is its input and output: PORT PROGRAM ARGUMENT..."""

import socket
import subprocess
import sys
import threading

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    connection, _ = listener.accept()
    with connection:
        server = subprocess.Popen(sys.argv[2:], stdin=connection, stdout=connection)
    threading.Thread(target=server.wait, daemon=True).start()
