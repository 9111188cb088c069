"""Tensors that torch.save wrote somewhere within a file, mapped into memory without copying or unpickling objects."""

import io
import math
import mmap
import pickle
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

LOCAL_HEADER = 30  # bytes of a zip member's local header before its name


class OutlineUnpickler(pickle.Unpickler):
    """Reads how a tensor was laid out: `find_class` gives a function that only keeps its arguments."""

    def find_class(self, module: str, name: str) -> Any:
        """Keep what a function would be called with."""
        return lambda *arguments: arguments

    def persistent_load(self, pid: Any) -> Any:
        """The name of a storage."""
        return pid


class MappedFile:
    """A file of one or more archives of torch.save."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def bytes(self) -> mmap.mmap:
        """The whole file, read when it is looked at; written to in memory only."""
        with open(self.path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def tensor(self, offset: int, length: int, *, dtype: torch.dtype) -> Tensor | None:
        """The one contiguous tensor of `dtype` in the archive at `offset`; None where it is anything else."""
        if offset + length > len(self.bytes):
            raise EOFError(f"{offset + length} bytes expected, {len(self.bytes)} there")
        view = memoryview(self.bytes)[offset : offset + length]
        with zipfile.ZipFile(SliceReader(view)) as archive:
            members = {member.filename.rpartition("/")[2]: member for member in archive.infolist()}
        if any(members[name].compress_type != zipfile.ZIP_STORED for name in ("data.pkl", "0")):
            return None
        try:
            outline = OutlineUnpickler(io.BytesIO(stored(view, members["data.pkl"]))).load()
        except Exception:  # noqa: BLE001 - whatever it is, it is no plain tensor; torch says what it is instead
            return None
        if not isinstance(outline, tuple) or [type(part) for part in outline[1:4]] != [int, tuple, tuple]:
            return None
        start, shape, stride = outline[1], tuple(outline[2]), tuple(outline[3])
        size = math.prod(shape) * dtype.itemsize
        if start or stride != torch.empty(shape, device="meta").stride() or members["0"].file_size != size:
            return None
        raw = np.frombuffer(stored(view, members["0"]), dtype=np.uint8)
        return torch.from_numpy(raw).view(dtype).view(shape)


def stored(view: memoryview, member: zipfile.ZipInfo) -> memoryview:
    """The bytes of a member that is not compressed; its local header ends with the lengths of two variable fields."""
    header = view[member.header_offset : member.header_offset + LOCAL_HEADER]
    begin = member.header_offset + LOCAL_HEADER
    begin += int.from_bytes(header[-4:-2], "little") + int.from_bytes(header[-2:], "little")
    return view[begin : begin + member.file_size]


class SliceReader(io.RawIOBase):
    """Part of a mapped file as a file."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self.view, self.place = view, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.view)}[whence]
        self.place = max(0, origin + offset)
        return self.place

    def tell(self) -> int:
        """The place."""
        return self.place

    def readinto(self, room: Any) -> int:
        """Copy what comes next."""
        part = self.view[self.place : self.place + len(room)]
        room[: len(part)] = part
        self.place += len(part)
        return len(part)
