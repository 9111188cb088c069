"""What the demo stages do; every one works on real artifacts."""

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from nemo_launcher.foundation import artifact
from nemo_launcher.foundation.errors import UserError
from nemo_launcher.foundation.progress import track
from nemo_launcher.foundation.settings import to_plain


@dataclass(frozen=True, kw_only=True)
class Write:
    output: Path
    overwrite: bool = False
    text: str = "hello"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Join:
    output: Path
    overwrite: bool = False
    parts: dict[str, Path] | list[Path]
    model: Path | None = None
    separator: str = " "


@dataclass(frozen=True, kw_only=True)
class Slow:
    output: Path
    overwrite: bool = False
    input: Path | None = None
    steps: Annotated[int, Meta(ge=1)] = 10
    step_s: float = 0.1
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Fail:
    output: Path
    overwrite: bool = False
    input: Path | None = None
    code: int = 1
    times: int = 1000
    counter: Path
    after_writing: bool = False


@dataclass(frozen=True, kw_only=True)
class Look:
    output: Path
    overwrite: bool = False
    input: Path
    seen: Path


def create(settings: Any, inputs: dict[str, Path]) -> Any:
    return artifact.create(
        settings.output,
        kind="documents",
        package="nemo-launcher",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
    )


def write(settings: Write) -> None:
    with create(settings, {}) as draft:
        (draft.path / "text.txt").write_text(settings.text)
        draft.stats["letters"] = len(settings.text)


def join(settings: Join) -> None:
    parts = settings.parts if isinstance(settings.parts, dict) else dict(enumerate(settings.parts))
    inputs = {f"parts.{name}": path for name, path in parts.items()}
    with create(settings, inputs) as draft:
        texts = [(path / "text.txt").read_text() for path in parts.values()]
        (draft.path / "text.txt").write_text(settings.separator.join(texts))
        draft.stats.update(words_in=len(texts), words_out=1)


def slow(settings: Slow) -> None:
    """Each step makes one file; a resumed run makes only those that are missing."""
    with create(settings, {"input": settings.input} if settings.input else {}) as draft:
        (draft.path / "logs").mkdir(exist_ok=True)
        for step in track(range(settings.steps), "slow", unit="step"):
            target = draft.path / f"step-{step:03d}.txt"
            if target.exists():
                continue
            time.sleep(settings.step_s)
            artifact.atomic.write_text(target, f"{settings.seed} {step}\n")
            with open(draft.path / "logs" / "executed.log", "a") as log:
                log.write(f"{step} {os.getpid()}\n")


def fail(settings: Fail) -> None:
    """Fail the first `times` times, with an exit code, or a signal where `code` is negative."""
    settings.counter.parent.mkdir(parents=True, exist_ok=True)
    with open(settings.counter, "a") as counter:
        counter.write("x")
    if not settings.after_writing:
        perhaps_end(settings)
    with create(settings, {}) as draft:
        (draft.path / "text.txt").write_text("fine at last")
    perhaps_end(settings)


def perhaps_end(settings: Fail) -> None:
    if len(settings.counter.read_text()) > settings.times:
        return
    if settings.code < 0:
        os.kill(os.getpid(), signal.Signals(-settings.code))
    if settings.code == 2:
        raise UserError("the moon is in the wrong phase")
    sys.exit(settings.code)


def look(settings: Look) -> None:
    """Makes nothing but a note outside."""
    artifact.read(settings.input, "documents")
    with open(settings.seen, "a") as seen:
        seen.write("seen\n")
