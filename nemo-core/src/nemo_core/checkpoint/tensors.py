"""Safetensors files: one, or several with an index; written atomically, read tensor by tensor."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..foundation import atomic
from ..foundation.errors import ArtifactError, DiskFull

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5 * 2**30


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], *, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """Write `tensors` under `folder`, in shards of at most `max_shard_bytes` (a larger tensor has one to itself)."""
    shards = plan_shards(tensors, max_shard_bytes)
    if len(shards) == 1:
        write_file(folder / SINGLE, tensors)
        return
    placed: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_file(folder / file, {name: tensors[name] for name in names})
        placed |= dict.fromkeys(names, file)
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placed.items()))}
    atomic.write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def plan_shards(tensors: Mapping[str, Tensor], max_shard_bytes: int) -> list[list[str]]:
    """Tensor names, in order, cut where the next would not fit."""
    shards: list[list[str]] = [[]]
    room = max_shard_bytes
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and shards[-1]:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= size
    return shards


def write_file(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """One safetensors file, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    draft = path.with_name(f".{path.name}.partial")
    with atomic.explain_disk_full(path):
        try:
            save_file(plain, draft, metadata={"format": "pt"})
            with open(draft, "rb") as written:
                os.fsync(written.fileno())
            os.replace(draft, path)
        except SafetensorError as error:
            raise_disk_full(path, error)
        finally:
            draft.unlink(missing_ok=True)


def raise_disk_full(path: Path, error: SafetensorError) -> NoReturn:
    """Safetensors reports a full disk in its own error type."""
    if "No space left" in str(error) or "StorageFull" in str(error):
        raise DiskFull(
            f"no space left while writing {path}; free some room, then run the same command again"
        ) from error
    raise error


def tensor_files(folder: Path) -> list[Path]:
    """The safetensors files of a model folder; ArtifactError where there are none or the index names a missing one."""
    if (folder / INDEX).is_file():
        names = indexed_files(folder / INDEX)
        for name in names:
            if not (folder / name).is_file():
                raise ArtifactError(f"{folder / INDEX}: names {name}, which is missing; fetch or convert it again")
        return [folder / name for name in names]
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    raise ArtifactError(f"{folder}: neither {SINGLE} nor {INDEX}; {what_instead(folder)}")


def indexed_files(index: Path) -> list[str]:
    """The files that an index names, sorted. Raises ArtifactError for one that is torn, or names no files beside it."""
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(placed.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactError(f"{index}: not a valid index ({error}); fetch it again") from None
    foreign = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if foreign or not names:
        said = f"names {foreign[0]!r}, which is no file of this folder" if foreign else "names no files"
        raise ArtifactError(f"{index}: not a valid index ({said}); fetch it again")
    return names


def what_instead(folder: Path) -> str:
    """What to do about a folder that holds weights in another form, or in part."""
    pickles = [path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in sorted(folder.glob(pattern))]
    shards = [path.name for path in sorted(folder.glob("*.safetensors"))]
    if shards:
        return f"it has {shards[0]}, but no index says which files belong together; fetch {INDEX} as well"
    if pickles:
        return (
            f"it has {pickles[0]}, a pickle, which can run code and is never read; write it anew with transformers "
            "(from_pretrained, then save_pretrained) in a place of trust"
        )
    return "this is no Hugging Face folder with safetensors"


def iterate_tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a model folder, one at a time. Raises ArtifactError for a truncated or damaged file."""
    for path in tensor_files(folder):
        yield from iterate_file(path)


def iterate_file(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of one file."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118 - safe_open is no mapping
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path}: truncated or not safetensors ({error}); fetch or convert it again") from None


def dtype_name(dtype: torch.dtype) -> str:
    """How config.json spells a dtype: "float32"."""
    return str(dtype).removeprefix("torch.")
