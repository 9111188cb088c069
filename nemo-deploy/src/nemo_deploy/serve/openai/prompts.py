"""From a request's prompt to token ids within the context length."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from nemo_core.foundation.errors import UserError

from ...engines.protocol import Engine, Tokenizer
from ..errors import ApiError
from .requests import ChatMessage

LONG_TEXT = 16_384  # characters from which tokenizing would hold up other requests noticeably


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text (as the client gave it, or decoded) and its token ids."""

    text: str
    ids: tuple[int, ...]


async def read_prompts(value: str | list[str | int | list[int]], tokenizer: Tokenizer) -> list[Prompt]:
    """The prompts in any of OpenAI's four forms. Raises ApiError 400 for a mixture or an unknown token id."""
    if isinstance(value, str):
        return [await text_prompt(value, tokenizer)]
    if not value:
        raise ApiError(400, "prompt: the list is empty; give a text, texts or token ids", param="prompt")
    if all(isinstance(item, int) for item in value):
        return [token_prompt([item for item in value if isinstance(item, int)], tokenizer, name="prompt")]
    if all(isinstance(item, str) for item in value):
        return [await text_prompt(item, tokenizer) for item in value if isinstance(item, str)]
    if all(isinstance(item, list) for item in value):
        lists = [item for item in value if isinstance(item, list)]
        return [token_prompt(ids, tokenizer, name=f"prompt[{index}]") for index, ids in enumerate(lists)]
    raise ApiError(400, "prompt: a list holds only texts, only token ids, or only lists of token ids", param="prompt")


async def text_prompt(text: str, tokenizer: Tokenizer) -> Prompt:
    """A text's tokens behind those that start a text; an empty text is the start of a document."""
    encode = tokenizer.encode_prompt
    ids = await asyncio.to_thread(encode, text) if len(text) > LONG_TEXT else encode(text)
    if ids:
        return Prompt(text, tuple(ids))
    if tokenizer.eos_id is None:
        raise ApiError(400, "prompt: is empty, and this model has no token that starts a document", param="prompt")
    return Prompt(text, (tokenizer.eos_id,))


def token_prompt(ids: Sequence[int], tokenizer: Tokenizer, *, name: str) -> Prompt:
    """Token ids that the vocabulary has."""
    if not ids:
        raise ApiError(400, f"{name}: no tokens in it", param=name)
    unknown = next((index for index, token in enumerate(ids) if not 0 <= token < tokenizer.vocab_size), None)
    if unknown is not None:
        raise ApiError(
            400,
            f"{name}[{unknown}]: token id {ids[unknown]} is not in the vocabulary (0 to {tokenizer.vocab_size - 1})",
            param=f"{name}[{unknown}]",
        )
    return Prompt(tokenizer.decode(ids, skip_special=False), tuple(ids))


async def chat_prompt(messages: Sequence[ChatMessage], tokenizer: Tokenizer, *, answer: bool = True) -> Prompt:
    """A conversation under the model's chat template. Raises ApiError 400 where the template refuses it."""
    plain = [message.plain() for message in messages]
    try:
        if sum(len(turn["content"]) for turn in plain) > LONG_TEXT:
            ids = await asyncio.to_thread(tokenizer.encode_chat, plain, add_generation_prompt=answer)
        else:
            ids = tokenizer.encode_chat(plain, add_generation_prompt=answer)
    except UserError as error:
        raise ApiError(400, f"messages: {error}", param="messages") from None
    return Prompt("", tuple(ids))


def token_budget(asked: int | None, *, name: str, default: int | None, prompt: Prompt, engine: Engine) -> int:
    """Tokens to generate after `prompt`; `default` None means up to the end of the context.

    Raises ApiError 400 where the prompt leaves no room or `asked` does not fit in what it leaves.
    """
    limit, used = engine.max_length, len(prompt.ids)
    room = limit - used
    if room < (1 if asked != 0 else 0):
        raise ApiError(
            400,
            f"the prompt has {used} tokens; this model's context holds {limit}, the answer included",
            param="prompt",
            code="context_length_exceeded",
        )
    if asked is not None and asked > room:
        raise ApiError(
            400,
            f"{name}: {asked} is too large; the context holds {limit} tokens and the prompt takes {used}, "
            f"so at most {room}",
            param=name,
            code="context_length_exceeded",
        )
    if asked is not None:
        return asked
    return room if default is None else min(default, room)
