"""Rows as token ids. Prompt and answer are told apart by position in the ids, never by text."""

from collections.abc import Sequence
from dataclasses import dataclass

from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import Tokenizer

from ..logprobs import Turn
from .read import Conversation, Preference, as_messages

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class TokenPair:
    """A preference as token ids."""

    chosen: Turn
    rejected: Turn


@dataclass(frozen=True)
class Prompt:
    """A question as token ids, ready for an answer, and the row it came from."""

    ids: tuple[int, ...]
    row: Conversation


def tokenize_turn(tokenizer: Tokenizer, prompt: Messages, answer: Messages) -> Turn:
    """`answer` after `prompt`, cut behind its last token that a model would have to produce."""
    prompt_ids = tokenizer.encode_chat(prompt, add_generation_prompt=True)
    ids, is_answer = tokenizer.encode_chat_with_mask([*prompt, *answer])
    if ids[: len(prompt_ids)] != prompt_ids:
        raise InputError(
            "the tokenizer's chat template changes a prompt when an answer follows it, "
            "so prompt and answer cannot be told apart; use a template that only appends"
        )
    end = max((i + 1 for i, flag in enumerate(is_answer) if flag), default=0)
    return Turn(tuple(prompt_ids), tuple(ids[len(prompt_ids) : end]))


def tokenize_pair(tokenizer: Tokenizer, row: Preference) -> TokenPair:
    """Both answers of a preference."""
    prompt = as_messages(row.prompt, "user")
    return TokenPair(
        chosen=tokenize_turn(tokenizer, prompt, as_messages(row.chosen, "assistant")),
        rejected=tokenize_turn(tokenizer, prompt, as_messages(row.rejected, "assistant")),
    )


def within(pairs: Sequence[TokenPair], max_length: int) -> list[TokenPair]:
    """Pairs of which both answers fit; a pair cut short would teach which answer is longer."""
    return [p for p in pairs if max(len(p.chosen), len(p.rejected)) <= max_length]


def tokenize_prompt(tokenizer: Tokenizer, row: Conversation) -> Prompt:
    """The conversation up to its last answer. Raises InputError where no user turn is left."""
    messages = as_messages(row.messages, "user")
    if messages and messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages or messages[-1]["role"] != "user":
        raise InputError(f"row {row.id!r}: needs a user turn before its answer, has roles {[m.role for m in row.messages]}")
    return Prompt(tuple(tokenizer.encode_chat(messages, add_generation_prompt=True)), row)
