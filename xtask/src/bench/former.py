"""What Gilt's s3-sftp-bridge does with a file, in Python: the whole of it into memory, then one PutObject."""

import io
import sys

import boto3
import paramiko

remote_path, host, port, user, private_key, bucket, object_key = sys.argv[1:]
transport = paramiko.Transport((host, int(port)))
transport.connect(username=user, pkey=paramiko.Ed25519Key.from_private_key_file(private_key))
contents = io.BytesIO()
paramiko.SFTPClient.from_transport(transport).getfo(remote_path, contents)
transport.close()
client = boto3.client("s3")
client.put_object(Bucket=bucket, Key=object_key, Body=contents.getvalue(), Metadata={"synched": "true"})
