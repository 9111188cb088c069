"""Sample answers: what a model says to a few held-out questions, with the likeliest token at every step."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.rows import Conversation, Message
from ..inference import SamplingParams, generate
from ..inference.prompts import room_for_prompt
from ..model.decoder import Decoder
from ..tokenizer.load import Tokenizer


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
    prompts = [tokenizer.encode_chat(q.prompt, add_generation_prompt=True) for q in questions]
    room = room_for_prompt(model, max_tokens=max_tokens)
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0.0)
    model.eval()
    said = generate(model, tokenizer, [ids[-room:] for ids in prompts], sampling, max_slots=len(prompts))
    return [completion.text.strip() for completion in said]
