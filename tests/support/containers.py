"""Certificates taken apart and put together again, whatever is in them."""

import json
import struct

from pessimal.kernel.certificate import canonical


def split(data):
    (n,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + n]), data[8 + n :]


def join(header, body):
    raw = header if isinstance(header, bytes) else canonical(header)
    return struct.pack("<Q", len(raw)) + raw + body
