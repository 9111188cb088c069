"""`nemo-core embed` and `nemo-core train-embedding`."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..checkpoint.folder import check_folder
from ..data.documents import parse_object, read_lines
from ..data.rows import read_conversations
from ..data.sampler import Sampler
from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..train.metrics import MetricsLog
from ..train.optimizer import build_optimizer, set_learning_rate
from ..train.schedule import learning_rate_at
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
        raise InputError(f"{path}: no such file")
    for number, line in read_lines(path):
        yield number, parse_object(path, number, line)


def run_train(settings: TrainEmbeddingSettings) -> dict[str, Any]:
    """Make the embedding model of `settings`; a run that is cut short starts again."""
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"model": settings.model, "pairs": settings.pairs},
        overwrite=settings.overwrite,
    ) as draft:
        check_folder(settings.model)
        pairs = read_pairs(settings.pairs)
        model = load_embedder(settings.model, settings.pooling)
        encoder = text_encoder(model, settings.model, max_tokens=settings.max_tokens)
        losses = learn(model, encoder, pairs, settings, draft.path)
        save_embedder(model, draft.path, tokenizer=settings.model, max_tokens=encoder.max_tokens)
        draft.stats |= {"objective": "embedding", "pairs": len(pairs), "pooling": model.pooling}
        draft.stats |= {"first_loss": losses[0], "last_loss": losses[-1]}
    return {"output": str(settings.output), "pairs": len(pairs), "first_loss": losses[0], "last_loss": losses[-1]}


def learn(
    model: Embedder, encoder: TextEncoder, pairs: Sequence[Pair], settings: TrainEmbeddingSettings, folder: Path
) -> list[float]:
    """The loss of every step."""
    torch.manual_seed(settings.seed)
    optimizer = build_optimizer(model, learning_rate=settings.learning_rate, weight_decay=0.01, betas=(0.9, 0.95))
    size, order = min(settings.batch_size, len(pairs)), Sampler(len(pairs), settings.seed)
    losses: list[float] = []
    log = MetricsLog(folder, tensorboard=False)
    model.train()
    with Progress("train-embedding", total=settings.steps, unit="step") as progress:
        for step in range(settings.steps):
            rate = learning_rate_at(
                step, peak=settings.learning_rate, warmup_steps=settings.steps // 20, total_steps=settings.steps
            )
            set_learning_rate(optimizer, rate)
            chosen = [pairs[order[step * size + place]] for place in range(size)]
            loss = pair_loss(model, encoder, chosen, settings)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            log.log(step + 1, loss=losses[-1], learning_rate=rate)
            progress.advance(note=f"loss {losses[-1]:.3f}")
    log.close()
    model.eval()
    return losses


def pair_loss(
    model: Embedder, encoder: TextEncoder, chosen: Sequence[Pair], settings: TrainEmbeddingSettings
) -> torch.Tensor:
    """InfoNCE of a batch of pairs, hard negatives behind all positives."""
    hard = [text for pair in chosen for text in pair.negatives[: settings.negatives]]
    queries_BE = model(*encoder.rows([pair.query for pair in chosen]))
    candidates_ME = model(*encoder.rows([pair.positive for pair in chosen] + hard))
    return contrastive_loss(queries_BE, candidates_ME, temperature=settings.temperature)
