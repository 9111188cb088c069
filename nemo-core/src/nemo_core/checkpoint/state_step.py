"""The state after one step: a file of blocks per process and an index that makes them one; JSON and safetensors only.

``index.json`` is written last and names every file with its length and SHA-256; it carries a digest of its own, so a
state is either whole and unaltered or told apart from one that is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..foundation import atomic
from ..foundation.artifact import digest_of, hash_file
from ..foundation.errors import ArtifactError
from .state_file import FileEntry, write_pieces
from .state_piece import Extent, Piece, like, overlap, piece_of, slices
from .tensors import dtype_name

INDEX, VERSION = "index.json", 2  # since 2, facts may say that names are those of the model's folder


@dataclass(frozen=True)
class Block:
    """A part of a tensor, and the file that holds it."""

    file: str
    offset: Extent
    shape: Extent


@dataclass(frozen=True)
class Whole:
    """A saved tensor: its form, and the blocks that make it up."""

    dtype: str
    shape: Extent
    blocks: tuple[Block, ...]


def part_name(rank: int) -> str:
    """The file of a process."""
    return f"rank-{rank:05d}.safetensors"


def write_part(folder: Path, pieces: Sequence[Piece], *, rank: int) -> None:
    """Write one process's blocks and, once they are on disk, the note that says so."""
    with atomic.explain_disk_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
    entry = write_pieces(folder / part_name(rank), pieces)
    blocks = {
        piece.name: {
            "dtype": dtype_name(piece.data.dtype),
            "shape": piece.shape,
            "offset": piece.offset,
            "extent": tuple(piece.data.shape),
        }
        for piece in pieces
    }
    atomic.write_text(folder / f"rank-{rank:05d}.json", json.dumps({"file": asdict(entry), "blocks": blocks}))


def write_index(folder: Path, *, num_parts: int, facts: Mapping[str, Any]) -> None:
    """Make the parts one state. Raises ArtifactError naming a part that is not there."""
    files: dict[str, dict[str, Any]] = {}
    tensors: dict[str, dict[str, Any]] = {}
    notes = [folder / f"rank-{rank:05d}.json" for rank in range(num_parts)]
    for rank, note in enumerate(notes):
        if not note.is_file():
            raise ArtifactError(
                f"{folder}: the part of process {rank} is not there; all processes need to see the same folder, so "
                "`output` has to lie on a file system that all nodes share"
            )
        part = json.loads(note.read_text(encoding="utf-8"))
        files[part_name(rank)] = part["file"]
        for name, block in part["blocks"].items():
            whole = tensors.setdefault(name, {"dtype": block["dtype"], "shape": block["shape"], "blocks": []})
            whole["blocks"].append([part_name(rank), block["offset"], block["extent"]])
    content = {"version": VERSION, "facts": dict(facts), "files": files, "tensors": tensors}
    text = json.dumps({**content, "digest": digest_of(content)}) + "\n"
    atomic.write_text(folder / INDEX, text)
    for note in notes:
        note.unlink()


class SavedState(Mapping[str, Tensor]):
    """The tensors of a saved state by name, read when asked for: whole, or only a block of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts, self.files, self._wholes = read_index(folder)

    def __getitem__(self, name: str) -> Tensor:
        whole = self.describe(name)
        return self.read(name, (0,) * len(whole.shape), whole.shape)

    def __contains__(self, name: object) -> bool:
        return name in self._wholes

    def __iter__(self) -> Iterator[str]:
        return iter(self._wholes)

    def __len__(self) -> int:
        return len(self._wholes)

    def describe(self, name: str) -> Whole:
        """Form and blocks of a tensor; ArtifactError where the state has none of that name."""
        if name not in self._wholes:
            raise ArtifactError(
                f"{self.folder}: holds no tensor {name!r}, which this run trains: it is the state of another model"
            )
        return self._wholes[name]

    def read(self, name: str, offset: Extent, shape: Extent) -> Tensor:
        """The block of `shape` that begins at `offset`, put together from however it was saved."""
        whole = self.describe(name)
        result = torch.empty(shape, dtype=getattr(torch, whole.dtype))
        filled = 0
        for block in whole.blocks:
            common = overlap(offset, shape, block.offset, block.shape)
            if common is not None:
                source = self._open(block.file).get_slice(name)
                part = (
                    source[slices(*common, origin=block.offset)] if shape else self._open(block.file).get_tensor(name)
                )
                result[slices(*common, origin=offset)] = part
                filled += part.numel()
        if filled != result.numel():
            raise ArtifactError(f"{self.folder}: {name!r} is not covered by its blocks; the state is damaged")
        return result

    def fill(self, name: str, target: Tensor) -> Tensor:
        """What `target` (a tensor, or a shard of one) was when the state was saved, laid out as `target` is.

        Raises ArtifactError where the state has no such tensor, or one of another shape.
        """
        piece, whole = piece_of(name, target), self.describe(name)
        if piece.shape != whole.shape:
            raise ArtifactError(
                f"{self.folder}: {name!r} is {list(whole.shape)}, this run's is {list(piece.shape)}: "
                "it is the state of another model"
            )
        saved = self.read(name, piece.offset, tuple(piece.data.shape))
        return like(target, saved.to(target.device))

    def verify(self, *, part: int = 0, of: int = 1) -> str | None:
        """What is wrong with every `of`-th file, beginning with `part`; None where nothing is."""
        for name in sorted(self.files)[part::of]:
            problem = check_file(self.folder / name, self.files[name])
            if problem:
                return problem
        return None

    def _open(self, file: str) -> Any:
        if file not in self._opened:
            try:
                self._opened[file] = safe_open(self.folder / file, framework="pt")
            except (SafetensorError, OSError) as error:
                raise ArtifactError(f"{self.folder / file}: cannot be read ({error})") from None
        return self._opened[file]

    @cached_property
    def _opened(self) -> dict[str, Any]:
        return {}


def check_file(path: Path, entry: FileEntry) -> str | None:
    """What is wrong with a file of a state; None where it is as it was written."""
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != entry.bytes:
        return f"{path} has {path.stat().st_size} bytes, {entry.bytes} were written"
    return None if hash_file(path) == entry.sha256 else f"{path} was altered since it was written (SHA-256 differs)"


def read_index(folder: Path) -> tuple[dict[str, Any], dict[str, FileEntry], dict[str, Whole]]:
    """Facts, files and tensors of a state; ArtifactError where its index is missing, damaged or newer."""
    path = folder / INDEX
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        digest = content.pop("digest")
        if content["version"] > VERSION:
            raise ArtifactError(f"{path}: version {content['version']} is newer than this package reads; upgrade it")
        if digest_of(content) != digest:
            raise ArtifactError(f"{path}: altered since it was written")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{path}: no index of a training state ({type(error).__name__}: {error})") from None
    files = {name: FileEntry(**entry) for name, entry in content["files"].items()}
    tensors = {
        name: Whole(
            whole["dtype"],
            tuple(whole["shape"]),
            tuple(Block(file, tuple(offset), tuple(shape)) for file, offset, shape in whole["blocks"]),
        )
        for name, whole in content["tensors"].items()
    }
    return content["facts"], files, tensors
