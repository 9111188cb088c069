"""Tensors of a safetensors folder by name, each read when asked for, so that memory holds what is worked on only."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..foundation.errors import ArtifactError
from .tensors import tensor_files

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own library


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor without reading it."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def num_bytes(self) -> int:
        """Size of its numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Place:
    """Where the numbers of a tensor lie."""

    path: Path
    start: int
    info: TensorInfo


class TensorFolder:
    """The safetensors of a model folder; what their headers say is checked against the files at once.

    Raises ArtifactError naming file and tensor for one that is truncated, damaged, doubly present or of a foreign type.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = tensor_files(folder)

    @cached_property
    def places(self) -> Mapping[str, Place]:
        """Where each tensor lies."""
        places: dict[str, Place] = {}
        for path in self.files:
            for name, place in read_header(path):
                if name in places:
                    raise ArtifactError(f"{path}: tensor {name!r} is also in {places[name].path.name}")
                places[name] = place
        return places

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Shape and type of each tensor."""
        return {name: place.info for name, place in self.places.items()}

    def read(self, name: str) -> Tensor:
        """One tensor, in memory of its own."""
        place = self.places[name]
        raw = torch.empty(place.info.num_bytes, dtype=torch.uint8)
        with open(place.path, "rb", buffering=0) as file:
            file.seek(place.start)
            fill(file, raw.numpy().data, place.path, name)
        return raw.view(place.info.dtype).reshape(place.info.shape)


def fill(file: Any, room: memoryview, path: Path, name: str) -> None:
    """Read until `room` is full; a single read may stop at 2 GiB."""
    done = 0
    while done < len(room):
        count = file.readinto(room[done:])
        if not count:
            raise ArtifactError(f"{path}: truncated within tensor {name!r}; fetch or convert it again")
        done += count


def read_header(path: Path) -> Iterator[tuple[str, Place]]:
    """Name and place of each tensor of one file."""
    size = path.stat().st_size
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ValueError(f"header of {length} bytes in a file of {size}")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if end != size:
            raise ValueError(f"{size} bytes, its header speaks of {end}")
        found = [(name, place_of(path, 8 + length, name, entry)) for name, entry in entries.items()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ArtifactError(f"{path}: truncated or not safetensors ({error}); fetch or convert it again") from None
    yield from found


def place_of(path: Path, base: int, name: str, entry: Mapping[str, Any]) -> Place:
    """Where one tensor lies; ValueError where its header contradicts itself."""
    if entry["dtype"] not in DTYPES:
        raise ArtifactError(f"{path}: tensor {name!r} has type {entry['dtype']}; known: {', '.join(DTYPES)}")
    info = TensorInfo(tuple(entry["shape"]), DTYPES[entry["dtype"]])
    start, stop = entry["data_offsets"]
    if stop - start != info.num_bytes:
        raise ValueError(f"tensor {name!r} takes {stop - start} bytes, its shape {info.num_bytes}")
    return Place(path, base + start, info)
