"""Write a model folder's weights into another: copied, cast file by file, or with an adapter merged."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from nemo_core.checkpoint.folder import load_config, load_model, read_json, save_model, write_json
from nemo_core.checkpoint.tensors import INDEX, dtype_name, iterate_file, iterate_tensors, tensor_files, write_file
from nemo_core.foundation import atomic
from nemo_core.foundation.progress import Progress
from nemo_core.peft.folder import load_adapter
from nemo_core.peft.merge import merge_adapters
from nemo_core.tokenizer.load import Tokenizer

from .settings import DtypeName

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def target_dtype(source: Path, wanted: DtypeName) -> torch.dtype:
    """The dtype to write; "keep" is that of the source's first tensor."""
    return DTYPES[wanted] if wanted != "keep" else next(iterate_tensors(source))[1].dtype


def write_merged(source: Path, adapter: Path, target: Path, *, dtype: torch.dtype) -> None:
    """Weights with the adapter added, summed in fp32 before they are cast. Holds the whole model in memory."""
    model = merge_adapters(load_adapter(load_model(source), adapter))
    save_model(model.to(dtype), target)
    write_json(target / "config.json", described(read_json(source / "config.json"), dtype))


def write_plain(source: Path, target: Path, *, dtype: torch.dtype) -> None:
    """Weights as they are, or cast; holds one file of them in memory at most, and none where nothing is cast."""
    files = tensor_files(source)
    with Progress("export", total=sum(path.stat().st_size for path in files), unit="B") as progress:
        for path in files:
            if all(tensor.dtype == dtype for _, tensor in iterate_file(path)):
                copy(path, target / path.name)
            else:
                write_file(target / path.name, {name: tensor.to(dtype) for name, tensor in iterate_file(path)})
            progress.advance(path.stat().st_size)
    if (source / INDEX).is_file():
        index = read_json(source / INDEX)
        index["metadata"] = {"total_size": written_bytes(target, files)}
        atomic.write_text(target / INDEX, json.dumps(index, indent=2) + "\n")
    write_json(target / "config.json", described(read_json(source / "config.json"), dtype))


def written_bytes(target: Path, files: Sequence[Path]) -> int:
    """Size of all tensors, without the files' headers."""
    return sum(tensor.nbytes for path in files for _, tensor in iterate_file(target / path.name))


def described(config: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The config with the dtype that the weights have now, under the name the source used for it."""
    key = "torch_dtype" if "torch_dtype" in config else "dtype"
    return {**config, key: dtype_name(dtype)}


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with open(source, "rb") as reader, atomic.atomic_file(target) as writer:
        shutil.copyfileobj(reader, writer, 2**24)


def write_generation_config(source: Path, target: Path, tokenizer: Tokenizer) -> None:
    """The source's generation_config.json; every id that ends an answer is listed, so other servers stop there too."""
    path = source / "generation_config.json"
    config = load_config(source)
    values: dict[str, Any] = (
        read_json(path) if path.is_file() else {"bos_token_id": config.bos_id, "pad_token_id": config.pad_id}
    )
    stops = sorted(tokenizer.stop_ids)
    values["eos_token_id"] = stops[0] if len(stops) == 1 else stops
    write_json(target / "generation_config.json", {k: v for k, v in values.items() if v not in (None, [])})


def left_out(source: Path, target: Path) -> list[str]:
    """What the source has and an exported model does not need: training state, logs, code."""

    def names(folder: Path) -> Iterator[str]:
        return (path.name for path in folder.iterdir() if not path.name.startswith("."))

    return sorted(set(names(source)) - set(names(target)) - {"manifest.json"})
