"""The lm-eval harness with our models: ``python -m nemo_core.evaluation.harness --model nemo-core ...``.

Arguments are those of ``lm_eval``; ``--model_args pretrained=FOLDER,adapter=FOLDER,batch_size=16,dtype=float32``.
Texts begin as the harness's own `hf` model has them begin: with the tokens that the tokenizer puts before a text,
unless `add_bos_token=false`.
Needs the extra [eval].
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.__main__ import cli_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from ..checkpoint.folder import load_model
from ..foundation.errors import ConfigError, InputError
from ..foundation.progress import Progress
from ..inference import SamplingParams, generate
from ..peft.adapter import prefix_ids
from ..peft.folder import load_adapter
from ..tokenizer.load import load_tokenizer
from .scoring import Continuation, rolling, score_continuations

DEVICES = ("cpu", "cuda")
MAX_TOKENS = 256
CUTS: dict[str, Callable[[Any], Any]] = {"temperature": float, "top_k": int, "top_p": float, "min_p": float}
RULES = {
    "repetition_penalty": "repetition_penalty",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "min_new_tokens": "min_tokens",
}
USUAL_TOP_K = 50  # of transformers, where a task that samples names none
NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "use_cache": True, "no_repeat_ngram_size": 0}


@register_model("nemo-core", "nemo_core")
class NemoCoreLM(TemplateLM):  # type: ignore[misc]
    """A model folder, scored and continued by nemo-core. `dtype` is float32, bfloat16 or float16."""

    def __init__(
        self,
        pretrained: str,
        adapter: str | None = None,
        batch_size: int | str = 16,
        device: str | None = None,
        dtype: str = "float32",
        max_length: int | None = None,
        add_bos_token: bool | None = None,
        **others: Any,
    ) -> None:
        super().__init__()
        unknown = sorted(name for name in others if name != "max_batch_size")
        if unknown:
            raise ConfigError(
                f"--model_args {unknown[0]}=: unknown to nemo-core; known: pretrained, adapter, batch_size,"
                " device, dtype, max_length, add_bos_token"
            )
        self.add_bos_token = add_bos_token
        self.folder = Path(pretrained)
        self.model = load_model(self.folder, device=device or "cpu", dtype=getattr(torch, dtype))
        if adapter is not None:
            load_adapter(self.model, adapter).eval()
        self.tokens = load_tokenizer(self.folder)
        room = self.model.config.max_positions - len(prefix_ids(self.model))
        self.max_length = min(max_length or room, room)
        self.batch_size = 16 if isinstance(batch_size, str) and not batch_size.isdigit() else int(batch_size)

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        if self.tokens.eos_id is None:
            raise ConfigError(f"{self.folder}: its tokenizer names no eos_token, which the harness needs")
        return self.tokens.eos_id

    @property
    def prefix_token_id(self) -> int:
        """The token that stands before a text: the beginning of text where the tokenizer has one."""
        return self.eot_token_id if self.tokens.bos_id is None else self.tokens.bos_id

    @property
    def tokenizer_name(self) -> str:
        """What keeps cached requests of different tokenizers apart."""
        return str(self.folder).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Ids of a text, after the tokens that begin a text unless it has them already (as a rendered chat does)."""
        if add_special_tokens is None:
            begun = string.startswith(self.tokens.decode([self.prefix_token_id], skip_special=False))
            add_special_tokens = self.add_bos_token is not False and not begun
        if not add_special_tokens:
            return self.tokens.encode(string)
        ids, first = self.tokens.encode_prompt(string), self.tokens.bos_id
        forced = self.add_bos_token and first is not None and ids[:1] != [first]
        return [first, *ids] if forced and first is not None else ids

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A chat as the text that the model sees; without generation prompt the last message stays open."""
        try:
            return self._rendered(chat_history, add_generation_prompt)
        except InputError:  # as the harness does, for templates that know no system message
            without = [message for message in chat_history if message["role"] != "system"]
            if len(without) == len(chat_history):
                raise
            return self._rendered(without, add_generation_prompt)

    def _rendered(self, chat: list[dict[str, str]], add_generation_prompt: bool) -> str:
        if add_generation_prompt:
            return self.tokens.render_chat(chat, add_generation_prompt=True)
        return self.tokens.render_open_chat(chat)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The folder's own template."""
        return self.tokens.chat_template

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        asked = [Continuation(context, targets) for _, context, targets in requests]
        return [(score.log_prob, score.is_greedy) for score in self._score(asked)]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of whole texts, cut into windows that share no input."""
        texts = [self.tok_encode(request.args[0]) for request in requests]
        windows = [rolling(ids, first=self.prefix_token_id, length=self.max_length) for ids in texts]
        scores = iter(self._score([window for own in windows for window in own]))
        return [sum(next(scores).log_prob for _ in own) for own in windows]

    def _score(self, asked: Sequence[Continuation]) -> list[Any]:
        with Progress("likelihood", total=len(asked), unit="texts") as progress:
            return list(
                score_continuations(
                    self.model,
                    asked,
                    batch_size=self.batch_size,
                    max_length=self.max_length,
                    on_batch=lambda count: progress.advance(count),
                )
            )

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """What the model writes after each context, up to a stop text."""
        asked = [self._prompt(*request.args) for request in requests]
        with Progress("generate", total=len(asked), unit="answers") as progress:
            done = generate(
                self.model,
                self.tokens,
                [ids for ids, _ in asked],
                [sampling for _, sampling in asked],
                max_slots=self.batch_size,
                on_finish=lambda _: progress.advance(),
            )
        return [completion.text for completion in done]

    def _prompt(self, context: str, wishes: dict[str, Any]) -> tuple[list[int], SamplingParams]:
        """Tokens of a context, cut on the left, and how to go on."""
        sampling = sampling_of(wishes)
        room = self.max_length - sampling.max_tokens
        if room < 1:
            raise ConfigError(
                f"max_gen_toks={sampling.max_tokens} leaves no room for a prompt in {self.max_length} positions"
            )
        return (self.tok_encode(context) or [self.prefix_token_id])[-room:], sampling


def sampling_of(wishes: dict[str, Any]) -> SamplingParams:
    """What a task's generation_kwargs ask for, with transformers' defaults. Raises ConfigError for what is not here."""
    known = dict(normalize_gen_kwargs(wishes, MAX_TOKENS))
    stop, max_tokens = handle_stop_sequences(known.pop("until"), eos=None), int(known.pop("max_gen_toks"))
    draws, given = bool(known.pop("do_sample")), {name: value for name, value in known.items() if value is not None}
    cuts = {"top_k": USUAL_TOP_K} | {name: kind(given.pop(name)) for name, kind in CUTS.items() if name in given}
    rules = {own: given.pop(name) for name, own in RULES.items() if name in given}
    others = [name for name, value in given.items() if name not in NEUTRAL or value != NEUTRAL[name]]
    if others:
        raise ConfigError(
            f"generation_kwargs {others[0]}={given[others[0]]!r} has no equal in nemo-core; known are until, "
            f"max_gen_toks, do_sample, {', '.join([*CUTS, *RULES])}"
        )
    return SamplingParams(
        max_tokens=max_tokens,
        stop=tuple(text for text in stop if text),
        seed=0,
        **rules,
        **(cuts if draws else {"temperature": 0.0}),
    )


if __name__ == "__main__":
    cli_evaluate()
