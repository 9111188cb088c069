"""A tokenizer folder in use: text to ids and back, chats to ids with the answers marked."""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..foundation.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from .template import ChatTemplate

Message = Mapping[str, str]
Piece = tuple[str, bool]  # a part of a chat, and whether it is an answer to learn
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


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
    place: str = ""

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        size: int = self.backend.get_vocab_size(with_added_tokens=True)
        return size

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, without added special tokens."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """Ids of a text to go on from: those that start a text, where the tokenizer has any, come first."""
        ids: list[int] = self.backend.encode(text, add_special_tokens=True).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, in parallel."""
        return [e.ids for e in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Text of `ids`."""
        text: str = self.backend.decode(list(ids), skip_special_tokens=skip_special)
        return text

    @cached_property
    def _template(self) -> "ChatTemplate":
        if self.chat_template is None:
            raise InputError(
                f"{self.place or 'this tokenizer'}: no chat template (chat_template.jinja); give plain text instead"
            )
        from .template import ChatTemplate

        return ChatTemplate(
            self.chat_template,
            self.special,
            place=f"the chat template of {self.place}" if self.place else "the chat template",
        )

    def render_chat(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> str:
        """The chat as the text the model sees. Raises InputError where the template refuses it."""
        return self._template.render(messages, add_generation_prompt=add_generation_prompt, tools=tools)

    def render_open_chat(self, messages: Sequence[Message]) -> str:
        """The same up to the end of what the last message says, for a model to go on with it."""
        return self._template.render_open(messages)

    def encode_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> list[int]:
        """Ids of a chat; with `add_generation_prompt` it ends where the answer begins."""
        return self.encode(self.render_chat(messages, add_generation_prompt=add_generation_prompt))

    def encode_chat_with_mask(
        self, messages: Sequence[Message], *, learn: Sequence[bool] | None = None
    ) -> tuple[list[int], list[bool]]:
        """Ids of a whole chat and which of them the assistant says, its end of turn included, in turns to `learn`.

        A template with ``{% generation %}`` says itself what is learnt. The text is cut where an answer begins and ends
        and each piece is tokenised alone, so no token spans the border and a prompt has the ids it has at generation
        time; tokenizers that begin every text with a space take it whole, unless a token would span a border.
        """
        marked = self._template.marks_answers
        cut = self._marked_pieces if marked else self._turns
        parts = self._tokenized(cut(messages, [learn is None or learn[index] for index in range(len(messages))]))
        ids = [token for part, _ in parts for token in part]
        is_answer = [
            answer and (marked or not closes_after_stop(part, at, self.stop_ids))
            for part, answer in parts
            for at in range(len(part))
        ]
        if not any(is_answer):
            raise InputError("the chat has no assistant message to learn from")
        return ids, is_answer

    def _turns(self, messages: Sequence[Message], learn: Sequence[bool]) -> list[Piece]:
        """The text before each answer, and each answer."""
        pieces: list[Piece] = []
        whole, done = self.render_chat(messages, add_generation_prompt=False), 0
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            opening = self.render_chat(messages[:index], add_generation_prompt=True)
            closing = self.render_chat(messages[: index + 1], add_generation_prompt=False)
            end = len(closing) if whole.startswith(closing) else self._stop_after(len(opening), whole, message)
            if not (whole.startswith(opening) and done <= len(opening) < end):
                raise InputError("the chat template changes earlier turns, so answers cannot be told apart in it")
            pieces += [(whole[done : len(opening)], False), (whole[len(opening) : end], learn[index])]
            done = end
        return pieces

    def _stop_after(self, start: int, whole: str, message: Message) -> int:
        """Where an answer that begins at `start` ends by a token that ends answers; 0 where it is not there unchanged.

        Templates that end a chat in another way than a turn (Phi-3, Qwen 3) need this.
        """
        texts = [self.backend.id_to_token(token) for token in self.stop_ids]
        found = [at + len(text) for text in texts if text and (at := whole.find(text, start)) >= 0]
        end = min(found, default=0)
        content = message["content"]
        return end if isinstance(content, str) and content.strip() in whole[start:end] else 0

    def _marked_pieces(self, messages: Sequence[Message], learn: Sequence[bool]) -> list[Piece]:
        """The same where the template marks answers."""
        text, answers = self._template.render_marked(messages)
        wanted = [flag for message, flag in zip(messages, learn) if message["role"] == "assistant"]
        if len(wanted) != len(answers) and not all(wanted):
            raise InputError(
                f"the chat template marks {len(answers)} answers of {len(wanted)}; which is learnt is open"
            )
        pieces: list[Piece] = []
        done = 0
        for (start, stop), flag in zip(answers, wanted if len(wanted) == len(answers) else [True] * len(answers)):
            pieces += [(text[done:start], False), (text[start:stop], flag)]
            done = stop
        return [*pieces, (text[done:], False)]

    def _tokenized(self, pieces: Sequence[Piece]) -> list[tuple[list[int], bool]]:
        """Ids of pieces, cut from those of the whole text where each alone would begin with a space of its own."""
        if not self._starts_with_space:
            return [(self.encode(text), answer) for text, answer in pieces]
        encoding = self.backend.encode("".join(text for text, _ in pieces), add_special_tokens=False)
        ends = [stop for _, stop in encoding.offsets]
        parts: list[tuple[list[int], bool]] = []
        border = first = 0
        for text, answer in pieces:
            border += len(text)
            last = bisect_right(ends, border)
            if last < len(ends) and encoding.offsets[last][0] < border:  # a token spans the border
                return [(self.encode(text), answer) for text, answer in pieces]
            parts.append((encoding.ids[first:last], answer))
            first = last
        return parts

    @cached_property
    def _starts_with_space(self) -> bool:
        """Whether a text alone is tokenised as if a space stood before it (SentencePiece's dummy prefix)."""
        tokens: list[str] = self.backend.encode("x", add_special_tokens=False).tokens
        return bool(tokens) and tokens[0].startswith("\N{LOWER ONE EIGHTH BLOCK}")

    def stream_decoder(self) -> "StreamDecoder":
        """A decoder that is fed ids one by one."""
        return StreamDecoder(self)


def closes_after_stop(piece: Sequence[int], at: int, stop_ids: frozenset[int]) -> bool:
    """Whether position `at` lies behind the end-of-turn token: layout (a newline), nothing the model says."""
    return any(token in stop_ids for token in piece[:at])


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
        raise ArtifactError(f"{folder}: no tokenizer.json; {what_instead(folder)}")
    try:
        backend = Backend.from_file(str(path))
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise ArtifactError(f"{path}: not a tokenizer ({error})") from None
    settings = {**optional_json(folder / "special_tokens_map.json"), **optional_json(folder / "tokenizer_config.json")}
    generation = optional_json(folder / "generation_config.json") or optional_json(folder / "config.json")
    special = {name: token_text(settings[name], place=f"{folder}: {name}") for name in SPECIAL if settings.get(name)}
    ids = {name: backend.token_to_id(text) for name, text in special.items()}
    return Tokenizer(
        backend=backend,
        eos_id=ids.get("eos_token"),
        pad_id=ids.get("pad_token", ids.get("eos_token")),
        bos_id=ids.get("bos_token"),
        stop_ids=stop_ids(backend, ids.get("eos_token"), generation, place=str(folder)),
        chat_template=chat_template(folder, settings),
        special=special,
        place=str(folder),
    )


def what_instead(folder: Path) -> str:
    """What to do about a folder without tokenizer.json."""
    if (folder / "tokenizer.model").is_file():
        return f"make one of its SentencePiece model: nemo-core import-tokenizer model={folder / 'tokenizer.model'}"
    if (folder / "vocab.json").is_file():
        return "make one of its older files: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
    return "give a folder that holds a tokenizer"


def optional_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} where there is no such file."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not valid JSON ({error}); fetch it again") from None
    if not isinstance(values, dict):
        raise ArtifactError(f"{path}: a JSON object is expected, this is a {type(values).__name__}; fetch it again")
    return values


def token_text(value: Any, *, place: str) -> str:
    """A special token, spelled as text or as {"content": text}. Raises ArtifactError for another spelling."""
    text = value.get("content") if isinstance(value, dict) else value
    if not isinstance(text, str):
        raise ArtifactError(f'{place} must be a text, or {{"content": text}}; it is {str(value)[:60]!r}')
    return text


def stop_ids(backend: Any, eos_id: int | None, generation: Mapping[str, Any], *, place: str) -> frozenset[int]:
    """Ids that end an answer: end of text, ChatML's end of turn, and what generation_config.json adds."""
    listed = generation.get("eos_token_id")
    ends = listed if isinstance(listed, list) else [] if listed is None else [listed]
    wrong = [end for end in ends if not isinstance(end, int) or isinstance(end, bool)]
    if wrong:
        raise ArtifactError(
            f"{place}: eos_token_id of generation_config.json or config.json must be token ids; it holds {wrong[0]!r}"
        )
    found = {*ends, eos_id, backend.token_to_id("<|im_end|>")}
    return frozenset(i for i in found if i is not None)


def chat_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The template in chat_template.jinja, in chat_template.json, or in tokenizer_config.json."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ArtifactError(f"{path}: not valid UTF-8 ({error.reason}); fetch it again") from None
    template = optional_json(folder / "chat_template.json").get("chat_template") or settings.get("chat_template")
    if isinstance(template, list):  # several by name, of which transformers, too, takes "default"
        template = next(
            (e.get("template") for e in template if isinstance(e, dict) and e.get("name") == "default"), None
        )
    return template if isinstance(template, str) else None
