"""Progress that a person sees on stderr and a launcher reads from a file."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, TypeVar

Item = TypeVar("Item")
FILE_VARIABLE = "NEMO_PROGRESS_FILE"
UPDATE_EVERY_S = 0.5
LINE_EVERY_S = 15.0
PLAIN_FORMAT = "{desc}: {percentage:.0f}%, {n_fmt} of {total_fmt} in {elapsed}, {remaining} to go, {rate_fmt}{postfix}"
SCALED_FROM = 100_000
"""Totals that are shown as 1.50M; smaller ones stay as they are."""


class Lines:
    """A stream for logs: what tqdm draws over and over becomes lines, and the blanks that wipe it are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write a line, unless it is blank."""
        if text.strip():
            self._stream.write(f"{text.strip()}\n")

    def flush(self) -> None:
        """Hand on what was written."""
        self._stream.flush()


class Progress:
    """Counts work done: a bar on a terminal, a line every 15 s elsewhere, JSON in $NEMO_PROGRESS_FILE when it is set.

    The file holds ``{"label", "done", "total", "unit", "elapsed_s", "note"}`` and is replaced atomically twice a
    second at most. `total` None means that the end is unknown.
    """

    def __init__(self, label: str, *, total: int | None = None, unit: str = "it") -> None:
        self.label, self.total, self.unit, self.done, self.note = label, total, unit, 0, ""
        self._started = self._written = time.monotonic()
        self._file = os.environ.get(FILE_VARIABLE)
        self._bar = self._open_bar()

    def _open_bar(self) -> Any:
        from tqdm import tqdm

        terminal = sys.stderr.isatty()
        return tqdm(
            desc=self.label,
            total=self.total,
            unit=f" {self.unit}",
            unit_scale=self.total is None or self.total >= SCALED_FROM,
            file=sys.stderr if terminal else Lines(sys.stderr),
            bar_format=PLAIN_FORMAT if self.total and not terminal else None,
            mininterval=0.1 if terminal else LINE_EVERY_S,
            delay=1.0,
            dynamic_ncols=terminal,
        )

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Record `count` more units done; `note` is a short figure to show beside them, such as a loss."""
        self.done += count
        if note is not None:
            self.note = note
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(count)
        if self._file and time.monotonic() - self._written > UPDATE_EVERY_S:
            self._publish()

    def _publish(self) -> None:
        self._written = time.monotonic()
        state = {
            "label": self.label,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "elapsed_s": round(self._written - self._started, 3),
            "note": self.note,
        }
        target = Path(str(self._file))
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        draft.write_text(json.dumps(state), encoding="utf-8")
        os.replace(draft, target)

    def __enter__(self) -> "Progress":
        if self._file:
            self._publish()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        if self._file and kind is None:
            self._publish()


def track(items: Iterable[Item], label: str, *, total: int | None = None, unit: str = "it") -> Iterator[Item]:
    """Yield `items`, counting each as it is finished."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(label, total=total, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()
