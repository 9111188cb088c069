"""Conversations to token ids through the tokenizer's chat template, with the answers marked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..foundation.errors import InputError
from .packing import Example
from .rows import Conversation
from .turns import Message


class ChatTokenizer(Protocol):
    """What encoding a conversation needs of a tokenizer."""

    def encode_chat_with_mask(
        self, messages: list[Message], *, learn: Sequence[bool] | None = None
    ) -> tuple[list[int], list[bool]]:
        """Token ids of a conversation, and which of them an assistant says in a turn that `learn` allows."""


@dataclass
class Encoded:
    """Examples to train on, and what had to give: how many were cut to length, and which hold no answer then."""

    examples: list[Example] = field(default_factory=list)
    cut: int = 0
    without_answer: list[str] = field(default_factory=list)


def encode_conversations(
    conversations: Sequence[Conversation], tokenizer: ChatTokenizer, *, max_length: int
) -> Encoded:
    """Examples of at most `max_length` tokens. Raises InputError where no conversation keeps a part of its answer."""
    encoded = Encoded()
    for conversation in conversations:
        try:
            ids, learn = tokenizer.encode_chat_with_mask(conversation.messages, learn=conversation.learn)
        except InputError as error:
            raise InputError(f"{conversation.place}: {error}") from None
        encoded.cut += len(ids) > max_length
        example = Example(ids[:max_length], learn[:max_length])
        if any(example.learn[1:]):
            encoded.examples.append(example)
        else:
            encoded.without_answer.append(conversation.place)
    if not encoded.examples:
        raise InputError(
            f"{encoded.without_answer[0] if encoded.without_answer else 'conversations'}: no answer within the first "
            f"{max_length} tokens, nor in any other conversation; raise sequence_length"
        )
    return encoded
