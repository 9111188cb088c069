"""Files of the user's own that some scores need: word lists, a tokenizer, an n-gram model."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...foundation.errors import ConfigError

# The words that English text cannot do without; closed classes, in the order of a grammar.
ENGLISH_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "my",
        "your",
        "his",
        "her",
        "its",
        "our",
        "their",
        "all",
        "any",
        "both",
        "each",
        "either",
        "every",
        "few",
        "many",
        "more",
        "most",
        "much",
        "neither",
        "no",
        "none",
        "other",
        "several",
        "some",
        "such",
        "i",
        "me",
        "we",
        "us",
        "you",
        "he",
        "him",
        "she",
        "it",
        "they",
        "them",
        "who",
        "whom",
        "whose",
        "which",
        "what",
        "one",
        "ones",
        "myself",
        "yourself",
        "himself",
        "herself",
        "itself",
        "ourselves",
        "themselves",
        "and",
        "but",
        "or",
        "nor",
        "so",
        "yet",
        "for",
        "as",
        "if",
        "because",
        "although",
        "though",
        "while",
        "when",
        "where",
        "than",
        "until",
        "unless",
        "since",
        "whether",
        "of",
        "in",
        "to",
        "with",
        "on",
        "at",
        "by",
        "from",
        "about",
        "into",
        "over",
        "after",
        "under",
        "between",
        "through",
        "during",
        "before",
        "against",
        "without",
        "within",
        "along",
        "across",
        "behind",
        "beyond",
        "near",
        "off",
        "up",
        "down",
        "out",
        "above",
        "below",
        "around",
        "am",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "being",
        "have",
        "has",
        "had",
        "having",
        "do",
        "does",
        "did",
        "doing",
        "will",
        "would",
        "shall",
        "should",
        "can",
        "could",
        "may",
        "might",
        "must",
        "ought",
        "not",
        "only",
        "own",
        "same",
        "too",
        "very",
        "just",
        "also",
        "then",
        "there",
        "here",
        "now",
        "again",
        "once",
        "ever",
        "never",
        "always",
        "often",
        "how",
        "why",
    ]
)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Where the files are; None where there is none."""

    flagged_words: Path | None = None
    stop_words: Path | None = None
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


@cache
def read_words(path: Path) -> frozenset[str]:
    """The words of a file, one a line, in lower case; lines that begin with # are comments."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of words ({error})") from None
    words = frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))
    if not words:
        raise ConfigError(f"{path}: holds no word; write one a line")
    return words
