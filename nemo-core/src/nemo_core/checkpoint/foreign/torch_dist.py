"""Tensors of a torch distributed checkpoint, the format ``torch_dist`` of megatron.core, read and written one by one.

No process group and no megatron.core is needed. A tensor is stored in chunks, each at an offset of some file.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch.utils.serialization import config as serialization_config

from ...foundation import atomic
from ...foundation.errors import ArtifactError
from ..state_piece import Extent, overlap, slices
from .flattened import fits, put_together
from .mapped import MappedFile
from .pickled_index import read_index

DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    StopIteration,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
INDEX, FACTS, COMMON = ".metadata", "metadata.json", "common.pt"
FLATTENED = "nd_reformulated_orig_global_shape"
BACKEND = {
    "sharded_backend": "torch_dist",
    "sharded_backend_version": 1,
    "common_backend": "torch",
    "common_backend_version": 1,
}


class TorchDistReader:
    """Random access to the tensors of a folder; a chunk is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[Path, MappedFile] = {}
        self.chunks: dict[str, dict[tuple[int, ...], Any]] = {}
        index = read_index(folder / INDEX)
        self.everything = set(index.state_dict_metadata)
        self.tensors = {key: found for key, found in index.state_dict_metadata.items() if hasattr(found, "chunks")}
        self.places = {(where.fqn, tuple(where.offset or ())): place for where, place in index.storage_data.items()}
        noted = (getattr(index, "mcore_data", None) or {}).items()
        self.flat = {key: tuple(about[FLATTENED]) for key, about in noted if about.get(FLATTENED) is not None}

    def keys(self) -> list[str]:
        """Names of the tensors."""
        return list(self.tensors)

    def shape(self, key: str) -> tuple[int, ...]:
        """The shape of a whole tensor, however it is stored."""
        return self.flat.get(key) or self.stored_shape(key)

    def stored_shape(self, key: str) -> tuple[int, ...]:
        """The shape that the chunks make up."""
        return tuple(self.tensors[key].size)

    def dtype(self, key: str) -> torch.dtype:
        """The type of a tensor's numbers."""
        dtype: torch.dtype = self.tensors[key].properties.dtype
        return dtype

    def read(self, key: str, *, at: tuple[int, ...] = ()) -> Tensor:
        """A whole tensor; or of one that stacks layers and experts, only that `at` those places of the first axes.

        Raises ArtifactError where a part of it is in no chunk or a chunk is damaged.
        """
        if key not in self.flat:
            return self.stored(key, at=at)
        shape, stored = self.flat[key], self.stored_shape(key)
        if not fits(stored, shape, stacked=len(at)):
            raise ArtifactError(
                f"{self.folder}: {key!r} of {list(shape)} is stored flat as {list(stored)}, which does not say where "
                "its numbers belong; save it with --dist-ckpt-optim-fully-reshardable"
            )
        return put_together(self.stored(key, at=at), shape[len(at) :])

    def stored(self, key: str, *, at: tuple[int, ...] = ()) -> Tensor:
        """The same, as it is stored."""
        shape = self.stored_shape(key)
        begin, size = (*at, *(0 for _ in shape[len(at) :])), (*(1 for _ in at), *shape[len(at) :])
        exact = self.chunks_by_offset(key).get(begin)
        if exact is not None and tuple(exact.sizes) == size:
            return self.chunk(key, exact)[(0,) * len(at)]
        chunks = [chunk for chunk in self.tensors[key].chunks if common(chunk, begin, size)]
        return self.assemble(key, chunks, begin=begin, size=size)[(0,) * len(at)]

    def chunks_by_offset(self, key: str) -> dict[tuple[int, ...], Any]:
        """The chunks of a tensor by where they begin: a stack of experts has many."""
        if key not in self.chunks:
            self.chunks[key] = {tuple(chunk.offsets): chunk for chunk in self.tensors[key].chunks}
        return self.chunks[key]

    def assemble(self, key: str, chunks: Sequence[Any], *, begin: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
        """Several chunks as one block of the tensor, which starts at `begin`."""
        block = torch.empty(size, dtype=self.dtype(key))
        filled = 0
        for chunk in chunks:
            corner, extent = common(chunk, begin, size) or (begin, size)
            part = self.chunk(key, chunk)[slices(corner, extent, origin=tuple(chunk.offsets))]
            block[slices(corner, extent, origin=begin)] = part
            filled += part.numel()
        if filled != block.numel():
            raise ArtifactError(
                f"{self.folder}: the chunks of {key!r} hold {filled} of {block.numel()} numbers; the checkpoint is "
                "incomplete"
            )
        return block

    def chunk(self, key: str, chunk: Any) -> Tensor:
        """One chunk, checked against what the index says of it."""
        place = self.places[key, tuple(chunk.offsets)]
        path = self.folder / place.relative_path
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ArtifactError(f"{self.folder / INDEX}: {key!r} points outside the folder, at {place.relative_path}")
        try:
            stored = self.file(path).tensor(place.offset, place.length, dtype=self.dtype(key))
            if stored is None:
                with open(path, "rb") as file:
                    file.seek(place.offset)
                    stored = torch.load(io.BytesIO(file.read(place.length)), map_location="cpu", weights_only=True)
        except DAMAGE as error:
            raise ArtifactError(f"{path}: {key!r} is missing or damaged ({first_line(error)})") from None
        if not isinstance(stored, Tensor) or tuple(stored.shape) != tuple(chunk.sizes):
            raise ArtifactError(f"{path}: a chunk of {key!r} is not {list(chunk.sizes)} as the index says")
        return stored

    def file(self, path: Path) -> MappedFile:
        """A file of chunks, opened once."""
        return self.files.setdefault(path, MappedFile(path))


def common(chunk: Any, begin: tuple[int, ...], size: tuple[int, ...]) -> tuple[Extent, Extent] | None:
    """First corner and extent of what a chunk and a block have in common."""
    if not size:
        return (), ()
    return overlap(begin, size, tuple(chunk.offsets), tuple(chunk.sizes))


def first_line(error: BaseException) -> str:
    """What an error says, without the advice that torch adds."""
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True)
class StoredTensor:
    """A tensor to write; it may be one place `at` of a tensor that stacks `counts` (layers, experts) in front."""

    key: str
    tensor: Tensor
    at: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of the whole."""
        return (*self.counts, *self.tensor.shape)

    @property
    def offset(self) -> tuple[int, ...]:
        """Where in the whole this chunk begins."""
        return (*self.at, *(0 for _ in self.tensor.shape))


def save(tensor: Tensor, file: BinaryIO) -> None:
    """torch.save without checksums, which take longer than writing; torch reads both."""
    with serialization_config.patch({"save.compute_crc32": False}):  # type: ignore[attr-defined]
        torch.save(tensor, file)


def write_torch_dist(folder: Path, tensors: Iterable[StoredTensor], *, common: dict[str, Any]) -> None:
    """Write a checkpoint that megatron.core loads at any parallel layout, holding one tensor in memory at a time."""
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import (
        ChunkStorageMetadata,
        Metadata,
        MetadataIndex,
        TensorProperties,
        TensorStorageMetadata,
    )

    described: dict[str, Any] = {}
    places: dict[Any, Any] = {}
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "__0_0.distcp"
    with atomic.explain_disk_full(data), open(data, "wb") as file:
        for stored in tensors:
            tensor = stored.tensor.detach().cpu().contiguous()
            tensor = tensor[(None,) * len(stored.at)]
            begin = file.tell()
            save(tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone(), file)
            place = _StorageInfo(data.name, begin, file.tell() - begin)
            chunk = ChunkStorageMetadata(offsets=torch.Size(stored.offset), sizes=tensor.shape)
            properties = TensorProperties(dtype=tensor.dtype)
            entry = described.setdefault(
                stored.key, TensorStorageMetadata(properties=properties, size=torch.Size(stored.size), chunks=[])
            )
            places[MetadataIndex(stored.key, stored.offset, len(entry.chunks))] = place
            entry.chunks.append(chunk)
    torch.save(common, folder / COMMON)
    (folder / INDEX).write_bytes(pickle.dumps(Metadata(state_dict_metadata=described, storage_data=places)))
    atomic.write_text(folder / FACTS, json.dumps(BACKEND) + "\n")
