"""`nemo-core embed` and `nemo-core train-embedding`."""

import functools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoint.folder import check_folder
from ..checkpoint.state import (
    has_state,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    restore_rng,
    rng_tensors,
    save_state,
)
from ..data.documents import parse_object, read_lines
from ..data.rows import read_conversations
from ..data.sampler import Sampler
from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..train.metrics import MetricsLog
from ..train.optimizer import build_optimizer, set_learning_rate
from ..train.recovery import StopRequest
from ..train.schedule import learning_rate_at
from ..train.session import shared_draft
from ..train.world import ALONE
from .model import Embedder, TextEncoder, contrastive_loss, load_embedder, save_embedder, text_encoder
from .settings import EmbedSettings, TrainEmbeddingSettings


@dataclass(frozen=True)
class Pair:
    """A query, what answers it, and what only seems to."""

    query: str
    positive: str
    negatives: tuple[str, ...]


def run_embed(settings: EmbedSettings) -> dict[str, Any]:
    """Write one unit vector for each text, in order."""
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    artifact.check_output_file(settings.output, {"texts": settings.texts}, overwrite=settings.overwrite)
    texts = read_texts(settings.texts, settings.field)
    model = load_embedder(settings.model, settings.pooling)
    encoder = text_encoder(model, settings.model, max_tokens=settings.max_tokens)
    with Progress("embed", total=len(texts), unit="texts") as progress, torch.no_grad():
        parts = []
        for start in range(0, len(texts), settings.batch_size):
            chunk = texts[start : start + settings.batch_size]
            parts.append(model(*encoder.rows(chunk)))
            progress.advance(len(chunk))
    vectors_NE = torch.cat(parts).numpy()
    with atomic.atomic_file(settings.output) as handle:
        np.save(handle, vectors_NE)
    return {"output": str(settings.output), "texts": len(texts), "width": vectors_NE.shape[1]}


def read_texts(path: Path, field: str) -> list[str]:
    """The texts of a JSONL file. Raises InputError naming the line that has none."""
    found = []
    for number, row in read_rows(path):
        if not isinstance(row.get(field), str):
            raise InputError(f"{path}:{number}: no text under {field!r}; name the key with field=")
        found.append(row[field])
    if not found:
        raise InputError(f"{path}: holds no text")
    return found


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file, or questions and answers of a conversations artifact.

    Raises InputError naming a line that is no pair, or where there are fewer than two.
    """
    found = conversation_pairs(path) if path.is_dir() else file_pairs(path)
    if len(found) < 2:
        raise InputError(f"{path}: holds {len(found)} pair(s); each is the others' negative, so two are needed")
    return found


def conversation_pairs(folder: Path) -> list[Pair]:
    """The first question of each conversation with its answer."""
    artifact.read(folder, "conversations")
    rows = [
        {message["role"]: message["content"] for message in reversed(row.messages)}
        for row in read_conversations(folder, "train")
    ]
    return [Pair(row["user"], row["assistant"], ()) for row in rows if {"user", "assistant"} <= row.keys()]


def file_pairs(path: Path) -> list[Pair]:
    """The pairs of a JSONL file."""
    found = []
    for number, row in read_rows(path):
        query, positive = row.get("query", row.get("anchor")), row.get("positive")
        wrong = row.get("negatives", row.get("negative", []))
        negatives = [wrong] if isinstance(wrong, str) else wrong
        if not isinstance(query, str) or not isinstance(positive, str):
            raise InputError(f"{path}:{number}: a pair needs the texts `query` and `positive`")
        if not isinstance(negatives, list) or not all(isinstance(text, str) for text in negatives):
            raise InputError(f"{path}:{number}: `negatives` is a list of texts")
        found.append(Pair(query, positive, tuple(negatives)))
    return found


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbered JSON objects of a file. Raises InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"{path}: {'is a folder; name one JSONL file' if path.is_dir() else 'no such file'}")
    for number, line in read_lines(path):
        yield number, parse_object(path, number, line)


def run_train(settings: TrainEmbeddingSettings) -> dict[str, Any]:
    """Make the embedding model of `settings`; a run that is cut short goes on where its last state was saved."""
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    with shared_draft(settings, {"model": settings.model, "pairs": settings.pairs}, ALONE) as draft:
        check_folder(settings.model)
        pairs = read_pairs(settings.pairs)
        model = load_embedder(settings.model, settings.pooling)
        encoder = text_encoder(model, settings.model, max_tokens=settings.max_tokens)
        course = learn(model, encoder, pairs, settings, draft.path)
        save_embedder(model, draft.path, tokenizer=settings.model, max_tokens=encoder.max_tokens)
        draft.stats |= {"objective": "embedding", "pairs": len(pairs), "pooling": model.pooling}
        losses = {"first_loss": course.first_loss, "last_loss": course.last_loss}
        draft.stats |= losses
    return {"output": str(settings.output), "pairs": len(pairs), **losses}


@dataclass
class Course:
    """How far a run has come, and its first and last loss."""

    step: int = 0
    first_loss: float = 0.0
    last_loss: float = 0.0

    def add(self, loss: float) -> None:
        """Count a step."""
        self.first_loss = self.first_loss if self.step else loss
        self.step, self.last_loss = self.step + 1, loss


def learn(
    model: Embedder, encoder: TextEncoder, pairs: Sequence[Pair], settings: TrainEmbeddingSettings, folder: Path
) -> Course:
    """All steps, those before a stop taken from the state in `folder`; first and last loss."""
    torch.manual_seed(settings.seed)
    optimizer = build_optimizer(model, learning_rate=settings.learning_rate, weight_decay=0.01, betas=(0.9, 0.95))
    size, order = min(settings.batch_size, len(pairs)), Sampler(len(pairs), settings.seed)
    states = folder / "state"
    course = taken_up(states, model, optimizer)
    saved_at = time.monotonic()
    model.train()
    with (
        StopRequest() as stop,
        MetricsLog(folder, resumed_at=course.step, tensorboard=False) as log,
        Progress("train-embedding", total=settings.steps, unit="step") as progress,
    ):
        progress.advance(course.step)
        for step in range(course.step, settings.steps):
            chosen = [pairs[order[step * size + place]] for place in range(size)]
            rate = learning_rate_at(
                step, peak=settings.learning_rate, warmup_steps=settings.steps // 20, total_steps=settings.steps
            )
            course.add(one_step(optimizer, rate, model, functools.partial(pair_loss, model, encoder, chosen, settings)))
            log.log(step + 1, loss=course.last_loss, learning_rate=rate)
            progress.advance(note=f"loss {course.last_loss:.3f}")
            if stop.asked or time.monotonic() - saved_at > settings.save_every_s:
                save_course(states, model, optimizer, course)
                saved_at = time.monotonic()
            if stop.asked:
                stop.obey(saved_at=course.step)
    shutil.rmtree(states, ignore_errors=True)
    model.eval()
    return course


def one_step(
    optimizer: torch.optim.Optimizer, rate: float, model: Embedder, loss_of: Callable[[], torch.Tensor]
) -> float:
    """Learn once; the loss."""
    set_learning_rate(optimizer, rate)
    loss = loss_of()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()


def save_course(states: Path, model: Embedder, optimizer: torch.optim.Optimizer, course: Course) -> None:
    """Everything that the next step depends on, in place of the state before."""
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    save_state(states, {**weights, **optimizer_tensors(optimizer, model), **rng_tensors()}, asdict(course))


@torch.no_grad()
def taken_up(states: Path, model: Embedder, optimizer: torch.optim.Optimizer) -> Course:
    """Put the saved state into model, optimizer and generators; a fresh course where there is none."""
    if not has_state(states):
        return Course()
    saved, facts = load_state(states)
    for name, weight in model.named_parameters():
        weight.copy_(saved.fill(name, weight))
    restore_optimizer(optimizer, model, saved)
    restore_rng(saved)
    return Course(**facts)


def pair_loss(
    model: Embedder, encoder: TextEncoder, chosen: Sequence[Pair], settings: TrainEmbeddingSettings
) -> torch.Tensor:
    """InfoNCE of a batch of pairs, hard negatives behind all positives."""
    hard = [text for pair in chosen for text in pair.negatives[: settings.negatives]]
    queries_BE = model(*encoder.rows([pair.query for pair in chosen]))
    candidates_ME = model(*encoder.rows([pair.positive for pair in chosen] + hard))
    return contrastive_loss(queries_BE, candidates_ME, temperature=settings.temperature)
