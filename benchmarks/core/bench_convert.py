"""Converting a model to megatron.core's layout and back, beside copying its bytes.

Rounds alternate and every file is synced to the disk, so that both meet the same machine; medians count.
"""

import json
import os
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

ROUNDS = 3
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


def timed(action: Callable[[], None]) -> tuple[float, float]:
    """Seconds that an action takes, and those of them in which this process computed."""
    started, computed = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - started, time.process_time() - computed


def one_round(root: Path, target: Path) -> dict[str, tuple[float, float]]:
    """Copy, convert there, and convert back; the way back has to end with the same bytes."""
    target.mkdir()
    taken = {
        "copy": timed(lambda: copy(root / "hf", target / "copy")),
        "hf to megatron": timed(lambda: convert(root / "hf", target / "there", "megatron")),
        "megatron to hf": timed(lambda: convert(root / "megatron", target / "back", "hf")),
    }
    first, second = (next(folder.glob("*.safetensors")).read_bytes() for folder in (root / "hf", target / "back"))
    assert first == second, "the way there and back changed the weights"
    shutil.rmtree(target)
    return taken


def main() -> None:
    """Print one JSON object."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        save_model(Decoder(SHAPE, seed=0).to(torch.bfloat16), root / "hf")
        convert(root / "hf", root / "megatron", "megatron")
        seconds: dict[str, list[tuple[float, float]]] = {"copy": [], "hf to megatron": [], "megatron to hf": []}
        for number in range(ROUNDS):
            for what, taken in one_round(root, root / str(number)).items():
                seconds[what].append(taken)
        size = sum(path.stat().st_size for path in (root / "hf").iterdir())
    walls = {what: statistics.median(wall for wall, _ in taken) for what, taken in seconds.items()}
    cpus = {what: statistics.median(cpu for _, cpu in taken) for what, taken in seconds.items()}
    ratios = {what: round(wall / walls["copy"], 2) for what, wall in walls.items()}
    print(
        json.dumps(
            {
                "mib": size >> 20,
                "seconds": {what: round(wall, 2) for what, wall in walls.items()},
                "cpu_seconds": {what: round(cpu, 2) for what, cpu in cpus.items()},
                "times_copying": ratios,
            }
        )
    )


if __name__ == "__main__":
    main()
