"""Sample answers: what a model says to a few held-out questions, with the likeliest token at every step."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.rows import Conversation, Message
from ..inference import SamplingParams, generate
from ..inference.prompts import room_for_prompt
from ..model.decoder import Decoder
from ..parallel.model import ParallelModel
from ..peft.adapter import prefix_ids
from ..tokenizer.load import Tokenizer
from .continuation import likeliest_answers
from .device import Compute


@dataclass(frozen=True)
class Question:
    """The turns before a conversation's last answer, and that answer."""

    prompt: list[Message]
    reference: str

    @property
    def text(self) -> str:
        """The last thing the user says."""
        return self.prompt[-1]["content"]


def choose_questions(conversations: Sequence[Conversation], *, count: int) -> list[Question]:
    """At most `count` questions, evenly spread over the conversations that end with an answer to something."""
    asked = [c for c in conversations if len(c.messages) > 1 and c.messages[-1]["role"] == "assistant"]
    step = max(1, len(asked) // max(1, count))
    return [Question(c.messages[:-1], c.messages[-1]["content"]) for c in asked[::step][:count]]


def answer(model: Decoder, tokenizer: Tokenizer, questions: Sequence[Question], *, max_tokens: int) -> list[str]:
    """The model's greedy answer to each question, at most `max_tokens` tokens and what its positions leave room for."""
    if not questions:
        return []
    prompts = encode_questions(model, tokenizer, questions, max_tokens=max_tokens)
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0.0)
    model.eval()
    said = generate(model, tokenizer, prompts, sampling, max_slots=len(prompts))
    return [completion.text.strip() for completion in said]


def encode_questions(
    model: Decoder, tokenizer: Tokenizer, questions: Sequence[Question], *, max_tokens: int
) -> list[list[int]]:
    """Token ids of each question, the last ones that leave room for the answer."""
    prompts = [tokenizer.encode_chat(q.prompt, add_generation_prompt=True) for q in questions]
    room = room_for_prompt(model, max_tokens=max_tokens)
    return [ids[-room:] for ids in prompts]


def answer_in_parts(
    parallel: ParallelModel, tokenizer: Tokenizer, questions: Sequence[Question], *, max_tokens: int, compute: Compute
) -> list[str]:
    """As `answer`, by all processes together, of which none ever has the whole model; the same in each."""
    outline = parallel.blueprint
    prompts = encode_questions(outline, tokenizer, questions, max_tokens=max_tokens)
    texts = [[*prefix_ids(outline), *ids] for ids in prompts]
    stop_ids = frozenset(tokenizer.stop_ids)
    said = likeliest_answers(parallel, texts, stop_ids=stop_ids, max_tokens=max_tokens, compute=compute)
    return [tokenizer.decode(ids).strip() for ids in said]
