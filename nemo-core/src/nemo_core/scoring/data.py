"""Texts with classes, and preferred answers with others, as packed rows.

Shapes: B rows, T places.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..data.batch import Batch
from ..data.packing import Example, pack, packed_batch
from ..data.rows import Labelled, Preference
from ..data.turns import Message
from ..foundation.errors import InputError
from ..tokenizer.load import Tokenizer


@dataclass(frozen=True)
class Scored:
    """A text with its class; or, where `rejected` is given, a preferred text and the other."""

    ids: list[int]
    label: int = 0
    rejected: list[int] | None = None
    margin: float = 0.0

    @property
    def texts(self) -> list[list[int]]:
        """Its texts, which do not see each other."""
        return [self.ids] if self.rejected is None else [self.ids, self.rejected]

    def __len__(self) -> int:
        return sum(map(len, self.texts))


@dataclass
class ScoredRows:
    """Items to learn from or to measure on, and what had to give."""

    items: list[Scored] = field(default_factory=list)
    cut: int = 0
    too_long: list[str] = field(default_factory=list)


def scored_batch(rows: Sequence[Sequence[Scored]]) -> Batch:
    """One batch row for each list of items; only the last token of a text, or of a preferred one, has a target."""
    unlearnt = [[Example(ids, [False] * len(ids)) for item in row for ids in item.texts] for row in rows]
    batch = packed_batch(unlearnt)
    margins_BT = torch.zeros(batch.ids_BT.shape)
    for row, items in enumerate(rows):
        start = 0
        for item in items:
            last, end = start + len(item.ids) - 1, start + len(item) - 1
            batch.targets_BT[row, last] = item.label if item.rejected is None else end
            margins_BT[row, last] = item.margin
            start = end + 1
    return replace(batch, margins_BT=margins_BT) if margins_BT.any() else batch


def packed_rows(items: Sequence[Scored], *, capacity: int) -> list[list[int]]:
    """Numbers of the items that share a row."""
    return pack([len(item) for item in items], capacity=capacity)


def encode_texts(
    rows: Sequence[Labelled], tokenizer: Tokenizer, *, labels: Sequence[str], pad: int | None, max_length: int
) -> ScoredRows:
    """Texts of at most `max_length` tokens, the rest cut off. Raises InputError for a class not in `labels`."""
    encoded = ScoredRows()
    known = {label: number for number, label in enumerate(labels)}
    for row in rows:
        if row.label not in known:
            raise InputError(f"{row.place}: class {row.label!r} is none of {', '.join(labels)}; name all with labels=")
        ids = ids_of(row.text, tokenizer, pad=pad, place=row.place)
        encoded.cut += len(ids) > max_length
        encoded.items.append(Scored(ids[:max_length], known[row.label]))
    return encoded


def encode_preferences(
    rows: Sequence[Preference], tokenizer: Tokenizer, *, pad: int | None, max_length: int
) -> ScoredRows:
    """Pairs whose two texts fit a row together; longer ones are left out and named: a cut answer is another answer.

    Raises InputError where none fits, or where both texts of a pair are the same.
    """
    encoded = ScoredRows()
    for row in rows:
        wanted, other = (
            ids_of([*row.prompt, *answer], tokenizer, pad=pad, place=row.place) for answer in (row.chosen, row.rejected)
        )
        if wanted == other:
            raise InputError(f"{row.place}: chosen and rejected are the same text, so there is nothing to prefer")
        if len(wanted) + len(other) > max_length:
            encoded.too_long.append(row.place)
        else:
            encoded.items.append(Scored(wanted, rejected=other, margin=row.margin))
    if not encoded.items:
        raise InputError(
            f"{encoded.too_long[0]}: both answers with their prompts are longer than {max_length} tokens, and so is "
            "every other pair; raise sequence_length"
        )
    return encoded


def ids_of(text: str | list[Message], tokenizer: Tokenizer, *, pad: int | None, place: str) -> list[int]:
    """Ids as transformers' tokenizer gives them, a chat through its template; filling at the end is no part of it.

    transformers takes the score at the last token that is not the filling's, so this must be one.
    """
    try:
        if isinstance(text, str):
            ids: list[int] = list(tokenizer.backend.encode(text, add_special_tokens=True).ids)
        else:
            ids = tokenizer.encode_chat(text, add_generation_prompt=False)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    while ids and ids[-1] == pad:
        ids.pop()
    if not ids:
        raise InputError(f"{place}: the text has no tokens")
    return ids


def figures_of(train: ScoredRows, held: ScoredRows | None) -> dict[str, Any]:
    """What the checkpoint's stats say of the data."""
    return {
        "items": len(train.items),
        "held_out_items": len(held.items) if held else 0,
        "cut_to_length": train.cut,
        "left_out_too_long": len(train.too_long),
        "first_left_out": train.too_long[:20],
    }
