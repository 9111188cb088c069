"""Zstandard files, unpacked as they are read; loaded only when one is given."""

import io
import zlib
from typing import IO, Any

import zstandard

CHUNK_BYTES = 2**16


class Unpacking(io.RawIOBase):
    """The unpacked bytes of all frames of a file; damage is told as zlib.error, a cut as EOFError, as for gzip."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame: Any = None
        self._packed = self._ready = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as what is ready goes; 0 at the end."""
        while not self._ready and self._unpack_more():
            pass
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def _unpack_more(self) -> bool:
        packed = self._packed or self._raw.read(CHUNK_BYTES)
        if not packed:
            if self._frame is not None:
                raise EOFError("the file ends within a frame")
            return False
        self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
        try:
            self._ready = self._frame.decompress(packed)
        except zstandard.ZstdError as error:
            raise zlib.error(str(error)) from None
        self._packed = self._frame.unused_data if self._frame.eof else b""
        self._frame = None if self._frame.eof else self._frame
        return True

    def close(self) -> None:
        """Close the packed file, too."""
        self._raw.close()
        super().close()


def unpack(raw: IO[bytes]) -> IO[bytes]:
    """The unpacked bytes of all frames in `raw`."""
    return io.BufferedReader(Unpacking(raw))
