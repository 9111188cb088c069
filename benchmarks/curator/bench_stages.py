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
from nemo_curator.dedup import exact
from nemo_curator.dedup.settings import ExactDedup
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
    table = pa.table({"text": column})
    rows += [
        ("repair", rate(lambda: [mend(text, Repair()) for text in texts], size)),
        ("language", rate(lambda: [identify(text[:2000]) for text in texts], size)),
        ("Gopher quality and repetition", rate(lambda: score(column), size)),
        ("exact deduplication keys", rate(lambda: exact.keyer(ExactDedup())(table), size)),
    ]
    print(f"{len(texts)} documents, {size:.1f} MB")
    for name, speed in rows:
        print(f"{name:<42} {speed:9.1f} MB/s")


if __name__ == "__main__":
    main()
