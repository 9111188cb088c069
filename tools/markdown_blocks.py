"""The fenced code blocks of a Markdown file, and how to run them as a reader would: in order, in one empty folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<info>[^`]*)$")
RUNNABLE = ("bash", "python")
SESSION_COMMAND = re.compile(r"^\s*(?:python3 dev\.py|nox -s)\s+(?P<session>[\w()-]+)")
BLOCK_LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block: the words after its fence, its text, and the line its text starts on."""

    info: tuple[str, ...]
    text: str
    line: int

    @property
    def language(self) -> str:
        """The first word after the fence; "" where there is none."""
        return self.info[0] if self.info else ""

    @property
    def runs(self) -> bool:
        """Whether a reader would run it: bash or python, and not marked no-run."""
        return self.language in RUNNABLE and "no-run" not in self.info


def blocks(markdown: str) -> Iterator[Block]:
    """Every fenced block of `markdown`, in order. Raises ValueError where a fence is never closed."""
    opened: tuple[str, tuple[str, ...], int] | None = None
    text: list[str] = []
    for number, line in enumerate(markdown.splitlines(), 1):
        matched = FENCE.match(line)
        if opened is None and matched:
            opened, text = (matched["fence"], tuple(matched["info"].split()), number + 1), []
        elif opened and line.strip() == opened[0]:
            yield Block(info=opened[1], text="\n".join(text) + "\n", line=opened[2])
            opened = None
        elif opened:
            text.append(line)
    if opened:
        raise ValueError(f"the code block that starts on line {opened[2] - 1} is never closed")


def session_names(text: str) -> list[str]:
    """Sessions that a bash block starts through dev.py or nox."""
    return [matched["session"] for line in text.splitlines() if (matched := SESSION_COMMAND.match(line))]


def script(block: Block) -> str:
    """What is run of a block: all of it, but commands that would start a session inside a session."""
    if block.language == "python":
        return block.text
    return "".join(line + "\n" for line in block.text.splitlines() if not SESSION_COMMAND.match(line))


def run(block: Block, folder: Path) -> None:
    """Run a block in `folder`, this environment first on PATH. Raises CalledProcessError or TimeoutExpired."""
    words = {
        "bash": ["bash", "-euo", "pipefail", "-c", script(block)],
        "python": [sys.executable, "-c", script(block)],
    }[block.language]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PATH": path},
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BLOCK_LIMIT_S,
    )
