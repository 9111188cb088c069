"""The part of a tokenizer that turning documents into ids needs: batch encoding, its size, the end-of-text id."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import tokenizers

from ..foundation.errors import InputError

FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


@dataclass(frozen=True)
class Vocabulary:
    """A fast tokenizer and its end-of-text token."""

    tokenizer: tokenizers.Tokenizer
    eos_id: int
    size: int

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, encoded in parallel; special tokens written in a text stay plain text there."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


def load_vocabulary(folder: Path) -> Vocabulary:
    """The tokenizer in a Hugging Face folder. Raises InputError where it is missing or names no eos token."""
    path = folder / "tokenizer.json"
    if folder.is_file():
        raise InputError(f"{folder}: a file; give the folder of the tokenizer, {folder.parent}")
    if not path.is_file():
        raise InputError(f"{path}: no such file; make one with nemo-core tokenizer documents=... output={folder}")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise InputError(f"{path}: not a tokenizer ({error})") from None
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    eos_id = tokenizer.token_to_id(eos_token(folder))
    if eos_id is None:
        raise InputError(f"{folder / 'tokenizer_config.json'}: eos_token {eos_token(folder)!r} is not in {path.name}")
    return Vocabulary(tokenizer, eos_id, max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1)


def eos_token(folder: Path) -> str:
    """The end-of-text token that a tokenizer folder names; InputError where it names none."""
    path = folder / "tokenizer_config.json"
    try:
        token = json.loads(path.read_text(encoding="utf-8"))["eos_token"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: names no eos_token ({error!r}); a token must separate documents") from None
    text = token.get("content") if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise InputError(f'{path}: eos_token is a text, or {{"content": text}}; it is {str(token)[:60]!r}')
    return text


def copy_tokenizer_files(source: Path, target: Path) -> None:
    """Copy what makes up a tokenizer into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
