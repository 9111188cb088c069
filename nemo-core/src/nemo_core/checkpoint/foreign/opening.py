"""Whatever Megatron-LM or NeMo saved, opened as a config and canonical tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from .archive import unpack
from .dialects import Facts, canonical_config
from .inert import load_inert
from .ranks import RankFiles
from .source import EMBEDDING, MegatronSource, MegatronTensors
from .stacked import StackedFolder
from .torch_dist import COMMON, FACTS, INDEX

TRACKER = "latest_checkpointed_iteration.txt"
NEMO_SETTINGS, NEMO_WEIGHTS = "model_config.yaml", "model_weights.ckpt"
MEGATRON_WEIGHTS = "model_optim_rng.pt"
TOKENIZERS = ("tokenizer.json", "tokenizer.model")


@dataclass(frozen=True)
class Foreign:
    """A checkpoint of another tool; `tokenizer` is the folder of its tokenizer's files, where it has those."""

    kind: str
    source: MegatronSource
    tokenizer: Path | None

    @property
    def config(self) -> ModelConfig:
        """The model's config; its family is still to be chosen."""
        return self.source.config


def is_foreign(path: Path) -> bool:
    """Whether this is a checkpoint of Megatron-LM or NeMo rather than a Hugging Face folder."""
    if path.is_file():
        return path.suffix == ".nemo"
    marks = (TRACKER, NEMO_SETTINGS, NEMO_WEIGHTS, INDEX, "weights", "mp_rank_00", "tp_rank_00_pp_rank_000")
    return any((path / mark).exists() for mark in marks)


def open_foreign(
    path: Path, *, scratch: Path, config: ModelConfig | None = None, vocab_size: int | None = None
) -> Foreign:
    """The checkpoint at `path`; a ``.nemo`` file is unpacked into `scratch` first.

    `config` replaces what the checkpoint says of its model, `vocab_size` drops padding from its vocabulary.
    Raises ArtifactError for what is damaged, unknown or not representable.
    """
    if path.is_file():
        unpack(path, scratch)
        return open_foreign(scratch, scratch=scratch, config=config, vocab_size=vocab_size)
    kind, weights, facts = look(path)
    tensors = open_weights(weights)
    if EMBEDDING not in tensors.names():
        raise ArtifactError(f"{weights}: has no {EMBEDDING!r}, so it holds no GPT model of Megatron")
    if config is None and facts is None:
        raise ArtifactError(f"{path}: says nothing of its model's shape; give config=FOLDER with its config.json")
    if config is None:
        assert facts is not None
        config = canonical_config(facts, rows=tensors.rows(EMBEDDING), vocab_size=vocab_size)
    return Foreign(kind, MegatronSource(tensors, config), find_tokenizer(path))


def look(path: Path) -> tuple[str, Path, Facts | None]:
    """What kind of folder this is, where its weights are, and what it says of the model."""
    if (path / NEMO_SETTINGS).is_file():
        dist = path / "model_weights"
        return "nemo", dist if dist.is_dir() else path, Facts(read_yaml(path / NEMO_SETTINGS), str(path / NEMO_SETTINGS))
    if (path / "weights").is_dir():
        settings = path / "context" / "model.yaml"
        facts = Facts(read_yaml(settings).get("config", {}), f"{settings}: config") if settings.is_file() else None
        return "nemo2", path / "weights", facts
    if (path / TRACKER).is_file():
        path = latest(path)
    return "megatron", path, megatron_facts(path)


def latest(root: Path) -> Path:
    """The folder of the last iteration of a Megatron-LM run."""
    word = (root / TRACKER).read_text(encoding="utf-8").strip()
    if word != "release" and not word.isdigit():
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
        raise ArtifactError(f"{folder}: {(folder / FACTS).read_text()[:200].strip()} is no torch_dist checkpoint")
    named = NEMO_WEIGHTS if list(folder.glob(f"**/{NEMO_WEIGHTS}")) else MEGATRON_WEIGHTS
    return RankFiles(folder, named)


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping in YAML, of plain values only."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
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
