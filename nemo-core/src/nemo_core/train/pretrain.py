"""`nemo-core pretrain`: a language model from the tokens of many documents, from scratch or from another model."""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path

import torch

from ..checkpoint.folder import check_folder
from ..config import ModelConfig
from ..data.batch import Batch
from ..data.batch_size import BatchSizes
from ..data.collection import Collection, check_maker, open_collection, open_windows, same_tokenizer
from ..data.indexed import index_path
from ..data.windows import PretrainData, pretrain_data
from ..foundation.errors import ConfigError, InputError
from ..model.decoder import Decoder
from ..parallel.model import ParallelModel
from ..parallel.settings import ParallelSettings
from ..sizes import model_config
from ..tokenizer.load import Tokenizer, load_tokenizer
from .balance import balanced
from .device import Compute, choose_compute
from .implementation import lay_out, new_model, outline_or_model, process_groups
from .loop import Parts, train
from .measure import measure
from .objective import next_token_loss
from .session import (
    TrainResult,
    figures,
    make_ema,
    make_optimizer,
    make_plan,
    make_schedule,
    save_models,
    shared_draft,
    summary,
)
from .settings import DataSource, ModelShape, PretrainSettings
from .take_up import beginning_of
from .world import ALONE, World, joined_world

DEFAULT_POSITIONS = 1024


def run(settings: PretrainSettings) -> TrainResult:
    """Make the checkpoint of `settings`."""
    collections = open_collections(settings)
    files = [path for collection in collections for path in collection.files]
    inputs = inputs_of(settings)
    with (
        joined_world(settings.parallel.timeout_s) as world,
        shared_draft(settings, inputs, world, files=files) as draft,
        process_groups(settings),
    ):
        parts = assemble(settings, world)
        account = train(parts, make_plan(settings, label="pretrain", steps=settings.steps), draft.path)
        save_models(parts, draft.path, tokenizer=collections[0].tokenizer)
        draft.stats.update(figures("pretrain", parts.model, account))
    return summary(settings.output, draft.stats)


def sources_of(settings: PretrainSettings) -> tuple[DataSource, ...]:
    """What the run learns from: `tokens` alone, or the blend in `data`. Raises ConfigError unless it is one of them."""
    if (settings.tokens is None) == (not settings.data):
        problem = "both tokens=... and data=[...] are given" if settings.data else "nothing to learn from"
        raise ConfigError(f"{problem}; give tokens=FOLDER, or a blend: data=[{{tokens: FOLDER, weight: 0.7}}, ...]")
    return settings.data or (DataSource(tokens=str(settings.tokens), weight=1),)


def inputs_of(settings: PretrainSettings) -> dict[str, Path]:
    """Input folders by the setting that names them."""
    named = {"tokens": settings.tokens, "continue_from": settings.continue_from}
    blended = {f"data.{number}": Path(source.tokens) for number, source in enumerate(settings.data)}
    return {name: path for name, path in named.items() if path is not None} | blended


def open_collections(settings: PretrainSettings) -> list[Collection]:
    """The collections to learn from. Raises InputError where they were made with different tokenizers."""
    collections = [
        open_collection(Path(source.tokens).expanduser(), tokenizer=settings.tokenizer)
        for source in sources_of(settings)
    ]
    for other in collections[1:]:
        if not same_tokenizer(collections[0].tokenizer, other.tokenizer):
            raise InputError(
                f"{other.tokenizer}: not the tokenizer of {collections[0].name}, so one model cannot learn from both; "
                "tokenize all documents with one tokenizer"
            )
    return collections


def assemble(settings: PretrainSettings, world: World = ALONE) -> Parts:
    """Everything a run of `settings` consists of, before its first step.

    Raises InputError where there are too few tokens or a token is outside the vocabulary, ConfigError where the
    sequence is longer than the model's positions.
    """
    compute = choose_compute(settings)
    collections = open_collections(settings)
    tokenizer = load_tokenizer(collections[0].tokenizer)
    model = first_model(settings, tokenizer, collections[0], world=world, device=compute.device)
    data = training_data(settings, collections, tokenizer)
    held = held_out(settings, tokenizer)
    parallel = lay_out(settings, model, world=world, compute=compute)
    return Parts(
        model=parallel.model,
        data=data,
        objective=balanced(next_token_loss, model.config, settings.experts, settings.parallel),
        optimizer=parallel.own_optimizer or make_optimizer(parallel.model, settings.learning_rate, settings.optimizer),
        schedule=make_schedule(settings.schedule, peak=settings.learning_rate, steps=settings.steps),
        validate=functools.partial(validate, parallel, held, compute),
        compute=compute,
        world=parallel.world,
        ema=make_ema(parallel, settings.ema),
        parallel=parallel,
        beginning=beginning_of(settings, parallel.model.config),
    )


def training_data(settings: PretrainSettings, collections: list[Collection], tokenizer: Tokenizer) -> PretrainData:
    """The blended stream of windows. Raises InputError where a collection does not fill one window."""
    separator = tokenizer.eos_id if settings.separate_documents else None
    names = [collection.name for collection in collections]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"data names {twice} twice; give one entry with the sum of the weights")
    windows = {
        collection.name: open_windows(
            collection.train, length=settings.sequence_length, separator=separator, vocab_size=tokenizer.vocab_size
        )
        for collection in collections
    }
    for name, found in windows.items():
        if not found.num_whole:
            raise InputError(
                f"{name}: {len(found.tokens)} tokens do not fill one window of sequence_length="
                f"{settings.sequence_length} and its next token; shorten it or give more documents"
            )
    weights = {name: source.weight for name, source in zip(windows, sources_of(settings), strict=True)}
    sizes = BatchSizes(settings.batch_size, settings.ramp_up)
    return pretrain_data(windows, weights, seed=settings.seed, sizes=sizes)


def first_model(
    settings: PretrainSettings, tokenizer: Tokenizer, collection: Collection, *, world: World, device: torch.device
) -> Decoder:
    """A model with random weights, or that of `continue_from`, whose tokenizer must have made the tokens."""
    folder = settings.continue_from
    if folder is None:
        return new_model(settings, shape(settings, tokenizer), world=world, device=device)
    check_folder(folder)
    check_maker(collection.tokenizer, folder)
    if settings.model != ModelShape():
        raise ConfigError("model.* shapes a new model; with continue_from=... the model has its shape already")
    model = outline_or_model(settings, folder, world=world, device=device)
    check_length(settings, model.config)
    return model


def check_length(settings: PretrainSettings, config: ModelConfig) -> None:
    """Raise ConfigError where rows are longer than the model's positions."""
    if settings.sequence_length > config.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than model.max_positions={config.max_positions}"
        )


def shape(settings: PretrainSettings, tokenizer: Tokenizer) -> ModelConfig:
    """The model config: that of the size, with what `model.*` sets instead."""
    chosen = {name: value for name, value in dataclasses.asdict(settings.model).items() if value is not None}
    eos_id = tokenizer.eos_id
    if eos_id is None:
        raise InputError("the tokenizer of the tokens names no eos_token; documents need one between them")
    config = model_config(
        settings.size,
        vocab_size=tokenizer.vocab_size,
        max_positions=max(DEFAULT_POSITIONS, settings.sequence_length),
        eos_id=eos_id,
        pad_id=eos_id if tokenizer.pad_id is None else tokenizer.pad_id,
    )
    config = dataclasses.replace(config, **chosen)
    check_length(settings, config)
    check_memory(config, settings.parallel)
    return config


def check_memory(config: ModelConfig, parallel: ParallelSettings) -> None:
    """Raise ConfigError where the first weights alone of the processes started here are more than the machine holds."""
    shares, here = parallel.fsdp * parallel.tensor * parallel.pipeline, int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    needed = 4 * config.num_parameters // shares * here
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        where = f" in {here} processes" if here > 1 else ""
        raise ConfigError(
            f"a model of {config.num_parameters:,} parameters takes {needed / 2**30:.1f} GiB for its weights alone"
            f"{where}, this machine has {there / 2**30:.1f} GiB; choose a smaller size or model.*, or share it out "
            "over more machines with parallel.fsdp"
        )


def held_out(settings: PretrainSettings, tokenizer: Tokenizer) -> list[Batch]:
    """The first held-out windows of each collection, as batches; none where nothing is held out."""
    prefixes = [collection.validation for collection in open_collections(settings)]
    if settings.validation is not None:
        chosen = settings.validation
        prefixes = [chosen if index_path(chosen).is_file() else chosen / "validation"]
    return [batch for prefix in prefixes if prefix is not None for batch in first_batches(settings, prefix, tokenizer)]


def first_batches(settings: PretrainSettings, prefix: Path, tokenizer: Tokenizer) -> list[Batch]:
    """The first windows of a held-out dataset."""
    separator = tokenizer.eos_id if settings.separate_documents else None
    windows = open_windows(
        prefix, length=settings.sequence_length, separator=separator, vocab_size=tokenizer.vocab_size
    )
    count = min(len(windows), settings.validation_batches * settings.batch_size)
    numbers = range(count)
    return [windows.batch(numbers[at : at + settings.batch_size]) for at in range(0, count, settings.batch_size)]


def validate(parallel: ParallelModel, batches: list[Batch], compute: Compute) -> Mapping[str, float]:
    """Held-out loss and perplexity, or nothing where nothing is held out."""
    if not batches:
        return {}
    with parallel.measuring() as model, compute.precision():
        model.eval()
        measured = measure(model, batches, device=compute.device)
    return {"validation_loss": measured.loss, "validation_perplexity": measured.perplexity}
