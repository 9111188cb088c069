"""A collection of tokenised documents: a tokens artifact, a folder like one, or a dataset that Megatron wrote."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..foundation import artifact
from ..foundation.errors import ArtifactError, ConfigError, InputError
from .indexed import IndexedDataset, data_path, index_path
from .windows import Windows, unknown_token

TRUSTED_BYTES = 2 * 2**30  # larger artifacts are checked by the sizes of their files, not by hashing all of them
SCANNED_TOKENS = 2**26  # larger datasets are looked at in places before training, and batch by batch while training
BLOCK = 2**20


@dataclass(frozen=True)
class Collection:
    """Where the parts of a collection lie; `validation` is None where nothing is held out."""

    name: str
    train: Path
    validation: Path | None
    tokenizer: Path

    @property
    def files(self) -> list[Path]:
        """The files that training reads."""
        return [data_path(self.train), index_path(self.train)]


def open_collection(tokens: Path, *, tokenizer: Path | None = None) -> Collection:
    """The collection in the folder `tokens`, or the dataset tokens.bin/.idx of Megatron, checked.

    `tokenizer` is the folder of its tokenizer where it is not tokens/tokenizer. Raises ConfigError where that must be
    named and is not, InputError or ArtifactError for what is missing or damaged.
    """
    if index_path(tokens).is_file() and not tokens.is_dir():
        if tokenizer is None:
            raise ConfigError(
                f"{tokens}.idx: a plain indexed dataset names no tokenizer; give its folder: tokenizer=..."
            )
        return Collection(str(tokens), tokens, None, tokenizer)
    if not tokens.is_dir():
        why = "a file" if tokens.exists() else "no such folder"
        raise InputError(
            f"{tokens}: {why}; training reads a folder of tokens: nemo-core tokenize documents=... output=TOKENS"
        )
    if (tokens / artifact.MANIFEST).is_file():
        size = sum(record.bytes for record in artifact.load_manifest(tokens).files)
        artifact.read(tokens, "tokens", verify="size" if size > TRUSTED_BYTES else None)
    held_out = tokens / "validation"
    return Collection(
        str(tokens),
        tokens / "train",
        held_out if index_path(held_out).is_file() else None,
        tokenizer or tokens / "tokenizer",
    )


def open_windows(prefix: Path, *, length: int, separator: int | None, vocab_size: int) -> Windows:
    """The windows of a dataset. Raises InputError where it holds a token that the vocabulary has not."""
    dataset = IndexedDataset(prefix)
    name = f"{prefix}.bin"
    highest = highest_token(dataset)
    if highest >= vocab_size:
        raise InputError(unknown_token(name, highest, vocab_size))
    return Windows(dataset.tokens, length, separator, name, vocab_size)


def highest_token(dataset: IndexedDataset) -> int:
    """The highest token of a dataset; of a large one, the highest in 64 places of it."""
    size = len(dataset.tokens)
    whole = range(0, size, BLOCK)
    places = whole if size <= SCANNED_TOKENS else [int(at) for at in np.linspace(0, size - BLOCK, 64)]
    return max((int(dataset.tokens[at : at + BLOCK].max()) for at in places), default=0)


def check_maker(tokenizer: Path, model: Path) -> None:
    """Raise InputError unless the tokenizer of a model folder is the one that made the tokens."""
    if not same_tokenizer(tokenizer, model):
        raise InputError(f"{tokenizer}: not the tokenizer of {model}; tokenize with tokenizer={model}")


def same_tokenizer(first: Path, second: Path) -> bool:
    """Whether two tokenizer folders hold the same tokenizer. Raises ArtifactError where one holds none."""
    for folder in (first, second):
        if not (folder / "tokenizer.json").is_file():
            raise ArtifactError(f"{folder}: no tokenizer.json; give a folder that holds its tokenizer")
    one, other = (hashlib.sha256((folder / "tokenizer.json").read_bytes()).digest() for folder in (first, second))
    return one == other
