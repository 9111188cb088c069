"""Counting tokens with the library tokenizers."""

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from ...foundation.errors import ConfigError


def counter(path: Path) -> Callable[[list[str]], list[int]]:
    """A function from texts to their numbers of tokens, special ones left out."""
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception for any fault of the file
        raise ConfigError(f"tokenizer={file}: cannot be read as a tokenizer.json ({error})") from None
    tokenizer.no_truncation()
    return lambda texts: [len(found.ids) for found in tokenizer.encode_batch(texts, add_special_tokens=False)]
