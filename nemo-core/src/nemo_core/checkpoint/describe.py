"""``nemo-core inspect``: what a model folder or a training state holds, and whether it is whole."""

from collections import Counter
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..families import package_of
from ..foundation import artifact
from ..foundation.errors import ArtifactError
from ..foundation.settings import to_plain
from ..tokenizer.load import load_tokenizer
from .describe_state import describe_state
from .folder import MODEL_KINDS, open_model
from .settings import InspectSettings
from .source import ModelFolder
from .tensors import dtype_name


def run(settings: InspectSettings) -> dict[str, Any]:
    """Family, sizes, tokens and integrity of a model; step, layout, tensors and integrity of a training state.

    Raises ArtifactError naming what is wrong: a file, or a tensor that is missing, superfluous or misshapen.
    """
    state = describe_state(settings.model) if settings.model.is_dir() else None
    if state is not None:
        return state
    refuse_unfinished(settings.model)
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
