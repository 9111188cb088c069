"""``nemo-core inspect``: what a model, an adapter, a training state or another artifact holds, and if it is whole."""

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
from .folder import MODEL_KINDS, open_model, read_json
from .settings import InspectSettings
from .source import ModelFolder
from .state_store import saved_steps
from .tensors import dtype_name, iterate_file

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def run(settings: InspectSettings) -> dict[str, Any]:
    """Family, sizes, tokens and integrity of a model; step, layout, tensors and integrity of a training state.

    Raises ArtifactError naming what is wrong: a file, or a tensor that is missing, superfluous or misshapen.
    """
    state = describe_state(settings.model) if settings.model.is_dir() else None
    if state is not None:
        return state
    refuse_unfinished(settings.model)
    other = describe_other(settings.model)
    if other is not None:
        return other
    source = open_model(settings.model)
    config = source.config
    facts: dict[str, Any] = {
        "family": config.family,
        "architecture": package_of(config.family)[0],
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


def describe_other(folder: Path) -> dict[str, Any] | None:
    """What an adapter, or an artifact that is no model, holds; None for anything else."""
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
        return describe_adapter(folder)
    if not (folder / artifact.MANIFEST).is_file():
        return None
    manifest = artifact.load_manifest(folder)
    if manifest.kind in MODEL_KINDS:
        return None
    artifact.read(folder, manifest.kind)
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


def describe_adapter(folder: Path) -> dict[str, Any]:
    """Method, base model, settings and tensors of an adapter folder."""
    values = read_json(folder / ADAPTER_CONFIG)
    tensors = dict(iterate_file(folder / ADAPTER_WEIGHTS))
    return {
        "kind": "adapter",
        "method": values.get("peft_type"),
        "base": values.get("base_model_name_or_path"),
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "dtypes": sorted({dtype_name(tensor.dtype) for tensor in tensors.values()}),
        "config": values,
    }


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
