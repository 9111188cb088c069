"""Megabytes of text per second of CPU time, of each stage and of what others offer for it, on the same documents.

python benchmarks/curator/bench_stages.py [documents.jsonl]      (default: the documentation of this Python)
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import msgspec
import pyarrow as pa

from nemo_curator.clean.repair import Repair, mend
from nemo_curator.cli import main as curator
from nemo_curator.dedup.exact import digest
from nemo_curator.dedup.fuzzy import signature
from nemo_curator.dedup.settings import FuzzyDedup
from nemo_curator.extract.html import Extract, extract
from nemo_curator.filter.quality import score
from nemo_curator.language.identify import identify
from nemo_curator.read.files import list_input
from nemo_curator.read.records import Reading, read_file

REPEATS = 3


def python_pages() -> list[bytes]:
    """HTML of the standard library's documentation."""
    with tempfile.TemporaryDirectory() as folder:
        curator(["acquire", "source=python-docs", f"output={folder}/pages"])
        files = list_input(Path(folder) / "pages").files
        return [record.html for file in files for record in read_file(file, Reading())]


def megabytes(items: list) -> float:
    """Size in 10^6 bytes of UTF-8."""
    return sum(len(item if isinstance(item, bytes) else item.encode()) for item in items) / 1e6


def rate(work: Callable[[], object], size: float) -> float:
    """Best MB/s of CPU time of a few runs, after one that compiles and warms up."""
    work()
    best = float("inf")
    for _ in range(REPEATS):
        started = process_time()
        work()
        best = min(best, process_time() - started)
    return size / best


def datasketch_minhash(texts: list[str]) -> Callable[[], object] | None:
    """260 permutations over 24-character shingles with datasketch, where it is installed."""
    from importlib.util import find_spec

    if find_spec("datasketch") is None:
        return None
    from datasketch import MinHash

    def work() -> None:
        for text in texts:
            shingles = {text[i : i + 24].encode() for i in range(max(1, len(text) - 23))}
            MinHash(num_perm=260, seed=1).update_batch(list(shingles))

    return work


def main() -> None:
    """Print one line per stage."""
    rows: list[tuple[str, float]] = []
    if len(sys.argv) > 1:
        texts = [msgspec.json.decode(line)["text"] for line in Path(sys.argv[1]).read_bytes().splitlines()]
    else:
        pages = python_pages()
        texts = [extract(page, "utf-8", Extract())[0] for page in pages]
        rows.append(
            ("extract (of HTML)", rate(lambda: [extract(p, "utf-8", Extract()) for p in pages], megabytes(pages)))
        )
    size, column = megabytes(texts), pa.array(texts)
    rows += [
        ("repair", rate(lambda: [mend(text, Repair()) for text in texts], size)),
        ("language", rate(lambda: [identify(text[:2000]) for text in texts], size)),
        ("Gopher quality and repetition", rate(lambda: score(column), size)),
        ("exact deduplication keys", rate(lambda: [digest(t, ignore_case_and_space=False) for t in texts], size)),
        ("MinHash, 260 x 24 characters", rate(lambda: signature(column, FuzzyDedup()), size)),
    ]
    few = texts[:: max(1, len(texts) // 300)]
    peer = datasketch_minhash(few)
    if peer:
        rows.append(("MinHash, 260 x 24 characters, datasketch", rate(peer, megabytes(few))))
    print(f"{len(texts)} documents, {size:.1f} MB")
    for name, speed in rows:
        print(f"{name:<42} {speed:9.1f} MB/s")


if __name__ == "__main__":
    main()
