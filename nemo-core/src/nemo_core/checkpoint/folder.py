"""A model as a Hugging Face folder: config.json, safetensors, tokenizer files."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import ModelConfig
from ..families import config_from_hf, config_to_hf, family_module
from ..foundation import artifact, atomic
from ..foundation.errors import ArtifactError
from ..model.decoder import Decoder
from .tensors import dtype_name, iterate_tensors, write_tensors

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
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder")
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
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"{path}: a JSON object is expected, this is a {type(values).__name__}")
    return values


def load_config(folder: str | Path) -> ModelConfig:
    """The canonical config of a model folder."""
    path = Path(folder) / "config.json"
    return config_from_hf(read_json(path), place=str(path))


def load_model(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> Decoder:
    """The model of a folder, in evaluation mode.

    Raises ArtifactError for a damaged file, an unknown architecture, or a tensor that is missing, superfluous or of
    another shape, naming it.
    """
    folder = check_folder(Path(folder))
    config = load_config(folder)
    with torch.device("meta"):
        model = Decoder(config)
    wanted = dict(model.named_parameters())
    loaded: dict[str, Tensor] = {}
    for name, tensor in canonical(iterate_tensors(folder), config):
        check_tensor(folder, name, tensor, wanted)
        loaded[name] = tensor.to(device=device, dtype=dtype)
    missing = sorted(wanted.keys() - loaded.keys())
    if missing:
        raise ArtifactError(f"{folder}: lacks {len(missing)} tensor(s) that config.json asks for: {some(missing)}")
    model = Decoder(config) if device == "cpu" else Decoder(config).to(device)
    model.load_state_dict(loaded, assign=True)
    return model.requires_grad_(True).eval()


def canonical(tensors: Iterable[tuple[str, Tensor]], config: ModelConfig) -> Iterable[tuple[str, Tensor]]:
    """Tensors under canonical names, without the ones that repeat others (tied output head, frequency tables)."""
    rules = family_module(config.family, "weights")
    for name, tensor in tensors:
        if name.endswith(rules.IGNORED_SUFFIXES) or (config.tied_embeddings and name == "lm_head.weight"):
            continue
        yield rules.RENAMED.get(name, name), tensor


def check_tensor(folder: Path, name: str, tensor: Tensor, wanted: dict[str, torch.nn.Parameter]) -> None:
    """Raise ArtifactError unless the model has this tensor in this shape."""
    if name not in wanted:
        raise ArtifactError(f"{folder}: tensor {name!r} has no place in the model that config.json describes")
    if tensor.shape != wanted[name].shape:
        raise ArtifactError(
            f"{folder}: tensor {name!r} is {list(tensor.shape)}, config.json asks for {list(wanted[name].shape)}"
        )


def some(names: list[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def save_model(model: Decoder, folder: str | Path) -> None:
    """Write config.json, generation_config.json and safetensors into `folder` (made if absent).

    Adapters that are still unmerged are refused: merge them, or save them with `save_adapter`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = dict(model.named_parameters())
    foreign = [name for name in names if ".adapters." in name]
    if foreign:
        raise ArtifactError(f"{folder}: the model has unmerged adapters ({some(foreign)}); merge_adapters(model) first")
    write_tensors(folder, names)
    config = model.config
    written = dtype_name(next(model.parameters()).dtype)
    write_json(folder / "config.json", config_to_hf(config, dtype=written))
    generation = {"bos_token_id": config.bos_id, "eos_token_id": config.eos_id, "pad_token_id": config.pad_id}
    write_json(folder / "generation_config.json", {k: v for k, v in generation.items() if v is not None})


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    atomic.write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def copy_tokenizer(source: str | Path, target: str | Path) -> None:
    """Copy the tokenizer's files; ArtifactError where `source` has no tokenizer.json."""
    source, target = Path(source), Path(target)
    if not (source / "tokenizer.json").is_file():
        raise ArtifactError(f"{source}: no tokenizer.json, so the model cannot be given its tokenizer")
    target.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
