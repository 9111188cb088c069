"""Safetensors written tensor by tensor: headers follow from shapes alone, so only one tensor is in memory at a time."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ..foundation import atomic
from .reader import DTYPES, TensorInfo
from .tensors import INDEX, MAX_SHARD_BYTES, SINGLE

NAMES = {dtype: name for name, dtype in DTYPES.items()}


def write_stream(
    folder: Path,
    infos: Mapping[str, TensorInfo],
    read: Callable[[str], Tensor],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    on_tensor: Callable[[TensorInfo], None] = lambda info: None,
) -> None:
    """Write the tensors that `infos` announces, in shards of at most `max_shard_bytes` (a larger one has its own).

    `read` gives each tensor once, in the order of writing; `on_tensor` hears of each that is written.
    """
    shards = cut(infos, max_shard_bytes)
    placed: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(folder / file, {name: infos[name] for name in names}, read, on_tensor)
        placed |= dict.fromkeys(names, file)
    if len(shards) > 1:
        total = sum(info.num_bytes for info in infos.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
        atomic.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def cut(infos: Mapping[str, TensorInfo], max_shard_bytes: int) -> list[list[str]]:
    """Tensor names, in order, cut where the next would not fit."""
    shards: list[list[str]] = [[]]
    room = max_shard_bytes
    for name, info in infos.items():
        if info.num_bytes > room and shards[-1]:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= info.num_bytes
    return shards


def write_shard(
    path: Path,
    infos: Mapping[str, TensorInfo],
    read: Callable[[str], Tensor],
    on_tensor: Callable[[TensorInfo], None] = lambda info: None,
) -> None:
    """One file, whole or not at all; wider types come first, so that every tensor is aligned."""
    order = sorted(infos, key=lambda name: -infos[name].dtype.itemsize)
    draft = path.with_name(f".{path.name}.partial")
    with atomic.explain_disk_full(path):
        try:
            with open(draft, "wb") as file:
                write_header(file, order, infos)
                for name in order:
                    write_numbers(file, name, infos[name], read(name))
                    on_tensor(infos[name])
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)


def write_header(file: BinaryIO, order: Sequence[str], infos: Mapping[str, TensorInfo]) -> None:
    """Length and JSON, padded to eight bytes."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name in order:
        info = infos[name]
        stop = start + info.num_bytes
        header[name] = {"dtype": NAMES[info.dtype], "shape": list(info.shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)


def write_numbers(file: BinaryIO, name: str, info: TensorInfo, tensor: Tensor) -> None:
    """The numbers of one tensor, as announced."""
    if tuple(tensor.shape) != info.shape or tensor.dtype != info.dtype:
        raise ValueError(f"{name} was announced as {info}, but is {list(tensor.shape)} {tensor.dtype}")
    plain = tensor.detach().cpu().contiguous().flatten()
    file.write(plain.view(torch.uint8).numpy().data)
