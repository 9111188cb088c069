"""`nemo-core train-classifier` and `nemo-core train-reward`: language models that learn to score texts."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ..checkpoint.folder import check_folder, check_vocabulary, copy_tokenizer, load_model
from ..checkpoint.scoring import is_scoring_folder, load_scoring_model, save_scoring_model
from ..data.batch import Batch
from ..data.packing import PackedData
from ..data.rows import conversation_files, has_split, read_labelled, read_preferences
from ..data.sampler import Sampler
from ..foundation.errors import ConfigError, InputError
from ..model.decoder import Decoder
from ..model.scoring import ScoringModel, new_scoring_model
from ..parallel.apply import recompute_and_compile
from ..peft.adapter import add_adapter
from ..peft.merge import merge_adapters
from ..tokenizer.load import Tokenizer, load_tokenizer
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
from ..train.sft import check_positions, split_rows
from ..train.world import ALONE, World, joined_world
from .data import ScoredRows, encode_preferences, encode_texts, figures_of, packed_rows, scored_batch
from .objective import ClassLoss, PreferenceLoss, ScoringObjective, measure_scores
from .settings import ScoringSettings, TrainClassifierSettings, TrainRewardSettings

REWARD = "reward"


@dataclass(frozen=True)
class Task:
    """Names of the scores, what they are learnt from, and how."""

    labels: tuple[str, ...]
    train: ScoredRows
    held_out: ScoredRows | None
    objective: ScoringObjective


@dataclass(frozen=True)
class Run:
    """A run before its first step."""

    parts: Parts
    model: ScoringModel
    task: Task
    steps: int


Prepare = Callable[[Tokenizer, int | None, Sequence[str]], Task]


def run_classifier(settings: TrainClassifierSettings) -> TrainResult:
    """Make a classifier of texts."""
    return run(settings, settings.texts, "classifier", functools.partial(classes, settings), name="texts")


def run_reward(settings: TrainRewardSettings) -> TrainResult:
    """Make a model that scores answers as people prefer them."""
    return run(settings, settings.preferences, REWARD, functools.partial(preferences, settings), name="preferences")


def run(settings: ScoringSettings, source: Path, label: str, prepare: Prepare, *, name: str) -> TrainResult:
    """Make the checkpoint of `settings` from the data in `source`, the setting `name`."""
    inputs = {"model": settings.model, name: source}
    joined = joined_world(settings.parallel.timeout_s)
    with joined as world, shared_draft(settings, inputs, world, files=conversation_files(source)) as draft:
        ready = assemble(settings, prepare, world)
        account = train(ready.parts, make_plan(settings, label=f"train-{label}", steps=ready.steps), draft.path)
        draft.stats.update(figures(label, ready.parts.model, account))
        if world.is_first:
            draft.stats.update(figures_of(ready.task.train, ready.task.held_out), labels=list(ready.task.labels))
            write_models(settings, ready, draft.path)
    return summary(settings.output, draft.stats)


def assemble(settings: ScoringSettings, prepare: Prepare, world: World = ALONE) -> Run:
    """Model, data and the rest. Raises InputError or ConfigError where they do not fit each other."""
    only_data_parallel(settings.parallel, "scoring models")
    check_average(settings.ema, settings.method)
    compute = choose_compute(settings)
    folder = check_folder(settings.model)
    tokenizer = load_tokenizer(folder)
    former = former_model(folder, compute)
    decoder = load_model(folder, device=str(compute.device)) if former is None else former.decoder
    check_vocabulary(folder, decoder.config, tokenizer)
    check_positions(settings, decoder)
    pad = tokenizer.pad_id if decoder.config.pad_id is None else decoder.config.pad_id
    task = prepare(tokenizer, pad, () if former is None else former.labels)
    model = scoring_model(settings, former, decoder, task.labels, pad=pad)
    recompute_and_compile(decoder, settings.parallel)
    rows = packed_rows(task.train.items, capacity=settings.sequence_length)
    steps = settings.steps or math.ceil(settings.epochs * len(rows) / settings.batch_size)
    learner = cast(Decoder, model)  # the loop asks a model for its weights and config, the objective for the rest
    parts = Parts(
        model=learner,
        data=PackedData(task.train.items, rows, Sampler(len(rows), settings.seed), settings.batch_size, scored_batch),
        objective=task.objective,
        optimizer=make_optimizer(learner, settings.peak_learning_rate, settings.optimizer),
        schedule=make_schedule(settings.schedule, peak=settings.peak_learning_rate, steps=steps),
        validate=functools.partial(validate, model, task.objective, held_out(settings, task.held_out), compute),
        compute=compute,
        world=world,
        ema=Ema(learner, decay=settings.ema.decay) if settings.ema.decay else None,
        flops_per_token=model.flops_per_token,
    )
    return Run(parts, model, task, steps)


def former_model(folder: Path, compute: Compute) -> ScoringModel | None:
    """The scoring model of a folder to go on from; None where it holds a language model."""
    return load_scoring_model(folder, device=compute.device) if is_scoring_folder(folder) else None


def scoring_model(
    settings: ScoringSettings, former: ScoringModel | None, decoder: Decoder, labels: Sequence[str], *, pad: int | None
) -> ScoringModel:
    """The model to go on from, or the decoder with a new head; with the adapter that learns where one is asked for."""
    decoder.config = replace(decoder.config, pad_id=pad, tied_embeddings=True)
    model = new_scoring_model(decoder, labels, seed=settings.seed) if former is None else former
    if settings.method != "full":
        add_adapter(decoder, settings.method, settings.chosen, seed=settings.seed)
    return model


def classes(
    settings: TrainClassifierSettings, tokenizer: Tokenizer, pad: int | None, former: Sequence[str] = ()
) -> Task:
    """Texts and their classes; those of the `former` model stay what they are.

    Raises InputError where there is only one class, ConfigError where other classes are asked for than it has.
    """
    if former and settings.labels and tuple(former) != settings.labels:
        raise ConfigError(
            f"labels={list(settings.labels)}, but the scores of {settings.model} are {list(former)}; leave labels out "
            "to go on with those, or start from a language model"
        )
    read = functools.partial(read_labelled, text=settings.text, label=settings.label)
    rows, held = both_splits(settings, settings.texts, read)
    labels = tuple(former) or settings.labels or class_names({row.label for row in rows})
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise InputError(
            f"{settings.texts}: classes {', '.join(labels)}: a classifier needs at least two different ones; is "
            f"label={settings.label} the key you mean?"
        )
    encode = functools.partial(
        encode_texts, tokenizer=tokenizer, labels=labels, pad=pad, max_length=settings.sequence_length
    )
    return Task(labels, encode(rows), encode(held) if held else None, ClassLoss())


def class_names(found: set[str]) -> tuple[str, ...]:
    """Classes in order: numbers by size, then names."""
    return tuple(sorted(found, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))


def preferences(
    settings: TrainRewardSettings, tokenizer: Tokenizer, pad: int | None, former: Sequence[str] = ()
) -> Task:
    """Pairs of answers. Raises ConfigError where the model to go on from gives several scores."""
    if len(former) > 1:
        raise ConfigError(
            f"model={settings.model} is a classifier of {', '.join(former)}; a reward model has one score, so start "
            "from one or from a language model"
        )
    rows, held = both_splits(settings, settings.preferences, read_preferences)
    encode = functools.partial(encode_preferences, tokenizer=tokenizer, pad=pad, max_length=settings.sequence_length)
    return Task(
        tuple(former) or (REWARD,), encode(rows), encode(held) if held else None, PreferenceLoss(settings.center_weight)
    )


def both_splits(settings: ScoringSettings, source: Path, read: Callable[..., list[Any]]) -> tuple[list[Any], list[Any]]:
    """Rows to learn from and held-out ones."""
    rows = read(source, "train")
    if has_split(source, "validation"):
        return rows, read(source, "validation")
    return split_rows(rows, share=settings.validation_share, seed=settings.seed)


def held_out(settings: ScoringSettings, encoded: ScoredRows | None) -> list[Batch]:
    """The first held-out rows, packed into batches."""
    if encoded is None:
        return []
    size = settings.batch_size
    rows = packed_rows(encoded.items, capacity=settings.sequence_length)[: size * settings.validation_batches]
    return [
        scored_batch([[encoded.items[n] for n in row] for row in rows[at : at + size]])
        for at in range(0, len(rows), size)
    ]


def validate(
    model: ScoringModel, objective: ScoringObjective, batches: list[Batch], compute: Compute
) -> Mapping[str, float]:
    """Held-out loss and accuracy."""
    model.eval()
    with compute.precision():
        return measure_scores(model, objective, batches, device=compute.device)


def write_models(settings: ScoringSettings, ready: Run, folder: Path) -> None:
    """The model, its adapter merged, and that of the averaged weights in ema/ where they are kept."""
    if ready.parts.ema is not None:
        with ready.parts.ema.in_place():
            write_model(settings, ready.model, folder / "ema")
    merge_adapters(ready.model.decoder)
    write_model(settings, ready.model, folder)


def write_model(settings: ScoringSettings, model: ScoringModel, folder: Path) -> None:
    """A folder that transformers reads as a sequence classifier."""
    save_scoring_model(model, folder)
    copy_tokenizer(settings.model, folder)
