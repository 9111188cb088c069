"""Hugging Face folders as a layout to convert from and to."""

from pathlib import Path

import torch
from torch import Tensor

from ..config import ModelConfig
from ..families.layout import tensor_map
from ..foundation.errors import ConfigError
from ..foundation.progress import Progress
from ..shapes import tensor_specs
from .folder import open_model, read_json, write_config, write_json
from .formats import NO_HINTS, Hints, Source
from .reader import TensorInfo
from .settings import ConvertSettings
from .source import ModelFolder, check_sound, left_infos, left_reader
from .tensors import dtype_name
from .writer import write_stream


def recognises(folder: Path) -> bool:
    """Whether `folder` holds a config.json and safetensors."""
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors*"))


def open_source(folder: Path, hints: Hints = NO_HINTS) -> ModelFolder:
    """The folder's tensors, checked against its config. ConfigError for hints: such a folder leaves nothing open."""
    if hints != NO_HINTS:
        raise ConfigError(f"{folder}: a Hugging Face folder describes itself; leave config and vocab_size out")
    return open_model(folder)


def write(source: Source, config: ModelConfig, folder: Path, settings: ConvertSettings) -> None:
    """Write `source` as a folder of the family of `config`, holding one tensor and its parts in memory at a time."""
    specs = tensor_specs(config)
    types = {name: written_type(source.info(name), settings, trained=spec.trained) for name, spec in specs.items()}
    tensors = tensor_map(config)
    infos = left_infos(tensors, {name: TensorInfo(spec.shape, types[name]) for name, spec in specs.items()})

    def canonical(name: str) -> Tensor:
        tensor = source.canonical(name)
        if tensor.dtype == types[name]:
            return tensor
        check_sound(tensor, place=f"{source.folder}: tensor {name!r}")
        check_sound(tensor := tensor.to(types[name]), place=f"{source.folder}: tensor {name!r} as {settings.dtype}")
        return tensor

    total = sum(info.num_bytes for info in infos.values())
    with Progress("convert", total=total, unit="B") as progress:
        write_stream(
            folder,
            infos,
            left_reader(tensors, canonical),
            max_shard_bytes=int(settings.max_shard_gib * 2**30),
            on_tensor=lambda info: progress.advance(info.num_bytes),
        )
    write_configs(source, config, folder, dtype=dtype_name(types["model.embed_tokens.weight"]))


def written_type(info: TensorInfo, settings: ConvertSettings, *, trained: bool) -> torch.dtype:
    """The type that a tensor gets; what is not trained (a router's correction) keeps its own."""
    if settings.dtype == "keep" or not trained or not info.dtype.is_floating_point:
        return info.dtype
    wanted: torch.dtype = getattr(torch, settings.dtype)
    return wanted


def write_configs(source: Source, config: ModelConfig, folder: Path, *, dtype: str) -> None:
    """config.json and generation_config.json: the source's own where it is a folder of the same family."""
    write_config(config, folder, dtype=dtype)
    theirs = source.folder
    if isinstance(source, ModelFolder) and config == source.config:
        values = read_json(theirs / "config.json")
        values.pop("torch_dtype", None)
        write_json(folder / "config.json", {**values, "dtype": dtype})
    if theirs.is_dir() and (theirs / "generation_config.json").is_file():
        write_json(folder / "generation_config.json", read_json(theirs / "generation_config.json"))
