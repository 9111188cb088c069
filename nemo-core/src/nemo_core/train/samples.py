"""Sample answers: what a model says to a few held-out questions, with the likeliest token at every step.

Q questions, T places of the longest question and its answer, E hidden width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.rows import Conversation, Message
from ..inference import SamplingParams, generate
from ..inference.prompts import room_for_prompt
from ..model.decoder import Decoder
from ..parallel.model import ParallelModel
from ..peft.adapter import prefix_ids
from ..tokenizer.load import Tokenizer
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


@torch.no_grad()
def answer_in_parts(
    parallel: ParallelModel, tokenizer: Tokenizer, questions: Sequence[Question], *, max_tokens: int, compute: Compute
) -> list[str]:
    """As `answer`, by all processes together, of which none ever has the whole model; the same in each.

    Nothing is kept from one token to the next: each is a forward pass over all of its text.
    """
    outline = parallel.blueprint
    prompts = encode_questions(outline, tokenizer, questions, max_tokens=max_tokens)
    texts = [[*prefix_ids(outline), *ids] for ids in prompts]
    starts, length = [len(text) for text in texts], max(map(len, texts)) + max_tokens
    ended = [False] * len(texts)
    with parallel.measuring() as model, compute.precision():
        model.eval()
        for _ in range(max_tokens):
            next_Q = likeliest(model, texts, length=length, device=compute.device)
            parallel.world.copy_first_(next_Q)  # the others' may differ where two tokens are as likely
            for number, token in enumerate(next_Q.tolist()):
                ended[number] = ended[number] or token in tokenizer.stop_ids
                texts[number] += [] if ended[number] else [token]
            if all(ended):
                break
    return [tokenizer.decode(text[start:]).strip() for text, start in zip(texts, starts, strict=True)]


def likeliest(model: Decoder, texts: Sequence[Sequence[int]], *, length: int, device: torch.device) -> Tensor:
    """The token that the model expects next in each text, [Q]; texts are filled up to `length`, unseen by them."""
    ids_QT = torch.tensor([[*text, *[0] * (length - len(text))] for text in texts], device=device)
    hidden_QTE: Tensor = model(ids_QT)
    last_Q = torch.tensor([len(text) - 1 for text in texts], device=device)
    return model.logits(hidden_QTE[torch.arange(len(texts), device=device), last_Q]).argmax(-1)
