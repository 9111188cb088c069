"""What is asked: a text, a question, or a file of them, as token ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.documents import parse_object, read_lines
from ..foundation.errors import ConfigError, InputError
from ..model.decoder import Decoder
from ..peft.adapter import prefix_ids
from ..tokenizer.load import Tokenizer
from .settings import GenerateSettings


@dataclass(frozen=True)
class Prompt:
    """Token ids, and the row they came from, which comes back with the answer."""

    ids: list[int]
    row: dict[str, Any]


def room_for_prompt(model: Decoder, *, max_tokens: int) -> int:
    """Positions that an answer of `max_tokens` leaves for a prompt. Raises ConfigError where there is none."""
    room = model.config.max_positions - max_tokens - len(prefix_ids(model))
    if room < 1:
        raise ConfigError(
            f"answers of {max_tokens} tokens leave no room for a question within the model's "
            f"{model.config.max_positions} positions; let answers have fewer tokens"
        )
    return room


def read_prompts(settings: GenerateSettings, tokenizer: Tokenizer) -> list[Prompt]:
    """Every prompt. Raises InputError naming file and line for a line that holds none."""
    if settings.prompt is not None:
        return [prompt_of({"prompt": settings.prompt}, "prompt", tokenizer)]
    if settings.chat is not None:
        return [prompt_of({"messages": [{"role": "user", "content": settings.chat}]}, "chat", tokenizer)]
    path = Path(str(settings.prompts))
    found = [
        prompt_of(parse_object(path, number, line), f"{path}:{number}", tokenizer) for number, line in read_lines(path)
    ]
    if not found:
        raise InputError(f"{path}: holds no prompt")
    return found


def prompt_of(row: dict[str, Any], place: str, tokenizer: Tokenizer) -> Prompt:
    """A row with `prompt` or `messages`."""
    if isinstance(row.get("prompt"), str):
        ids = tokenizer.encode_prompt(row["prompt"])
    elif isinstance(row.get("messages"), list):
        ids = tokenizer.encode_chat(row["messages"], add_generation_prompt=True)
    else:
        raise InputError(f"{place}: neither a `prompt` text nor a `messages` list")
    if not ids:
        raise InputError(f"{place}: the prompt has no tokens")
    return Prompt(ids, row)
