"""Rows as token ids. Prompt and answer are told apart by position in the ids, never by text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nemo_core.checkpoint.folder import load_config
from nemo_core.data.rows import Conversation, Message, Preference
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import Tokenizer, load_tokenizer

from ..logprobs import Turn

Messages = list[Message]


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


def matching_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder. Raises InputError where it has ids that the model does not."""
    tokenizer, config = load_tokenizer(folder), load_config(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the model {config.vocab_size}: not made for each "
            "other; put the model's own tokenizer files into the folder"
        )
    return tokenizer


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
    return TokenPair(
        chosen=tokenize_turn(tokenizer, row.prompt, row.chosen),
        rejected=tokenize_turn(tokenizer, row.prompt, row.rejected),
    )


def within(pairs: Sequence[TokenPair], max_length: int) -> list[TokenPair]:
    """Pairs of which both answers fit; a pair cut short would teach which answer is longer."""
    return [p for p in pairs if max(len(p.chosen), len(p.rejected)) <= max_length]


def question_of(row: Conversation) -> Messages:
    """The conversation up to its last answer. Raises InputError where no user turn comes before it."""
    last = max(index for index, message in enumerate(row.messages) if message["role"] == "assistant")
    if last == 0 or row.messages[last - 1]["role"] == "assistant":
        raise InputError(f"{row.place}: the answer follows no question; put a user turn before it")
    return row.messages[:last]


def tokenize_prompt(tokenizer: Tokenizer, row: Conversation) -> Prompt:
    """The question of a conversation, ready for an answer. Raises InputError where there is none."""
    return Prompt(tuple(tokenizer.encode_chat(question_of(row), add_generation_prompt=True)), row)


def tokenize_answer(tokenizer: Tokenizer, row: Conversation) -> Turn:
    """The question of a conversation with its own answer."""
    question = question_of(row)
    return tokenize_turn(tokenizer, question, row.messages[len(question) : len(question) + 1])
