"""``nemo-core convert``: a model in another layout, type or file size, in bounded memory."""

import dataclasses
from pathlib import Path
from typing import Any

from ..families import config_to_hf
from ..foundation import artifact
from ..foundation.errors import ConfigError
from ..foundation.settings import to_plain
from ..tokenizer.load import load_tokenizer
from .describe_state import STATES
from .folder import MODEL_KINDS, TOKENIZER_FILES, copy_files
from .formats import Hints, Source, find_format, open_source
from .settings import ConvertSettings


def run(settings: ConvertSettings) -> dict[str, Any]:
    """Convert, and say what was written.

    Raises ConfigError naming a setting of the model that the wanted family has no words for.
    """
    writer = find_format(settings.format)
    hints = Hints(config=settings.config, vocab_size=settings.vocab_size)
    if (settings.model / artifact.MANIFEST).is_file():
        artifact.read(settings.model, MODEL_KINDS)
    source = open_source(settings.model, settings.source_format, hints)
    config = dataclasses.replace(source.config, family=settings.family or source.config.family)
    config_to_hf(config, dtype="float32")
    optimizer = optimizer_of(source, settings) if settings.optimizer else None
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"model": settings.model},
        overwrite=settings.overwrite,
    ) as draft:
        writer.write(source, config, draft.path, settings)
        if optimizer is not None:
            optimizer.write(draft.path / STATES, config)
            draft.stats |= {"optimizer_steps": optimizer.steps}
        tokenizer = tokenizer_folder(source)
        if (tokenizer / "tokenizer.json").exists():
            load_tokenizer(tokenizer)
        copy_files(tokenizer, draft.path, TOKENIZER_FILES)
        draft.stats |= {"objective": "convert", "parameters": config.num_parameters, "family": config.family}
    sizes = [path.stat().st_size for path in settings.output.rglob("*") if path.is_file()]
    return {
        "output": str(settings.output),
        "format": settings.format,
        "family": config.family,
        "parameters": config.num_parameters,
        "files": len(sizes),
        "bytes": sum(sizes),
    }


def optimizer_of(source: Source, settings: ConvertSettings) -> Any:
    """The state of the source's optimizer. Raises ConfigError where a layout has none to give or to take."""
    if settings.format != "hf":
        raise ConfigError(f"optimizer=true with format={settings.format}: only format=hf has a place for it (state/)")
    if not hasattr(source, "optimizer"):
        raise ConfigError(
            f"optimizer=true: {source.folder} is no checkpoint of Megatron or NeMo; the states of our own runs are "
            "continued as they are (docs/how-to/resume-and-checkpoints.md)"
        )
    return source.optimizer()


def tokenizer_folder(source: Source) -> Path:
    """Where the source keeps its tokenizer files."""
    return source.folder if source.folder.is_dir() else source.folder.parent
