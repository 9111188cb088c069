"""What some scores need of the user: word lists, a language, a tokenizer, an n-gram model."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where the files are; None where there is none."""

    flagged_words: Path | None = None
    stop_words: Path | None = None
    stop_word_language: str | None = None
    segment: str = "none"
    tokenizer: Path | None = None
    ngram_model: Path | None = None
    comments_of: str = "python"
    language_column: str = "programming_language"
    extension_column: str = "extension"

    def need(self, name: str, *, why: str) -> Path:
        """The file called `name`. Raises ConfigError where it was not given or is not there."""
        path: Path | None = getattr(self, name)
        if path is None:
            raise ConfigError(f"{name} is required, because {why}; set {name}=FILE")
        if not path.exists():
            raise ConfigError(f"{name}={path}: no such file")
        return path


def parse_words(text: str) -> frozenset[str]:
    """The words of a list, one a line, in lower case; lines that begin with # are comments."""
    return frozenset(line.strip().lower() for line in text.splitlines() if line.strip() and not line.startswith("#"))


@cache
def read_words(path: Path) -> frozenset[str]:
    """The words of a file, one a line, in lower case; lines that begin with # are comments."""
    try:
        words = parse_words(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of words ({error})") from None
    if not words:
        raise ConfigError(f"{path}: holds no word; write one a line")
    return words
