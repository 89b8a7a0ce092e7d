"""The outside of a compressed file: what it is, how long it is, and whether it is whole.

Two bytes that name the format, one with its version and whether a template is needed, the length of
what follows, a CRC-32, and the stream. No file is the beginning of another, so the files are a
prefix-free code over bytes, and its lengths may be charged (GN-3).
"""

from __future__ import annotations

import zlib
from os import PathLike
from pathlib import Path

MAGIC = b"\xa7S"
VERSION, TEMPLATE = 1, 0x80
CRC_BYTES = 4
LONGEST_LENGTH = 5

Source = bytes | bytearray | memoryview | str | PathLike[str]
"""A file: its bytes, or where it is. Claim: none (plumbing)."""


def length_of(count: int) -> bytes:
    """A whole number in as few bytes as it takes, seven bits in each, the lowest first."""
    found = bytearray()
    while count > 0x7F:
        found.append(0x80 | (count & 0x7F))
        count >>= 7
    return bytes([*found, count])


def checksum(stream: bytes, signature: str = "") -> bytes:
    """Checksum of a stream, and of the names and shapes that it is to be read with."""
    return zlib.crc32(stream, zlib.crc32(signature.encode())).to_bytes(CRC_BYTES, "big")


def content_of(source: Source) -> tuple[str, bytes]:
    """What to call a source, and its bytes."""
    if isinstance(source, bytes | bytearray | memoryview):
        return "the content", bytes(source)
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"there is no compressed network {path}")
    return str(path), path.read_bytes()


def opened(where: str, content: bytes) -> tuple[bool, bytes, bytes]:
    """Whether a file needs a template, its checksum and its stream."""
    if not content.startswith(MAGIC):
        raise ValueError(f"{where} is no compressed network; give a file that `compress` wrote")
    if len(content) < len(MAGIC) + 2 + CRC_BYTES:
        raise ValueError(f"{where} is truncated; compress the network again")
    mark = content[len(MAGIC)]
    if mark & ~TEMPLATE != VERSION:
        raise ValueError(
            f"{where} is of format version {mark & ~TEMPLATE}, this sipp reads {VERSION}; take the "
            "sipp that wrote it"
        )
    size, place = 0, len(MAGIC) + 1
    for k, byte in enumerate(content[place : place + LONGEST_LENGTH]):
        size |= (byte & 0x7F) << 7 * k
        if byte < 0x80:
            place += k + 1
            break
    end = place + CRC_BYTES + size
    if length_of(size) != content[len(MAGIC) + 1 : place] or len(content) != end:
        raise ValueError(
            f"{where} is truncated or too long: {len(content)} bytes; compress the network again"
        )
    return bool(mark & TEMPLATE), content[place : place + CRC_BYTES], content[place + CRC_BYTES :]
