"""Gzip members unpacked as a stream that says where it is damaged and can go on behind the damage."""

import math
import zlib
from typing import BinaryIO

CHUNK = 1 << 16
MAGIC = b"\x1f\x8b\x08"


class DamagedError(Exception):
    """The compressed data breaks off (`truncated_gzip`) or makes no sense (`corrupt_gzip`)."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} in the gzip member that begins at byte {offset}")
        self.reason, self.offset = reason, offset


class GzipStream:
    """Bytes of all members of a gzip file."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._packed = b""
        self._position = 0  # of the first byte of _packed in the file
        self._member_at = 0
        self._inflate = zlib.decompressobj(31)
        self._begun = False

    def read_some(self) -> bytes:
        """The next unpacked bytes; b"" at the end. Raises DamagedError."""
        while True:
            if not self._packed:
                self._packed = self._handle.read(CHUNK)
            if not self._packed:
                if self._begun:
                    raise DamagedError("truncated_gzip", self._member_at)
                return b""
            unpacked = self._step()
            if unpacked:
                return unpacked

    @property
    def between_members(self) -> bool:
        """Whether what was read last ends a member."""
        return not self._begun

    @property
    def left(self) -> float:
        """Unpacked bytes still to come at most; how many that is nothing tells."""
        return math.inf

    def _step(self) -> bytes:
        if not self._begun:
            self._member_at, self._begun = self._position, True
        before = len(self._packed)
        try:
            unpacked = self._inflate.decompress(self._packed, 1 << 20)
        except zlib.error:
            raise DamagedError("corrupt_gzip", self._member_at) from None
        rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        self._position += before - len(rest)
        self._packed = rest
        if self._inflate.eof:
            self._inflate, self._begun = zlib.decompressobj(31), False
        return unpacked

    def skip_member(self) -> bool:
        """Go to what looks like the beginning of the next member; False where there is none."""
        position = self._member_at + 1
        self._handle.seek(position)
        held = b""
        while chunk := self._handle.read(CHUNK):
            held += chunk
            found = held.find(MAGIC)
            if found >= 0:
                self._handle.seek(position + found)
                self._packed, self._position = b"", position + found
                self._inflate, self._begun = zlib.decompressobj(31), False
                return True
            position += max(0, len(held) - len(MAGIC) + 1)
            held = held[-(len(MAGIC) - 1) :]
        return False


class PlainStream:
    """Bytes of a file that is not compressed, with the interface of GzipStream."""

    between_members = False

    def __init__(self, handle: BinaryIO, num_bytes: int) -> None:
        self._handle = handle
        self.left: float = num_bytes

    def read_some(self) -> bytes:
        """The next bytes; b"" at the end."""
        some = self._handle.read(CHUNK)
        self.left -= len(some)
        return some

    def skip_member(self) -> bool:
        """There are no members to skip to."""
        return False
