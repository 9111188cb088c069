"""MinHash signatures of the standard library's sources: nemo-curator's kernel and datasketch, 260 hashes each."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from datasketch import MinHash

from nemo_curator.dedup.fuzzy import signature
from nemo_curator.dedup.settings import FuzzyDedup

MAX_BYTES = 2_000_000
WIDTH, HASHES = 24, 260


def texts() -> list[str]:
    """Sources of the running Python's standard library, `MAX_BYTES` in all."""
    found, total = [], 0
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        found.append(text)
        total += len(text)
        if total > MAX_BYTES:
            break
    return found


def ours(documents: list[str]) -> np.ndarray:
    """Signatures by nemo-curator."""
    return signature(pa.array(documents), FuzzyDedup())


def datasketch(documents: list[str]) -> np.ndarray:
    """Signatures by datasketch over the same character windows."""
    rows = []
    for text in documents:
        sketch = MinHash(num_perm=HASHES)
        sketch.update_batch({text[i : i + WIDTH].encode() for i in range(max(1, len(text) - WIDTH + 1))})
        rows.append(sketch.hashvalues)
    return np.stack(rows)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of all threads for one call."""
    before = time.process_time()
    work()
    return time.process_time() - before


def main() -> None:
    """Print one line per contestant."""
    documents = texts()
    megabytes = sum(map(len, documents)) / 1e6
    ours(documents[:2])
    seconds = {
        "nemo-curator": cpu_seconds(lambda: ours(documents)),
        "datasketch": cpu_seconds(lambda: datasketch(documents)),
    }
    for name, value in seconds.items():
        ratio = value / seconds["nemo-curator"]
        row = {
            "name": name,
            "cpu_s": round(value, 3),
            "mb_per_cpu_s": round(megabytes / value, 2),
            "ratio": round(ratio, 1),
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
