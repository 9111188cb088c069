"""Megabytes of text per second of CPU time, of each stage and of what others offer for it, on the same documents.

python benchmarks/curator/bench_stages.py [documents.jsonl | folder of HTML]     (default: this Python's documentation)
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time

import msgspec
import pyarrow as pa
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from nemo_curator.clean.repair import Repair, mend
from nemo_curator.cli import main as curator
from nemo_curator.dedup import exact
from nemo_curator.dedup.settings import ExactDedup
from nemo_curator.document import Document, to_table
from nemo_curator.extract.html import Extract, extract
from nemo_curator.filter.quality import score
from nemo_curator.language.identify import Language, identify
from nemo_curator.read.files import list_input
from nemo_curator.read.records import Reading, read_file

REPEATS = 3


def python_pages() -> list[bytes]:
    """HTML of the standard library's documentation."""
    with tempfile.TemporaryDirectory() as folder:
        curator(["acquire", "source=python-docs", f"output={folder}/pages"])
        files = list_input(Path(folder) / "pages").files
        return [record.html for file in files for record in read_file(file, Reading())]


def pages_of(folder: Path) -> list[bytes]:
    """HTML files of a folder, 20 MB at most."""
    found: list[bytes] = []
    for path in sorted(folder.rglob("*.html")):
        if path.is_file() and sum(map(len, found)) < 20_000_000:
            found.append(path.read_bytes())
    return found


def peer(page: bytes) -> str:
    """The main content of a page by resiliparse alone."""
    return str(extract_plain_text(HTMLTree.parse(page.decode("utf-8", "replace")), main_content=True))


def html_rows(pages: list[bytes]) -> list[tuple[str, float]]:
    """Extraction of pages: resiliparse alone, our step, and our step with language identification behind it."""
    documents = to_table([Document(id=str(n), source="", html=page, charset="") for n, page in enumerate(pages)])
    step, language, size = Extract().open(), Language().open(), megabytes(pages)
    return [
        ("resiliparse alone (of HTML)", rate(lambda: [peer(page) for page in pages], size)),
        ("extract (of HTML)", rate(lambda: step(documents), size)),
        ("extract and language (of HTML)", rate(lambda: language(step(documents).documents), size)),
    ]


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
    if len(sys.argv) > 1 and not Path(sys.argv[1]).is_dir():
        texts = [msgspec.json.decode(line)["text"] for line in Path(sys.argv[1]).read_bytes().splitlines()]
    else:
        pages = pages_of(Path(sys.argv[1])) if len(sys.argv) > 1 else python_pages()
        texts = [extract(page, "utf-8", Extract())[0] for page in pages]
        print(f"{len(pages)} pages, {megabytes(pages):.1f} MB of HTML")
        rows += html_rows(pages)
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
