"""A model as a Hugging Face folder: config.json, safetensors, tokenizer files."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import ModelConfig
from ..families import config_from_hf, config_to_hf
from ..families.layout import tensor_map
from ..foundation import artifact, atomic
from ..foundation.errors import ArtifactError, InputError
from ..model.decoder import Decoder
from ..model.skeleton import skeleton
from ..tokenizer.load import Tokenizer, load_tokenizer
from .mapping.rules import Read
from .reader import TensorInfo
from .source import ModelFolder, left_infos, left_reader, some
from .tensors import MAX_SHARD_BYTES, dtype_name
from .writer import write_stream

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
)
MODEL_KINDS = ("checkpoint", "exported")


def check_folder(folder: Path) -> Path:
    """The folder, once its manifest (where it has one) is verified; a plain Hugging Face folder needs none."""
    folder = Path(folder)
    if folder.is_file():
        raise ArtifactError(f"{folder}: a file; give the folder that it lies in, with its config.json")
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder; give the path of a model folder, nothing is fetched from a hub")
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ArtifactError(f"{folder}: an adapter, no whole model; give the model it is for, and adapter={folder}")
    if (folder / artifact.MANIFEST).is_file():
        artifact.read(folder, MODEL_KINDS)
    elif not (folder / "config.json").is_file():
        raise ArtifactError(f"{folder}: no config.json, so this is no model folder")
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ArtifactError names the file otherwise."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing; a model folder needs it") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); a model folder needs it as a file") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"{path}: a JSON object is expected, this is a {type(values).__name__}")
    return values


def load_config(folder: str | Path) -> ModelConfig:
    """The canonical config of a model folder."""
    path = Path(folder) / "config.json"
    return config_from_hf(read_json(path), place=str(path))


def open_model(folder: str | Path, *, to_compute: bool = False) -> ModelFolder:
    """The tensors of a model folder, checked against its config but not read yet; see `ModelFolder`."""
    folder = check_folder(Path(folder))
    return ModelFolder(folder, load_config(folder), to_compute=to_compute)


def load_model(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Decoder:
    """The model of a folder, in evaluation mode.

    Raises ArtifactError for a damaged file, an unknown architecture, or a tensor that is missing, superfluous, of
    another shape, or not all finite numbers, naming it.
    """
    source = open_model(folder, to_compute=True)
    loaded: dict[str, Tensor] = {}
    for name, tensor in source.map.forward(source.read):
        kept = torch.float32 if not source.specs[name].trained else dtype
        loaded[name] = tensor.to(device=device, dtype=kept)
    return skeleton(source.config, loaded, device=device).requires_grad_(True).eval()


def save_model(model: Decoder, folder: str | Path, *, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """Write config.json, generation_config.json and safetensors into `folder` (made if absent).

    Adapters that are still unmerged are refused: merge them, or save them with `save_adapter`. So is a config that the
    model's family cannot represent (ConfigError).
    """
    folder = Path(folder)
    tensors = model.state_dict()
    refuse_adapters(tensors, folder)
    infos = {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()}
    save_read(model.config, infos, tensors.__getitem__, folder, max_shard_bytes=max_shard_bytes)


def refuse_adapters(names: Iterable[str], folder: Path) -> None:
    """Raise ArtifactError where the tensors of a model are not all its own."""
    foreign = [name for name in names if ".adapters." in name]
    if foreign:
        raise ArtifactError(f"{folder}: the model has unmerged adapters ({some(foreign)}); merge_adapters(model) first")


def save_read(
    config: ModelConfig,
    infos: Mapping[str, TensorInfo],
    read: Read,
    folder: Path,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """`save_model` for canonical tensors that `read` gives one at a time, of the form that `infos` announces."""
    written = dtype_name(next(iter(infos.values())).dtype)
    config_to_hf(config, dtype=written)
    folder.mkdir(parents=True, exist_ok=True)
    layout = tensor_map(config)
    write_stream(folder, left_infos(layout, infos), left_reader(layout, read), max_shard_bytes=max_shard_bytes)
    write_config(config, folder, dtype=written)


def write_config(config: ModelConfig, folder: Path, *, dtype: str) -> None:
    """config.json and generation_config.json."""
    write_json(folder / "config.json", config_to_hf(config, dtype=dtype))
    ends = [config.eos_id, *config.more_eos_ids] if config.more_eos_ids else config.eos_id
    generation = {"bos_token_id": config.bos_id, "eos_token_id": ends, "pad_token_id": config.pad_id}
    write_json(folder / "generation_config.json", {k: v for k, v in generation.items() if v is not None})


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    atomic.write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def check_vocabulary(folder: Path, config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Raise InputError where the tokenizer knows tokens that the model has no embedding for."""
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"{folder}: its tokenizer has {tokenizer.vocab_size} tokens, its model only {config.vocab_size}: "
            "they do not belong together; restore the tokenizer the model was trained with"
        )


def copy_tokenizer(source: str | Path, target: str | Path) -> None:
    """Copy the tokenizer's files; ArtifactError where `source` has no tokenizer.json, or one that cannot be used."""
    source, target = Path(source), Path(target)
    if not (source / "tokenizer.json").is_file():
        raise ArtifactError(f"{source}: no tokenizer.json, so the model cannot be given its tokenizer")
    load_tokenizer(source)
    target.mkdir(parents=True, exist_ok=True)
    copy_files(source, target, TOKENIZER_FILES)


def copy_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Copy those of the files `names` that are there."""
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
