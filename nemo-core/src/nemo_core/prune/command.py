"""`nemo-core prune`: measure what matters on text, cut the rest off."""

import os
from collections.abc import Iterator
from typing import Any

import torch

from ..checkpoint.folder import check_folder, copy_tokenizer, load_model, save_model
from ..data.batch import Batch
from ..data.collection import check_maker
from ..data.indexed import IndexedDataset
from ..data.windows import Windows
from ..foundation import artifact
from ..foundation.errors import ConfigError, InputError
from ..foundation.progress import track
from ..foundation.settings import to_plain
from ..model.decoder import Decoder
from .cut import check_smaller, prune
from .importance import measure_importance
from .settings import PruneSettings


def run(settings: PruneSettings) -> dict[str, Any]:
    """Make the smaller checkpoint of `settings`."""
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"model": settings.model, "tokens": settings.tokens},
        overwrite=settings.overwrite,
    ) as draft:
        model = load_model(check_folder(settings.model))
        check_smaller(model.config, settings.sizes)
        if (settings.tokens / artifact.MANIFEST).is_file():
            artifact.read(settings.tokens, "tokens")
        if (settings.tokens / "tokenizer").is_dir():
            check_maker(settings.tokens / "tokenizer", settings.model)
        small = prune(model, measure_importance(model, calibration(settings, model)), settings.sizes)
        save_model(small, draft.path)
        copy_tokenizer(settings.model, draft.path)
        draft.stats |= {"objective": "prune", "parameters": small.config.num_parameters, "sizes": settings.sizes}
    return {
        "output": str(settings.output),
        "parameters": small.config.num_parameters,
        "parameters_before": model.config.num_parameters,
    }


def calibration(settings: PruneSettings, model: Decoder) -> Iterator[Batch]:
    """Windows spread evenly over the text. Raises InputError where there is not one, or a token is unknown."""
    if settings.sequence_length > model.config.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than the {model.config.max_positions} positions of "
            f"{settings.model}; shorten it"
        )
    dataset = IndexedDataset(settings.tokens / "train")
    windows = Windows(dataset.tokens, settings.sequence_length)
    if not windows.num_whole:
        raise InputError(f"{settings.tokens}: too few tokens for one window of {settings.sequence_length}; shorten it")
    count = min(settings.windows, windows.num_whole)
    numbers = [place * windows.num_whole // count for place in range(count)]
    chunks = [numbers[at : at + settings.batch_size] for at in range(0, count, settings.batch_size)]
    for chunk in track(chunks, "calibrate"):
        batch = windows.batch(chunk)
        if int(batch.ids_BT.max()) >= model.config.vocab_size:
            raise InputError(
                f"{dataset.prefix}.bin: holds token {int(batch.ids_BT.max())}, the model of {settings.model} knows "
                f"{model.config.vocab_size}: another tokenizer made it"
            )
        yield batch
