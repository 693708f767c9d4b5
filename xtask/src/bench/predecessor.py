"""What py-s3-sftp-bridge does with an object: S3 to a temporary file, then paramiko's put."""

import os
import sys
import tempfile

import boto3
import paramiko

bucket, object_key, host, port, user, private_key, remote_path = sys.argv[1:]
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "object")
    boto3.client("s3").download_file(bucket, object_key, path)
    transport = paramiko.Transport((host, int(port)))
    transport.connect(username=user, pkey=paramiko.Ed25519Key.from_private_key_file(private_key))
    paramiko.SFTPClient.from_transport(transport).put(path, remote_path, confirm=True)
    transport.close()
