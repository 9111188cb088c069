"""`nemo-core verify`: trace each implementation on the same random tokens and compare."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint.folder import check_folder, load_config
from ..foundation.backend import Backend, load_backend
from ..foundation.command import emit
from ..foundation.errors import ConfigError, MissingBackend
from ..train.device import num_cores
from . import native
from .settings import VerifySettings
from .trace import Difference, Disagreement, Trace, compare

IMPLEMENTATIONS = {
    "megatron": Backend(module="nemo_core.verify.megatron", extra="megatron"),
    "transformers": Backend(module="nemo_core.verify.transformers", extra="hf"),
}


def run(settings: VerifySettings) -> None:
    """Print the differences. Raises Disagreement where one is above the tolerance, or where nothing was compared."""
    torch.set_num_threads(settings.threads or num_cores())
    folder = check_folder(settings.model)
    ids_BT = random_tokens(folder, settings)
    expected = native.trace(folder, ids_BT)
    found: dict[str, Difference | str] = {
        name: difference(name, folder, ids_BT, expected, settings.tolerance) for name in settings.against
    }
    emit(
        {
            "model": str(folder),
            "tokens": list(ids_BT.shape),
            "tolerance": settings.tolerance,
            **{name: described(outcome) for name, outcome in found.items()},
        }
    )
    judge(found, settings.tolerance)


def random_tokens(folder: Path, settings: VerifySettings) -> Tensor:
    """Tokens all over the vocabulary, [B,T]."""
    config = load_config(folder)
    draw = torch.Generator().manual_seed(settings.seed)
    shape = settings.rows, min(settings.length, config.max_positions)
    return torch.randint(config.vocab_size, shape, generator=draw)


def difference(name: str, folder: Path, ids_BT: Tensor, native_trace: Trace, tolerance: float) -> Difference | str:
    """How far an implementation is from the native one, or why it cannot say."""
    try:
        backend = load_backend("implementation", name, IMPLEMENTATIONS, package="nemo-core")
        return compare(native_trace, backend.trace(folder, ids_BT), tolerance=tolerance)
    except (MissingBackend, ConfigError) as error:
        return str(error)


def described(outcome: Difference | str) -> dict[str, Any]:
    """What is printed of an implementation."""
    if isinstance(outcome, str):
        return {"skipped": outcome}
    return {"logits": outcome.logits, "first_difference": outcome.first, "stages": outcome.stages}


def judge(found: dict[str, Difference | str], tolerance: float) -> None:
    """Raise Disagreement unless something was compared and all of it agrees."""
    compared = {name: outcome for name, outcome in found.items() if isinstance(outcome, Difference)}
    if not compared:
        raise Disagreement("nothing was compared: " + "; ".join(f"{name}: {why}" for name, why in found.items()))
    apart = [
        f"{name} differs from native by {outcome.logits:.3g} in the logits, first at {outcome.first}"
        for name, outcome in compared.items()
        if outcome.first is not None
    ]
    if apart:
        raise Disagreement(f"{'; '.join(apart)} (tolerance {tolerance:g})")
