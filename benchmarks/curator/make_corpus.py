"""A large corpus made of real text, whose duplicates are known.

python benchmarks/curator/make_corpus.py OUTPUT GIGABYTES SOURCE...

Each SOURCE is a folder of real text: HTML pages, manual pages, plain text (on Debian: /usr/share/doc, /usr/share/man,
and whatever `apt-get download python3-doc debian-handbook manpages-de && dpkg -x` unpacks). Their paragraphs are the
material. A new document is some paragraphs in a new order, one word in eight replaced by another of the vocabulary,
so that two of them share few windows of 24 characters. Three documents in ten are copies of an earlier one, exact or
with one word in a hundred to one in twenty replaced. OUTPUT gets *.jsonl files of 64 MB with `id` and `text`, and
truth.parquet: the id of each document, that of the document it was copied from, and the share of words replaced.

Without a SOURCE the packages of documentation are fetched where there is apt-get, beside what this machine has.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from bench_stages import python_pages

from nemo_curator.extract.html import Extract, extract

PACKAGES = ("debian-handbook", "python3.13-doc", "python3.11-doc", "git-doc", "manpages-de", "manpages-fr")
FILE_BYTES = 64_000_000
COPIES = 0.3
RATES = (0.0, 0.0, 0.002, 0.005, 0.01, 0.02, 0.03)
FRESH_RATE = 0.125
MATERIAL_BYTES = 150_000_000
RECENT = 200_000


def texts(source: Path) -> Iterator[str]:
    """The plain text of every file that holds some."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > 5_000_000:
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        name = path.name.removesuffix(".gz").lower()
        if name.endswith((".html", ".htm")):
            yield extract(data, "utf-8", Extract())[0]
        elif re.search(r"\.[1-8][a-z]*$", name):
            yield re.sub(r'^[.\'].*$|\\f.|\\[-&"].*?', "", data.decode("utf-8", "replace"), flags=re.MULTILINE)
        elif name.endswith((".txt", ".rst", ".md")) or name in ("readme", "changelog", "copyright", "news"):
            yield data.decode("utf-8", "replace")


def material(sources: list[Path]) -> list[np.ndarray]:
    """Paragraphs of 20 words or more as arrays of words, each but once."""
    found: dict[str, np.ndarray] = {}
    size = 0
    for source in sources:
        for text in texts(source):
            for paragraph in re.split(r"\n\s*\n", text):
                words = paragraph.split()
                if 20 <= len(words) <= 2000 and paragraph not in found:
                    found[paragraph] = np.array(words, dtype=object)
                    size += len(paragraph)
            if size > MATERIAL_BYTES:
                return list(found.values())
    return list(found.values())


class Writer:
    """Documents as JSON lines in files of like size."""

    def __init__(self, output: Path) -> None:
        self._output, self._number, self._room = output, -1, 0
        output.mkdir(parents=True)

    def write(self, identity: str, text: str) -> int:
        """Append a document; its bytes."""
        line = json.dumps({"id": identity, "text": text}, ensure_ascii=False).encode() + b"\n"
        if self._room <= 0:
            self._number, self._room = self._number + 1, FILE_BYTES
        with open(self._output / f"{self._number:04d}.jsonl", "ab") as handle:
            handle.write(line)
        self._room -= len(line)
        return len(text.encode())


def changed(words: np.ndarray, rate: float, vocabulary: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The words, a share of them replaced by others."""
    count = random.binomial(len(words), rate)
    if not count:
        return words
    words = words.copy()
    words[random.integers(0, len(words), count)] = vocabulary[random.integers(0, len(vocabulary), count)]
    return words


def main() -> None:
    """Write the corpus that the command line asks for."""
    output, gigabytes, sources = Path(sys.argv[1]), float(sys.argv[2]), [Path(word) for word in sys.argv[3:]]
    make(output, gigabytes, sources or own_sources(output.parent / "documentation"))


def ready(gigabytes: float) -> Path:
    """A corpus of this size in the folder for temporary files, made unless it is there."""
    home = Path(tempfile.gettempdir()) / "nemo-curator-bench"
    corpus, draft = home / f"{gigabytes:g}GB", home / f"{gigabytes:g}GB-draft"
    if not corpus.exists():
        shutil.rmtree(draft, ignore_errors=True)
        make(draft, gigabytes, own_sources(home / "documentation"))
        draft.with_name(f"{draft.name}-truth.parquet").replace(corpus.with_name(f"{corpus.name}-truth.parquet"))
        draft.replace(corpus)
    return corpus


def own_sources(folder: Path) -> list[Path]:
    """Documentation of Debian packages unpacked into `folder`, and what this machine has; pydoc's where it has none."""
    if shutil.which("apt-get") and shutil.which("dpkg") and not folder.exists():
        folder.mkdir(parents=True)
        for package in PACKAGES:
            subprocess.run(["apt-get", "download", "-q", package], cwd=folder, capture_output=True, check=False)
        for archive in sorted(folder.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=True)
    found = [folder / "usr/share", Path("/usr/share/doc"), Path("/usr/share/man")]
    return [source for source in found if source.is_dir()] or [pydoc_pages(folder.with_name("pydoc"))]


def pydoc_pages(folder: Path) -> Path:
    """The documentation of this Python's modules as HTML files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(python_pages()):
        (folder / f"{number:05d}.html").write_bytes(page)
    return folder


def make(output: Path, gigabytes: float, sources: list[Path]) -> None:
    """Write a corpus of this size and its truth."""
    paragraphs = material(sources)
    vocabulary = np.array(sorted({word for words in paragraphs for word in words if len(word) < 30}), dtype=object)
    print(f"{len(paragraphs)} paragraphs, {len(vocabulary)} words", file=sys.stderr)
    random = np.random.default_rng(0)
    writer, recent, truth, written = Writer(output), [], [], 0
    while written < gigabytes * 1e9:
        identity = f"d{len(truth):08d}"
        if recent and random.random() < COPIES:
            original, seed = recent[random.integers(len(recent))]
            rate = RATES[random.integers(len(RATES))]
            words = changed(fresh(paragraphs, vocabulary, seed), rate, vocabulary, random)
            truth.append((identity, original, rate))
        else:
            seed = int(random.integers(1 << 60))
            words = fresh(paragraphs, vocabulary, seed)
            truth.append((identity, identity, 0.0))
            recent.append((identity, seed))
            if len(recent) > RECENT:
                recent[random.integers(len(recent) - 1)] = recent.pop()
        written += writer.write(identity, " ".join(words))
    columns = dict(zip(("id", "original", "rate"), map(list, zip(*truth, strict=True)), strict=True))
    pq.write_table(pa.table(columns), output.with_name(f"{output.name}-truth.parquet"))
    print(f"{len(truth)} documents, {written / 1e9:.2f} GB of text", file=sys.stderr)


def fresh(paragraphs: list[np.ndarray], vocabulary: np.ndarray, seed: int) -> np.ndarray:
    """The new document that belongs to a seed."""
    random = np.random.default_rng(seed)
    count = 1 + random.geometric(0.08)
    words = np.concatenate([paragraphs[i] for i in random.integers(0, len(paragraphs), count)])
    return changed(words, FRESH_RATE, vocabulary, random)


if __name__ == "__main__":
    main()
