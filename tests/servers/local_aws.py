"""MiniStack, with what its S3 lacks for uploads in parts: checksums of whole objects, and conditions.

By the Amazon S3 API Reference, CreateMultipartUpload takes `x-amz-checksum-type: FULL_OBJECT`. S3 then combines the CRCs of
the parts to that of the object, and CompleteMultipartUpload refuses another one with BadDigest. MiniStack knows only
checksums of checksums. `If-Match` and `If-None-Match` of CompleteMultipartUpload, which MiniStack ignores, are those of
PutObject.
"""

import base64
import re
import sys
import threading

from ministack.app import main
from ministack.services import s3

# CRC-64/NVME: reflected, inverted before and after.
POLYNOMIAL = 0x9A6C9329AC4BC9B5
WIDTH = 64
TOP = 1 << (WIDTH - 1)

# The lengths of the parts of the upload that is being completed in this thread.
completing = threading.local()
full_object_uploads = set()


def multiply(left, right):
    """The product of two polynomials, modulo the CRC's. Bit 63 is the coefficient of 1."""
    product = 0
    while left:
        if left & TOP:
            product ^= right
        left = (left << 1) & (2 * TOP - 1)
        right = (right >> 1) ^ POLYNOMIAL if right & 1 else right >> 1
    return product


def power(exponent):
    """x to this power, modulo the CRC's polynomial."""
    result, square = TOP, TOP >> 1
    while exponent:
        if exponent & 1:
            result = multiply(result, square)
        square = multiply(square, square)
        exponent >>= 1
    return result


def combine(parts):
    """The CRC of all parts together, from their CRCs and lengths."""
    whole = 0
    for crc, length in parts:
        whole = multiply(power(8 * length), whole) ^ crc
    return whole


create, complete, composite = (
    s3._create_multipart_upload,
    s3._complete_multipart_upload,
    s3._composite_checksum,
)
response_headers = s3._object_response_headers


def create_multipart_upload(bucket, key, headers):
    status, answer, body = create(bucket, key, headers)
    if status == 200 and headers.get("x-amz-checksum-type") == "FULL_OBJECT":
        full_object_uploads.add(re.search(rb"<UploadId>(.*?)</UploadId>", body)[1].decode())
        answer["x-amz-checksum-type"] = "FULL_OBJECT"
    return status, answer, body


def complete_multipart_upload(bucket, key, body, query, headers=None):
    upload_id = s3._qp(query, "uploadId")
    if upload_id in s3._multipart_uploads:
        there = (s3._ensure_bucket(bucket) or {}).get("objects", {}).get(key)
        refusal = s3._check_put_preconditions(headers or {}, there)
        if refusal:
            return refusal
    if upload_id not in full_object_uploads or upload_id not in s3._multipart_uploads:
        return complete(bucket, key, body, query, headers)
    parts = s3._multipart_uploads[upload_id]["parts"]
    numbers = sorted(int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body))
    completing.lengths = [parts[number]["size"] for number in numbers if number in parts]
    try:
        status, answer, document = complete(bucket, key, body, query, headers)
    finally:
        completing.lengths = None
    return status, answer, document.replace(b"COMPOSITE", b"FULL_OBJECT")


def checksum_of_parts(algorithm, digests):
    lengths = getattr(completing, "lengths", None)
    if lengths is None or algorithm != "CRC64NVME" or not all(digests) or len(lengths) != len(digests):
        return composite(algorithm, digests)
    crcs = [int.from_bytes(base64.b64decode(digest), "big") for digest in digests]
    return base64.b64encode(combine(zip(crcs, lengths)).to_bytes(8, "big")).decode()


def object_response_headers(*arguments, **options):
    headers = response_headers(*arguments, **options)
    value = headers.get("x-amz-checksum-crc64nvme")
    # A checksum of checksums ends in `-` and the number of parts.
    if value and "-" not in value:
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return headers


s3._create_multipart_upload = create_multipart_upload
s3._complete_multipart_upload = complete_multipart_upload
s3._composite_checksum = checksum_of_parts
s3._object_response_headers = object_response_headers

if __name__ == "__main__":
    sys.exit(main())
