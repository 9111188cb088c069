"""`nemo-core preview`: conversations as a model will see them, with what it learns to say marked."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Protocol

from msgspec import Meta

OPEN, CLOSE = "\N{LEFT-POINTING DOUBLE ANGLE QUOTATION MARK}", "\N{RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK}"


class Decode(Protocol):
    """Text of ids."""

    def __call__(self, ids: list[int], /, *, skip_special: bool) -> str:
        """Text of `ids`, special tokens included or not."""


@dataclass(frozen=True, kw_only=True)
class PreviewSettings:
    """A tokenizer and conversations in, text with marks out."""

    model: Annotated[Path, Meta(description="model or tokenizer folder whose chat template is used")]
    conversations: Annotated[Path, Meta(description="conversations artifact, JSONL file or folder, or a URL")]
    count: Annotated[int, Meta(ge=1, description="conversations shown, from the first on")] = 3


def run(settings: PreviewSettings) -> None:
    """Print each conversation: its place, its tokens and learnt tokens, and the text with learnt stretches in marks."""
    from ..tokenizer.load import load_tokenizer
    from .chat import encode_conversations
    from .rows import read_conversations

    tokenizer = load_tokenizer(settings.model)
    for row in read_conversations(settings.conversations)[: settings.count]:
        example = encode_conversations([row], tokenizer, max_length=2**31).examples[0]
        print(f"--- {row.place}: {len(example.ids)} tokens, {sum(example.learn)} of them learnt")
        print(marked(list(zip(example.ids, example.learn, strict=True)), tokenizer.decode))


def marked(tokens: list[tuple[int, bool]], decode: Decode) -> str:
    """Text of tokens with the learnt stretches between marks."""
    parts = []
    for learnt, stretch in groupby(tokens, key=lambda token: token[1]):
        text = decode([number for number, _ in stretch], skip_special=False)
        parts.append(f"{OPEN}{text}{CLOSE}" if learnt else text)
    return "".join(parts)
