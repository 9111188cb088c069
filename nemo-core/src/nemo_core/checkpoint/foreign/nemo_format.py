"""NeMo 1 ``.nemo`` files, their unpacked folders, and NeMo 2 folders, as layouts to convert from."""

from pathlib import Path

from ...config import ModelConfig
from ...foundation.errors import ConfigError
from ..formats import NO_HINTS, Hints, Source
from ..settings import ConvertSettings
from .opening import NEMO_SETTINGS, Foreign, open_foreign


def recognises(folder: Path) -> bool:
    """Whether this is such a file or folder."""
    if folder.is_file():
        return folder.suffix == ".nemo"
    return (folder / NEMO_SETTINGS).is_file() or (folder / "weights").is_dir()


def open_source(folder: Path, hints: Hints = NO_HINTS) -> Foreign:
    """The checkpoint's tensors, checked against what it says of its model."""
    return open_foreign(folder, hints)


def write(source: Source, config: ModelConfig, folder: Path, settings: ConvertSettings) -> None:
    """Raise ConfigError: NeMo reads Hugging Face folders, and its own format holds pickles."""
    raise ConfigError("format=nemo is only read; write format=hf, which NeMo imports, or format=megatron")
