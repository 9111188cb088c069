"""The command ``selftest``: learn the toy tasks and compare what came out with what must come out."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.foundation.errors import SuiteError
from nemo_core.train.metrics import read_metrics
from nemo_core.train.settings import ScheduleSettings

from ..loops import align
from ..settings.dpo import DpoSettings
from ..settings.grpo import GrpoSettings
from ..settings.reward import RewardUse
from .settings import SelftestSettings
from .toys import ANSWER_TOKENS, Toys, make_toys

CONSTANT = ScheduleSettings(kind="constant", warmup_share=0.0)


class SelftestFailed(SuiteError):
    """A toy task was not learnt: alignment does not work in this installation."""


@dataclass(frozen=True)
class Check:
    """A figure and the line it must reach."""

    name: str
    value: float
    passes: bool
    line: str


def run(settings: SelftestSettings) -> dict[str, Any]:
    """Learn each task. Raises SelftestFailed naming the figures that miss their line."""
    with workplace(settings.folder) as folder:
        toys = make_toys(folder, seed=settings.seed)
        checks = [*sort_digits(toys, folder / "dpo", settings), *repeat_digit(toys, folder / "grpo", settings)]
    for check in checks:
        print(f"{'ok  ' if check.passes else 'FAIL'}  {check.name} {check.value:.4f} ({check.line})", file=sys.stderr)
    missed = [f"{check.name} is {check.value:.4f}, not {check.line}" for check in checks if not check.passes]
    if missed:
        raise SelftestFailed("; ".join(missed))
    return {check.name: check.value for check in checks}


@contextlib.contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """The folder that was asked for, or one that is thrown away."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="nemo-aligner-selftest-") as name:
        yield Path(name)


def sort_digits(toys: Toys, output: Path, settings: SelftestSettings) -> list[Check]:
    """DPO: prefer digits in order."""
    result = align.dpo(
        DpoSettings(
            model=toys.model,
            preferences=toys.digits_to_sort,
            output=output,
            steps=150,
            batch_size=16,
            learning_rate=1e-3,
            seed=settings.seed,
            cluster=settings.cluster,
        )
    )
    first = next(read_metrics(output / "metrics.jsonl"))["loss"]
    return [
        Check("dpo first loss", first, abs(first - 0.6931) <= 0.001, "0.6931 +- 0.001, ln 2"),
        at_least("dpo held-out accuracy", result.after["reward_accuracy"], 0.97),
        at_least("dpo held-out margin", result.after["margin"], 2.0),
    ]


def repeat_digit(toys: Toys, output: Path, settings: SelftestSettings) -> list[Check]:
    """GRPO: answer with the digit that was asked for, again and again."""
    result = align.grpo(
        GrpoSettings(
            model=toys.model,
            conversations=toys.digits_to_repeat,
            output=output,
            steps=150,
            learning_rate=2e-3,
            schedule=CONSTANT,
            kl_beta=0.0,
            temperature=1.0,
            max_tokens=ANSWER_TOKENS,
            rewards=(RewardUse(use="nemo_aligner.selftest.toys:repeats_digit"),),
            seed=settings.seed,
            cluster=settings.cluster,
        )
    )
    rewards = [row["reward"] for row in read_metrics(output / "metrics.jsonl")]
    gaps = [row["logp_gap_max"] for row in read_metrics(output / "metrics.jsonl")]
    return [
        at_least("grpo mean reward of the last 10 steps", sum(rewards[-10:]) / 10, 0.85),
        at_least("grpo held-out reward", result.after["reward"], 0.95),
        Check("grpo generator-trainer gap", max(gaps), max(gaps) < 1e-4, "below 0.0001 nats"),
    ]


def at_least(name: str, value: float, line: float) -> Check:
    """A figure that must not be below `line`."""
    return Check(name, value, value >= line, f"at least {line}")
