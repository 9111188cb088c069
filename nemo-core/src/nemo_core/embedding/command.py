"""`nemo-core embed` and `nemo-core train-embedding`."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ..checkpoint.folder import check_folder
from ..data.batch import Batch
from ..data.packing import PackedData
from ..data.sampler import Sampler
from ..foundation import artifact, atomic
from ..foundation.errors import ConfigError, InputError
from ..foundation.progress import Progress
from ..model.decoder import Decoder
from ..peft.adapter import add_adapter
from ..peft.merge import merge_adapters
from ..train.device import Compute, choose_compute
from ..train.ema import Ema
from ..train.loop import Parts, train
from ..train.session import (
    TrainResult,
    check_average,
    figures,
    make_optimizer,
    make_plan,
    make_schedule,
    only_data_parallel,
    shared_draft,
    summary,
)
from ..train.world import ALONE, World, joined_world
from .model import Embedder, TextEncoder, load_embedder, save_embedder, text_encoder
from .objective import PairLoss
from .pairs import Pair, pair_batch, read_pairs, read_rows, split_pairs
from .settings import EmbedSettings, TrainEmbeddingSettings


def run_embed(settings: EmbedSettings) -> dict[str, Any]:
    """Write one unit vector for each text, in order."""
    artifact.check_output_file(settings.output, {"texts": settings.texts}, overwrite=settings.overwrite)
    compute = choose_compute(settings)
    texts = read_texts(settings.texts, settings.field)
    model = load_embedder(settings.model, settings.pooling, device=compute.device)
    encoder = text_encoder(model, settings.model, max_tokens=settings.max_tokens)
    with Progress("embed", total=len(texts), unit="texts") as progress, torch.no_grad(), compute.precision():
        parts = []
        for start in range(0, len(texts), settings.batch_size):
            chunk = texts[start : start + settings.batch_size]
            parts.append(model(*(part.to(compute.device) for part in encoder.rows(chunk))).float().cpu())
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


def run_train(settings: TrainEmbeddingSettings) -> TrainResult:
    """Make the embedding model of `settings`."""
    inputs = {"model": settings.model, "pairs": settings.pairs}
    files = [settings.pairs] if settings.pairs.is_file() else []
    joined = joined_world(settings.parallel.timeout_s)
    with joined as world, shared_draft(settings, inputs, world, files=files) as draft:
        pairs, held = split_pairs(read_pairs(settings.pairs), share=settings.validation_share, seed=settings.seed)
        parts, encoder = assemble(settings, pairs, held, world)
        plan = replace(
            make_plan(settings, label="train-embedding", steps=steps_of(settings, pairs)), micro_batch_size=0
        )
        account = train(parts, plan, draft.path)
        model = cast(Embedder, parts.model)
        draft.stats.update(figures("embedding", parts.model, account), pooling=model.pooling)
        draft.stats.update(pairs=len(pairs), held_out_pairs=len(held))
        if world.is_first:
            write_models(settings, parts, draft.path, max_tokens=encoder.max_tokens)
    return summary(settings.output, draft.stats)


def assemble(
    settings: TrainEmbeddingSettings, pairs: Sequence[Pair], held: Sequence[Pair], world: World = ALONE
) -> tuple[Parts, TextEncoder]:
    """Model, data and the rest. Raises InputError or ConfigError where they do not fit each other."""
    only_data_parallel(settings.parallel, "embedding models")
    check_average(settings.ema, settings.method)
    size = min(settings.batch_size, len(pairs))
    if size < world.size:
        raise ConfigError(f"batch_size={settings.batch_size} of {len(pairs)} pairs is less than one for each process")
    compute = choose_compute(settings)
    model = load_embedder(check_folder(settings.model), settings.pooling, device=compute.device)
    encoder = text_encoder(model, settings.model, max_tokens=settings.sequence_length)
    check_widths(settings.widths, model.config.hidden_size)
    put_adapter(settings, model)
    collate = functools.partial(pair_batch, encoder=encoder, negatives=settings.negatives)
    loss = PairLoss(
        world,
        2 + settings.negatives,
        settings.temperature,
        settings.micro_batch_size,
        symmetric=settings.symmetric,
        widths=settings.widths,
    )
    batches = [collate([[pair] for pair in held[at : at + size]]) for at in range(0, len(held), size)]
    learner = cast(Decoder, model)  # the loop asks a model for its weights, the objective for the rest
    parts = Parts(
        model=learner,
        data=PackedData(pairs, [[n] for n in range(len(pairs))], Sampler(len(pairs), settings.seed), size, collate),
        objective=loss,
        optimizer=make_optimizer(learner, settings.peak_learning_rate, settings.optimizer),
        schedule=make_schedule(settings.schedule, peak=settings.peak_learning_rate, steps=steps_of(settings, pairs)),
        validate=functools.partial(validate, model, loss, batches[: settings.validation_batches], compute),
        compute=compute,
        world=world,
        ema=Ema(model, decay=settings.ema.decay) if settings.ema.decay else None,
        flops_per_token=model.flops_per_token,
    )
    return parts, encoder


def check_widths(widths: Sequence[int], whole: int) -> None:
    """Raise ConfigError for a width that the model's vectors do not have."""
    wide = [width for width in widths if width > whole]
    if wide:
        raise ConfigError(f"widths: {wide[0]} is more than the {whole} features of the model's vectors")


def steps_of(settings: TrainEmbeddingSettings, pairs: Sequence[Pair]) -> int:
    """Steps of a run."""
    return settings.steps or math.ceil(settings.epochs * len(pairs) / settings.batch_size)


def put_adapter(settings: TrainEmbeddingSettings, model: Embedder) -> None:
    """The adapter that learns, where one is asked for. Raises ConfigError for an encoder, which takes none."""
    if settings.method == "full":
        return
    if not isinstance(model.body, Decoder):
        raise ConfigError(f"method={settings.method}: {settings.model} is an encoder; adapters go on decoders only")
    add_adapter(model.body, settings.method, settings.chosen, seed=settings.seed)


@torch.no_grad()
def validate(model: Embedder, loss: PairLoss, batches: Sequence[Batch], compute: Compute) -> Mapping[str, float]:
    """Mean loss of held-out queries, and the share of them that is nearest to its own positive."""
    model.eval()
    alone = replace(loss, world=ALONE, at_once=0)  # every process measures all of them
    with compute.precision():
        judged = [alone.judged(model, batch.to(compute.device)) for batch in batches]
    count = sum(batch.num_targets for batch in batches)
    if not count:
        return {}
    total, right = (sum(float(part) for part in parts) for parts in zip(*judged, strict=True))
    return {"validation_loss": total / count, "validation_accuracy": right / count}


def write_models(settings: TrainEmbeddingSettings, parts: Parts, folder: Path, *, max_tokens: int) -> None:
    """The model, its adapter merged, and that of the averaged weights in ema/ where they are kept."""
    model = cast(Embedder, parts.model)
    if parts.ema is not None:
        with parts.ema.in_place():
            save_embedder(model, folder / "ema", tokenizer=settings.model, max_tokens=max_tokens)
    merge_adapters(model.body)
    save_embedder(model.eval(), folder, tokenizer=settings.model, max_tokens=max_tokens)
