"""``nemo-core inspect``: what a model, an adapter, a training state or another artifact holds, and if it is whole."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..families import package_of
from ..foundation import artifact
from ..foundation.errors import ArtifactError
from ..foundation.settings import to_plain
from ..tokenizer.load import load_tokenizer
from .describe_state import STATES, describe_state
from .folder import MODEL_KINDS, check_folder, open_model, read_json
from .reader import read_header
from .scoring import is_scoring_folder, open_scoring
from .settings import InspectSettings
from .source import ModelFolder
from .state_store import saved_steps
from .tensors import dtype_name

ADAPTER, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
ADAPTER_KINDS = ("adapter",)


def run(settings: InspectSettings) -> dict[str, Any]:
    """Family, sizes, tokens and integrity of a model; step, layout, tensors and integrity of a training state.

    Raises ArtifactError naming what is wrong: a file, or a tensor that is missing, superfluous or misshapen.
    """
    state = describe_state(settings.model) if settings.model.is_dir() else None
    if state is not None:
        return state
    refuse_unfinished(settings.model)
    if (settings.model / ADAPTER).is_file() and not (settings.model / "config.json").is_file():
        return describe_adapter(settings.model)
    if (settings.model / artifact.MANIFEST).is_file() and not (settings.model / "config.json").is_file():
        return describe_artifact(settings.model)
    check_folder(settings.model)
    return describe_model(settings.model)


def describe_adapter(folder: Path) -> dict[str, Any]:
    """Kind, base model and tensors of an adapter. Raises ArtifactError where its files are damaged."""
    if (folder / artifact.MANIFEST).is_file():
        artifact.read(folder, ADAPTER_KINDS)
    values = read_json(folder / ADAPTER)
    path = folder / ADAPTER_WEIGHTS
    if not path.is_file():
        raise ArtifactError(f"{path}: missing; an adapter folder needs it")
    infos = {name: place.info for name, place in read_header(path)}
    return {
        "kind": "adapter",
        "method": values.get("peft_type"),
        "base": values.get("base_model_name_or_path"),
        "parameters": sum(math.prod(info.shape) for info in infos.values()),
        "tensors": len(infos),
        "bytes": sum(info.num_bytes for info in infos.values()),
        "dtypes": sorted({dtype_name(info.dtype) for info in infos.values()}),
        "config": values,
    }


def describe_artifact(folder: Path) -> dict[str, Any]:
    """What any other artifact is, and where it comes from. Raises ArtifactError where it is damaged."""
    manifest = artifact.read(folder, artifact.load_manifest(folder).kind)
    return {
        "kind": manifest.kind,
        "digest": manifest.digest,
        "files": len(manifest.files),
        "bytes": sum(record.bytes for record in manifest.files),
        "integrity": "whole: every file is as it was written",
        "producer": manifest.producer,
        "inputs": manifest.inputs,
        "stats": manifest.stats,
    }


def describe_model(folder: Path) -> dict[str, Any]:
    """The same of a language model, a classifier or a reward model."""
    labels = None
    if is_scoring_folder(folder):
        source, labels = open_scoring(folder)
    else:
        source = open_model(folder)
    config = source.config
    architecture = package_of(config.family)[0]
    facts: dict[str, Any] = {
        "family": config.family,
        "architecture": architecture if labels is None else read_json(folder / "config.json")["architectures"][0],
        **({} if labels is None else {"labels": labels}),
        "parameters": config.num_parameters,
        "active_parameters": config.num_active_parameters,
        **describe_tensors(source),
        "tokens": describe_tokens(source.folder, config),
        "config": to_plain(config),
    }
    if (source.folder / artifact.MANIFEST).is_file():
        manifest = artifact.read(source.folder, MODEL_KINDS)
        facts |= {"kind": manifest.kind, "digest": manifest.digest, "stats": manifest.stats}
        facts |= {"states": steps} if (steps := saved_steps(source.folder / STATES)) else {}
    return facts


def refuse_unfinished(folder: Path) -> None:
    """Raise ArtifactError where only the partial folder of an output is there."""
    partial = folder.with_name(f"{folder.name}.partial")
    if not folder.exists() and partial.is_dir():
        raise ArtifactError(f"{folder}: not finished yet; what there is of it is shown by: nemo-core inspect {partial}")


def describe_tensors(source: ModelFolder) -> dict[str, Any]:
    """Count, bytes, types and files of the tensors; that they are complete was checked on opening."""
    infos = source.files.infos
    numbers = Counter[str]()
    for info in infos.values():
        numbers[dtype_name(info.dtype)] += info.num_bytes // info.dtype.itemsize
    return {
        "tensors": len(infos),
        "bytes": sum(info.num_bytes for info in infos.values()),
        "dtypes": sorted(numbers),
        "numbers": dict(sorted(numbers.items())),
        "files": len(source.files.files),
        "integrity": "complete: every tensor that config.json asks for is there in its shape, and no other",
    }


def describe_tokens(folder: Path, config: ModelConfig) -> dict[str, Any]:
    """Sizes of vocabulary and tokenizer, and the special ids."""
    size = load_tokenizer(folder).vocab_size if (folder / "tokenizer.json").is_file() else None
    return {
        "vocabulary": config.vocab_size,
        "tokenizer": size,
        "bos_id": config.bos_id,
        "eos_ids": [token for token in (config.eos_id, *config.more_eos_ids) if token is not None],
        "pad_id": config.pad_id,
    }
