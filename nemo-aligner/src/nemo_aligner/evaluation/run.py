"""The command ``evaluate``: several models side by side on the same held-out data."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.checkpoint.folder import check_folder
from nemo_core.foundation import artifact, atomic
from nemo_core.foundation.progress import track
from nemo_core.foundation.settings import to_plain

from ..rewards.mixture import Mixture
from ..settings.evaluate import EvaluateSettings
from .data import load_data
from .measure import measure_model
from .table import table


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """What the command prints: the metrics of each model by name."""

    output: Path
    models: dict[str, dict[str, float]]


def run(settings: EvaluateSettings) -> EvaluationResult:
    """Measure every model and write an evaluation artifact with ``results.json``."""
    Mixture(settings.rewards)
    for folder in settings.models.values():
        check_folder(folder)
    data = load_data(settings)
    with artifact.create(
        settings.output,
        kind="evaluation",
        package="nemo-aligner",
        config=to_plain(settings),
        inputs=inputs_of(settings),
        overwrite=settings.overwrite,
    ) as draft:
        results: dict[str, Any] = {
            name: measure_model(folder, data, settings)
            for name, folder in track(settings.models.items(), "evaluate", unit="models")
        }
        atomic.write_text(draft.path / "results.json", json.dumps({"models": results}, indent=1, ensure_ascii=False))
        figures = {
            name: {metric: found["value"] for metric, found in result["metrics"].items()}
            for name, result in results.items()
        }
        draft.stats |= {"models": figures, "skipped": data.skipped}
    print(table(results), file=sys.stderr)
    return EvaluationResult(output=settings.output, models=figures)


def inputs_of(settings: EvaluateSettings) -> dict[str, Path]:
    """Everything the figures depend on, by settings key."""
    inputs = {f"models.{name}": folder for name, folder in settings.models.items()}
    inputs["conversations"] = settings.conversations
    for name, path in (("preferences", settings.preferences), ("tokens", settings.tokens)):
        if path is not None:
            inputs[name] = path
    return inputs
