"""`nemo-core pretrain`: a language model from the tokens of many documents."""

import dataclasses
import functools
from collections.abc import Mapping

from ..checkpoint.folder import copy_tokenizer, save_model
from ..config import ModelConfig
from ..data.batch import Batch
from ..data.indexed import IndexedDataset
from ..data.sampler import Sampler
from ..data.windows import PretrainData, Windows
from ..foundation import artifact
from ..foundation.errors import ConfigError, InputError
from ..model.decoder import Decoder
from ..parallel.apply import parallelize
from ..parallel.model import ParallelModel
from ..sizes import model_config
from ..tokenizer.load import Tokenizer, load_tokenizer
from .device import Compute, choose_compute
from .loop import Parts, train
from .measure import measure
from .objective import next_token_loss
from .session import TrainResult, figures, make_optimizer, make_plan, make_schedule, shared_draft, summary
from .settings import PretrainSettings
from .world import ALONE, World, joined_world

DEFAULT_POSITIONS = 1024


def run(settings: PretrainSettings) -> TrainResult:
    """Make the checkpoint of `settings`."""
    inputs = {"tokens": settings.tokens}
    with joined_world(settings.parallel.timeout_s) as world, shared_draft(settings, inputs, world) as draft:
        parts = assemble(settings, world)
        account = train(parts, make_plan(settings, label="pretrain", steps=settings.steps), draft.path)
        model = parts.laid_out.whole()
        if model is not None:
            save_model(model, draft.path)
            copy_tokenizer(settings.tokens / "tokenizer", draft.path)
        draft.stats.update(figures("pretrain", parts.model, account))
    return summary(settings.output, draft.stats)


def assemble(settings: PretrainSettings, world: World = ALONE) -> Parts:
    """Everything a run of `settings` consists of, before its first step.

    Raises InputError where there are too few tokens or a token is outside the vocabulary, ConfigError where the
    sequence is longer than the model's positions.
    """
    if (settings.tokens / artifact.MANIFEST).is_file():
        artifact.read(settings.tokens, "tokens")
    compute = choose_compute(settings)
    tokenizer = load_tokenizer(settings.tokens / "tokenizer")
    config = shape(settings, tokenizer)
    learnt = open_windows(settings, "train", tokenizer)
    model = Decoder(config, seed=settings.seed).to(compute.device)
    parallel = parallelize(model, settings.parallel, world, compute)
    return Parts(
        model=model,
        data=PretrainData(learnt, Sampler(learnt.num_whole, settings.seed), settings.batch_size),
        objective=next_token_loss,
        optimizer=make_optimizer(model, settings.learning_rate, settings.optimizer),
        schedule=make_schedule(settings.schedule, peak=settings.learning_rate, steps=settings.steps),
        validate=functools.partial(validate, parallel, held_out(settings, tokenizer), compute),
        compute=compute,
        world=parallel.world,
        parallel=parallel,
    )


def shape(settings: PretrainSettings, tokenizer: Tokenizer) -> ModelConfig:
    """The model config: that of the size, with what `model.*` sets instead."""
    chosen = {name: value for name, value in dataclasses.asdict(settings.model).items() if value is not None}
    eos_id = tokenizer.eos_id
    if eos_id is None:
        raise InputError(f"{settings.tokens / 'tokenizer'}: names no eos_token; documents need one between them")
    config = model_config(
        settings.size,
        vocab_size=tokenizer.vocab_size,
        max_positions=max(DEFAULT_POSITIONS, settings.sequence_length),
        eos_id=eos_id,
        pad_id=eos_id if tokenizer.pad_id is None else tokenizer.pad_id,
    )
    config = dataclasses.replace(config, **chosen)
    if settings.sequence_length > config.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than model.max_positions={config.max_positions}"
        )
    return config


def open_windows(settings: PretrainSettings, split: str, tokenizer: Tokenizer) -> Windows:
    """The windows of a split. Raises InputError where there are too few tokens, or one the tokenizer does not know."""
    dataset = IndexedDataset(settings.tokens / split)
    separator = tokenizer.eos_id if settings.separate_documents else None
    windows = Windows(dataset.tokens, settings.sequence_length, separator)
    if split == "train" and not windows.num_whole:
        raise InputError(
            f"{settings.tokens}: {len(dataset.tokens)} tokens do not fill one window of sequence_length="
            f"{settings.sequence_length} and its next token; shorten it or give more documents"
        )
    check_vocabulary(dataset, tokenizer)
    return windows


def check_vocabulary(dataset: IndexedDataset, tokenizer: Tokenizer) -> None:
    """Raise InputError where a token has no place in the tokenizer."""
    highest = max(
        (int(dataset.tokens[at : at + 2**22].max()) for at in range(0, len(dataset.tokens), 2**22)), default=0
    )
    if highest >= tokenizer.vocab_size:
        raise InputError(
            f"{dataset.prefix}.bin: holds token {highest}, but its tokenizer has {tokenizer.vocab_size} tokens: "
            "another tokenizer made it; tokenize the documents again"
        )


def held_out(settings: PretrainSettings, tokenizer: Tokenizer) -> list[Batch]:
    """The first held-out windows, as batches; none where the dataset keeps no validation split."""
    if not (settings.tokens / "validation.idx").is_file():
        return []
    windows = open_windows(settings, "validation", tokenizer)
    count = min(len(windows), settings.validation_batches * settings.batch_size)
    numbers = list(range(count))
    return [windows.batch(numbers[at : at + settings.batch_size]) for at in range(0, count, settings.batch_size)]


def validate(parallel: ParallelModel, batches: list[Batch], compute: Compute) -> Mapping[str, float]:
    """Held-out loss and perplexity, or nothing where nothing is held out."""
    if not batches:
        return {}
    with parallel.measuring() as model, compute.precision():
        model.eval()
        measured = measure(model, batches, device=compute.device)
    return {"validation_loss": measured.loss, "validation_perplexity": measured.perplexity}
