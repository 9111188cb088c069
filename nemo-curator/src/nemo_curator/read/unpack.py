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


UNPACK: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    ".gz": lambda packed: cast(BinaryIO, gzip.GzipFile(fileobj=packed, mode="rb")),
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
