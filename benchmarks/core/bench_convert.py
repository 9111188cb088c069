"""Converting a model to megatron.core's layout and back, beside copying its bytes; time and memory.

Rounds alternate and every file is synced to the disk, so that both meet the same machine; medians count.
"""

import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nemo_core.checkpoint.folder import save_model
from nemo_core.checkpoint.formats import find_format, open_source
from nemo_core.checkpoint.settings import ConvertSettings
from nemo_core.config import ModelConfig
from nemo_core.model.decoder import Decoder

ROUNDS = 5
SHAPE = ModelConfig(
    vocab_size=32_000,
    hidden_size=1024,
    num_layers=16,
    num_heads=16,
    num_kv_heads=8,
    head_dim=64,
    ffn_size=2816,
)


def copy(source: Path, target: Path) -> None:
    """Copy every file and sync it."""
    target.mkdir()
    for path in source.rglob("*"):
        if path.is_file():
            with open(path, "rb") as old, open(target / path.name, "wb") as new:
                shutil.copyfileobj(old, new, 1 << 22)
                new.flush()
                os.fsync(new.fileno())


def convert(source: Path, target: Path, name: str) -> None:
    """Convert as `nemo-core convert` does, without its manifest."""
    target.mkdir()
    opened = open_source(source)
    settings = ConvertSettings(model=source, output=target)
    find_format(name).write(opened, opened.config, target, settings)


def timed(action: Callable[[], None]) -> float:
    """Seconds that an action takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    """Print one JSON object."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        save_model(Decoder(SHAPE, seed=0).to(torch.bfloat16), root / "hf")
        convert(root / "hf", root / "megatron", "megatron")
        seconds: dict[str, list[float]] = {"copy": [], "hf to megatron": [], "megatron to hf": []}
        for number in range(ROUNDS):
            target = root / str(number)
            target.mkdir()
            seconds["copy"].append(timed(lambda: copy(root / "hf", target / "copy")))
            seconds["hf to megatron"].append(timed(lambda: convert(root / "hf", target / "there", "megatron")))
            seconds["megatron to hf"].append(timed(lambda: convert(root / "megatron", target / "back", "hf")))
            first, second = (
                path.read_bytes() for path in (root / "hf", target / "back") for path in path.glob("*.saf*")
            )
            assert first == second, "the way there and back changed the weights"
            shutil.rmtree(target)
        size = sum(path.stat().st_size for path in (root / "hf").iterdir())
    medians = {what: round(statistics.median(taken), 3) for what, taken in seconds.items()}
    ratios = {what: round(taken / medians["copy"], 2) for what, taken in medians.items() if what != "copy"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"mib": size >> 20, "seconds": medians, "times copying": ratios, "peak_mib": peak}))


if __name__ == "__main__":
    main()
