"""The bytes of a file, unpacked as its name says (gzip, zstd, bzip2, xz), and what is wrong with damaged ones."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, cast

from .files import InputFile

BUFFER_BYTES = 65_536  # lost where the file breaks off, so not large
GZIP_BYTES = 16_384
DAMAGES = (EOFError, zlib.error, lzma.LZMAError, OSError)


def open_unpacked(file: InputFile) -> BinaryIO:
    """The unpacked bytes of the file. Reading them raises one of `DAMAGES` where the file is damaged."""
    packed = file.open()
    for suffix, unpack in UNPACK.items():
        if file.name.lower().endswith(suffix):
            return unpack(packed)
    return packed


def unpack_zstd(packed: BinaryIO) -> BinaryIO:
    """Zstandard, by way of Arrow."""
    import pyarrow as pa

    stream: Any = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd")
    return cast(BinaryIO, io.BufferedReader(stream, BUFFER_BYTES))


def unpack_bzip2(packed: BinaryIO) -> BinaryIO:
    """Bzip2, several streams behind each other included."""
    return cast(BinaryIO, bz2.BZ2File(packed))


def unpack_xz(packed: BinaryIO) -> BinaryIO:
    """LZMA in the xz container."""
    return cast(BinaryIO, lzma.LZMAFile(packed))


class SmallReads:
    """A file that hands out little at a time: from Python 3.12 on, gzip asks for 128 KiB ahead of what it unpacks, and
    what was read of a file would say little of how far it has been unpacked.
    """

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, and at most `GZIP_BYTES`."""
        return self._packed.read(min(size, GZIP_BYTES) if size >= 0 else GZIP_BYTES)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go elsewhere."""
        return self._packed.seek(offset, whence)


def unpack_gzip(packed: BinaryIO) -> BinaryIO:
    """Gzip, several members behind each other included."""
    return cast(BinaryIO, gzip.GzipFile(fileobj=SmallReads(packed), mode="rb"))


UNPACK: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": unpack_gzip,
    ".zst": unpack_zstd,
    ".bz2": unpack_bzip2,
    ".xz": unpack_xz,
}


KINDS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}


def damage(file: InputFile, error: Exception) -> str:
    """The reason for a damaged file. Raises `error` again where the fault is not the file's."""
    kind = next((kind for suffix, kind in KINDS.items() if file.name.lower().endswith(suffix)), "")
    text = str(error)
    if isinstance(error, EOFError) or "Truncated" in text:
        return f"truncated_{kind}"
    if isinstance(error, (zlib.error, lzma.LZMAError, gzip.BadGzipFile)):
        return f"corrupt_{kind}"
    if "ZSTD" in text or "Invalid data stream" in text:
        return f"corrupt_{kind}"
    raise error
