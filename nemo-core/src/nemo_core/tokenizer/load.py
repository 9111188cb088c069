"""A tokenizer folder in use: text to ids and back, chats to ids with the answers marked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from ..foundation.errors import ArtifactError, InputError

Message = Mapping[str, str]


@dataclass(frozen=True)
class Tokenizer:
    """Wraps a `tokenizers.Tokenizer`; ids are plain integers, chats are lists of {"role", "content"}."""

    backend: Any
    eos_id: int | None
    pad_id: int | None
    bos_id: int | None
    stop_ids: frozenset[int]
    chat_template: str | None
    special: Mapping[str, str] = field(default_factory=dict)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        size: int = self.backend.get_vocab_size(with_added_tokens=True)
        return size

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without added special tokens."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, in parallel."""
        return [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of `ids`."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special)
        return text

    @cached_property
    def _template(self) -> Any:
        if self.chat_template is None:
            raise InputError("this tokenizer has no chat template (chat_template.jinja); give plain text instead")
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(self.chat_template)

    def render_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """The chat as the text the model sees. Raises InputError where the template refuses it."""
        from jinja2 import TemplateError

        try:
            text: str = self._template.render(
                messages=[dict(m) for m in messages], add_generation_prompt=add_generation_prompt, **self.special
            )
        except TemplateError as error:
            raise InputError(f"the chat template refuses this chat: {error}") from None
        return text

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Ids of a chat; with `add_generation_prompt` it ends where the answer begins."""
        return self.encode(self.render_chat(messages, add_generation_prompt=add_generation_prompt))

    def encode_chat_with_mask(
        self, messages: Sequence[Message], *, learn: Sequence[bool] | None = None
    ) -> tuple[list[int], list[bool]]:
        """Ids of a whole chat and which of them the assistant says, its end of turn included, in turns to `learn`.

        The text is cut where an answer begins and ends and each piece is tokenised alone, so no token spans the
        border and a prompt has the ids it has at generation time.
        """
        ids: list[int] = []
        is_answer: list[bool] = []
        rendered = ""
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            opening = self.render_chat(messages[:index], add_generation_prompt=True)
            closing = self.render_chat(messages[: index + 1], add_generation_prompt=False)
            if not (opening.startswith(rendered) and closing.startswith(opening)):
                raise InputError("the chat template changes earlier turns, so answers cannot be told apart in it")
            learnt = learn is None or learn[index]
            for text, answer in ((opening[len(rendered) :], False), (closing[len(opening) :], learnt)):
                piece = self.encode(text)
                ids += piece
                is_answer += [answer and not closes_after_stop(piece, at, self.stop_ids) for at in range(len(piece))]
            rendered = closing
        if not any(is_answer):
            raise InputError("the chat has no assistant message to learn from")
        return ids, is_answer

    def stream_decoder(self) -> "StreamDecoder":
        """A decoder that is fed ids one by one."""
        return StreamDecoder(self)


def closes_after_stop(piece: Sequence[int], at: int, stop_ids: frozenset[int]) -> bool:
    """Whether position `at` lies behind the end-of-turn token: layout (a newline), nothing the model says."""
    return any(token in stop_ids for token in piece[:at])


def refuse(message: str) -> None:
    """What templates call as raise_exception(message)."""
    from jinja2 import TemplateError

    raise TemplateError(message)


class StreamDecoder:
    """Gives the text of each new id as soon as it is complete; never half a character."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._pending: list[int] = []
        self._context: list[int] = []

    def feed(self, ids: Sequence[int]) -> str:
        """Text that became certain with `ids`."""
        self._pending += ids
        before = self._tokenizer.decode(self._context)
        text = self._tokenizer.decode(self._context + self._pending)
        if text.endswith("\N{REPLACEMENT CHARACTER}") and len(self._pending) < 8:
            return ""
        self._context, self._pending = (self._context + self._pending)[-8:], []
        return text[len(before) :]

    def flush(self) -> str:
        """What is left, incomplete characters shown as replacement characters."""
        before = self._tokenizer.decode(self._context)
        text = self._tokenizer.decode(self._context + self._pending)
        self._pending = []
        return text[len(before) :]


def load_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a folder with ``tokenizer.json``. Raises ArtifactError where it is missing or broken."""
    from tokenizers import Tokenizer as Backend

    folder = Path(folder)
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise ArtifactError(f"{folder}: no tokenizer.json; give a folder that holds a tokenizer")
    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise ArtifactError(f"{path}: not a tokenizer ({error})") from None
    settings = optional_json(folder / "tokenizer_config.json")
    generation = optional_json(folder / "generation_config.json")
    special = {
        name: token_text(settings[name]) for name in ("bos_token", "eos_token", "pad_token") if settings.get(name)
    }
    ids = {name: backend.token_to_id(text) for name, text in special.items()}
    return Tokenizer(
        backend=backend,
        eos_id=ids.get("eos_token"),
        pad_id=ids.get("pad_token", ids.get("eos_token")),
        bos_id=ids.get("bos_token"),
        stop_ids=stop_ids(backend, ids.get("eos_token"), generation),
        chat_template=chat_template(folder, settings),
        special=special,
    )


def optional_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{path}: not valid JSON ({error})") from None
    return values


def token_text(value: str | Mapping[str, Any]) -> str:
    """A special token is spelled as text or as {"content": text}."""
    return value if isinstance(value, str) else str(value["content"])


def stop_ids(backend: Any, eos_id: int | None, generation: Mapping[str, Any]) -> frozenset[int]:
    """Ids that end an answer: end of text, ChatML's end of turn, and what generation_config.json adds."""
    listed = generation.get("eos_token_id")
    found = {*(listed if isinstance(listed, list) else [listed]), eos_id, backend.token_to_id("<|im_end|>")}
    return frozenset(i for i in found if i is not None)


def chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The template in chat_template.jinja, or in tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = settings.get("chat_template")
    return template if isinstance(template, str) else None
