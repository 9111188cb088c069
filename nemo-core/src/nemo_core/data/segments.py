r"""Token ids of documents as bytes, where a stretch of text that was met before is not tokenised again.

Byte-level BPE never lets a token cross the borders its pre-tokeniser draws, and every pre-tokeniser listed here draws
one after a run of letters that anything ASCII but a letter follows. So a text may be cut there, and the ids of each
piece, looked up or computed alone, are the ids of the whole text.
"""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import tokenizers

PIECE = re.compile(r"[^A-Za-z]*+(?:[A-Za-z]++|\Z)(?:[^\x00-\x7f][^A-Za-z]*+[A-Za-z]*+)*+")
LONGEST_KEPT = 48  # characters; longer pieces hardly ever come twice
MOST_KEPT = 1_000_000  # pieces, about 200 MB
# Split patterns that end a token after a run of letters: Llama 3 and GPT-4, Qwen 2, GPT-2.
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
KNOWN_SPLITS = frozenset(
    {
        LLAMA3_SPLIT,
        LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}"),
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    }
)

Encode = Callable[[list[str]], list[bytes]]


def id_bytes(tokenizer: tokenizers.Tokenizer, dtype: np.dtype[np.generic]) -> Encode:
    """A function that gives the ids of each text as the bytes of `dtype`; equal to the tokeniser's own, and faster."""

    def encode(texts: list[str]) -> list[bytes]:
        encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=dtype).tobytes() for encoding in encodings]

    return Remembering(encode) if cuts_after_letters(tokenizer) else encode


class Remembering:
    """Ids of texts put together from the ids of their pieces, which are remembered."""

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self._known: dict[str, bytes] = {}

    def __call__(self, texts: Sequence[str]) -> list[bytes]:
        """Ids of each text."""
        known = self._known
        pieces = [PIECE.findall(text) for text in texts]
        new = list(set(chain.from_iterable(pieces)) - known.keys())
        known.update(zip(new, self._encode(new), strict=True))
        encoded = [b"".join(map(known.__getitem__, parts)) for parts in pieces]
        self._forget([piece for piece in new if len(piece) > LONGEST_KEPT])
        return encoded

    def _forget(self, pieces: list[str]) -> None:
        for piece in pieces:
            del self._known[piece]
        if len(self._known) > MOST_KEPT:
            self._known.clear()


def cuts_after_letters(tokenizer: tokenizers.Tokenizer) -> bool:
    """Whether the ids of a text are those of its pieces put together; False where that is not known."""
    state = json.loads(tokenizer.to_str())
    plain = state["normalizer"] is None and state["model"]["type"] == "BPE" and not state["model"].get("dropout")
    only_special = all(added["special"] for added in state["added_tokens"])
    return plain and only_special and tokenizer.encode_special_tokens and _splits(state["pre_tokenizer"])


def _splits(pre_tokenizer: dict[str, Any] | None) -> bool:
    if pre_tokenizer is None:
        return False
    steps = pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]
    return all(map(_is_known, steps)) and any(map(_cuts, steps))


def _is_known(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return not step["add_prefix_space"]
    return step["type"] == "Digits" or _cuts(step)


def _cuts(step: dict[str, Any]) -> bool:
    if step["type"] == "ByteLevel":
        return bool(step["use_regex"])
    pattern = step.get("pattern", {}).get("Regex")
    return step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"] and pattern in KNOWN_SPLITS
