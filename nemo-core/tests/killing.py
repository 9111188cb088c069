"""Runs a command whole, then in forks of itself that are killed while they write, until it is finished again.

Called as ``python killing.py '[words, output, seed, kills]'``; prints what happened as JSON.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

import torch

from nemo_core.cli import PROGRAM, main
from nemo_core.foundation.command import resolve

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
WRITING = os.O_WRONLY | os.O_CREAT | os.O_RDWR


def die_at(number: int, below: Path) -> None:
    """Kill this process at its n-th change of a file below a folder."""
    left = [number]

    def hook(event: str, values: tuple[object, ...]) -> None:
        opened = event == "open" and isinstance(values[2], int) and values[2] & WRITING
        if (opened or event in CHANGES) and isinstance(values[0], str | bytes | os.PathLike):
            left[0] -= os.path.abspath(os.fsdecode(values[0])).startswith(str(below))
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def attempt(words: list[str], output: Path, *, change: int = 0) -> int:
    """The exit code of the command in a fork, which dies at a change of a file where one is given."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(output.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        if change:
            die_at(change, output.parent.resolve())
        os._exit(main([*words, f"output={output}"]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def content(output: Path) -> dict[str, str]:
    """SHA-256 of every file, of a manifest its digest, of metrics the losses; states hold times, and are left out."""
    found = {}
    for path in [output] if output.is_file() else sorted(p for p in output.rglob("*") if p.is_file()):
        name, data = path.relative_to(output).as_posix(), path.read_bytes()
        if name.startswith(("state/", "tensorboard/")) or name == ".partial.json":
            continue
        if path.name == "manifest.json":
            data = json.loads(data)["digest"].encode()
        if path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in data.splitlines()]
            data = json.dumps([[row["step"], row.get("loss")] for row in rows]).encode()
        found[name] = hashlib.sha256(data).hexdigest()
    return found


def remove(output: Path) -> None:
    """Remove the output and whatever lies beside it under its name."""
    for path in output.parent.glob(f"*{output.name}*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def finished(output: Path) -> bool:
    """Whether the output has its name."""
    return output.is_file() or (output / "manifest.json").is_file()


def farthest_change(words: list[str], output: Path) -> int:
    """A power of two that a whole run's changes of files do not reach."""
    change = 8
    while attempt(words, output, change=change):
        remove(output)
        change *= 2
    remove(output)
    return change


def course(words: list[str], output: Path, *, seed: int, kills: int) -> dict[str, object]:
    """Kill until enough are done; each time the output gets its name, it must hold what an unbroken run made."""
    assert attempt(words, output) == 0, output.with_name("log").read_text()
    whole, draw, done, ends = content(output), random.Random(seed), 0, 0
    remove(output)
    farthest = farthest_change(words, output)
    while done < kills or not finished(output):
        change = draw.randint(1, farthest) if done < kills else 0
        code = attempt(words, output, change=change)
        assert code in (0, -signal.SIGKILL), (code, output.with_name("log").read_text())
        done += code != 0
        if finished(output):
            assert content(output) == whole, (change, content(output), whole)
            ends += 1
            if code == 0:
                beside = [path.name for path in output.parent.glob(f"*{output.name}*")]
                assert beside == [output.name], beside
            if done < kills:
                remove(output)
    return {"kills": done, "ends": ends, "files": len(whole)}


if __name__ == "__main__":
    words, output, seed, kills = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    resolve(PROGRAM.find(words[0]).run)  # loads here, once, what every fork needs
    print(json.dumps(course(words, Path(output), seed=seed, kills=kills)))
