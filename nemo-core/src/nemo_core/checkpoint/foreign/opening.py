"""Whatever Megatron-LM or NeMo saved, opened as a config and canonical tensors."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from torch import Tensor

from ...config import ModelConfig
from ...families import config_to_hf, family_names
from ...foundation.errors import ArtifactError, ConfigError
from ..folder import load_config
from ..formats import NO_HINTS, Hints
from ..reader import TensorInfo
from .archive import unpack
from .dialects import Facts, canonical_config
from .inert import load_inert
from .moments import REMEDY, ForeignState, read_optimizer
from .ranks import RankFiles
from .source import EMBEDDING, MegatronSource, MegatronTensors
from .stacked import StackedFolder
from .torch_dist import COMMON, FACTS, INDEX

TRACKER = "latest_checkpointed_iteration.txt"
NEMO_SETTINGS, NEMO_WEIGHTS = "model_config.yaml", "model_weights.ckpt"
MEGATRON_WEIGHTS = "model_optim_rng.pt"
PREFERRED = ("llama", "mistral", "qwen2", "qwen3", "nemotron", "gpt2", "starcoder2")
TOKENIZERS = ("tokenizer.json", "tokenizer.model")


class Foreign:
    """A checkpoint of another tool, as `checkpoint.formats.Source`.

    `folder` is where its tokenizer's files are, where it has those; `unpacked` goes away with this object.
    """

    def __init__(
        self, tensors: MegatronSource, tokenizer: Path | None, unpacked: TemporaryDirectory[str] | None
    ) -> None:
        self.tensors, self.unpacked = tensors, unpacked
        self.folder = tokenizer or tensors.tensors.folder
        self.config = with_family(tensors.config)

    def info(self, name: str) -> TensorInfo:
        """Shape and type of a canonical tensor."""
        return TensorInfo(self.tensors.shapes[name], self.tensors.dtype(name))

    def canonical(self, name: str) -> Tensor:
        """A canonical tensor."""
        return self.tensors.read(name)

    def optimizer(self) -> ForeignState:
        """The optimizer's state beside the weights. Raises ArtifactError where it is none that can be read."""
        weights = self.tensors.tensors
        if not isinstance(weights, StackedFolder):
            raise ArtifactError(
                f"{weights.folder}: files of ranks keep an optimizer's state by rank, too; {REMEDY}, in the format "
                "torch_dist"
            )
        return read_optimizer(weights, self.config)


def with_family(config: ModelConfig) -> ModelConfig:
    """The config with the first family that has words for all of it; ArtifactError where none has."""
    reasons = {}
    for family in sorted(family_names(), key=lambda name: (name not in PREFERRED, name)):
        try:
            named = replace(config, family=family)
            config_to_hf(named, dtype="float32")
        except (ConfigError, ArtifactError) as error:
            reasons[family] = str(error)
        else:
            return named
    raise ArtifactError(f"no known family has words for this model: {reasons[PREFERRED[0]]}")


def open_foreign(path: Path, hints: Hints = NO_HINTS) -> Foreign:
    """The checkpoint at `path`; a ``.nemo`` file is unpacked into a temporary folder first.

    Raises ArtifactError for what is damaged, unknown or not representable.
    """
    unpacked = None
    if path.is_file():
        unpacked = TemporaryDirectory(prefix="nemo-")
        unpack(path, Path(unpacked.name))
        path = Path(unpacked.name)
    weights, facts = look(path)
    tensors = open_weights(weights)
    if EMBEDDING not in tensors.names():
        raise ArtifactError(f"{weights}: has no {EMBEDDING!r}, so it holds no GPT model of Megatron")
    if hints.config is not None:
        config = load_config(hints.config)
    elif facts is not None:
        config = canonical_config(facts, rows=tensors.rows(EMBEDDING), vocab_size=hints.vocab_size)
    elif (path / "config.json").is_file():
        config = load_config(path)
    else:
        raise ArtifactError(f"{path}: says nothing of its model's shape; give config=FOLDER with its config.json")
    return Foreign(MegatronSource(tensors, config), find_tokenizer(path), unpacked)


def look(path: Path) -> tuple[Path, Facts | None]:
    """Where a folder's weights are, and what it says of the model."""
    if (path / NEMO_SETTINGS).is_file():
        dist = path / "model_weights"
        return dist if dist.is_dir() else path, Facts(read_yaml(path / NEMO_SETTINGS), str(path / NEMO_SETTINGS))
    if (path / "weights").is_dir():
        settings = path / "context" / "model.yaml"
        facts = Facts(read_yaml(settings).get("config", {}), f"{settings}: config") if settings.is_file() else None
        return path / "weights", facts
    if (path / TRACKER).is_file():
        path = latest(path)
    return path, megatron_facts(path)


def latest(root: Path) -> Path:
    """The folder of the last iteration of a Megatron-LM run."""
    word = (root / TRACKER).read_text(encoding="utf-8", errors="replace").strip()
    if word != "release" and not (word.isascii() and word.isdigit() and len(word) < 20):
        raise ArtifactError(f"{root / TRACKER}: holds {word[:40]!r}, a number or 'release' is expected")
    folder = root / (word if word == "release" else f"iter_{int(word):07d}")
    if not folder.is_dir():
        raise ArtifactError(f"{root / TRACKER}: names {folder.name}, which is missing")
    return folder


def megatron_facts(folder: Path) -> Facts | None:
    """The arguments that Megatron-LM was run with, where it saved them."""
    ranked = sorted(folder.glob(f"*/{MEGATRON_WEIGHTS}"))
    path = folder / COMMON if (folder / COMMON).is_file() else next(iter(ranked), None)
    arguments = load_inert(path).get("args") if path is not None else None
    return Facts(arguments, f"{path}: args") if isinstance(arguments, Mapping) and arguments else None


def open_weights(folder: Path) -> MegatronTensors:
    """The tensors of a folder, in whichever of the layouts. Raises ArtifactError for one that is not known."""
    if (folder / INDEX).is_file():
        return StackedFolder(folder)
    if (folder / FACTS).is_file():
        said = (folder / FACTS).read_text(encoding="utf-8", errors="replace")[:200].strip()
        raise ArtifactError(f"{folder}: {said} is no torch_dist checkpoint")
    named = NEMO_WEIGHTS if list(folder.glob(f"**/{NEMO_WEIGHTS}")) else MEGATRON_WEIGHTS
    return RankFiles(folder, named)


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping in YAML, of plain values only."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{path}: not valid YAML ({error})") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"{path}: a mapping is expected, this is a {type(values).__name__}")
    return values


def find_tokenizer(path: Path) -> Path | None:
    """The folder that holds tokenizer files, within a checkpoint."""
    for name in TOKENIZERS:
        found = sorted(path.glob(f"**/{name}"))
        if found:
            return found[0].parent
    return None
