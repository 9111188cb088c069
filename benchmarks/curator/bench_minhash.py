"""MinHash signatures beside datasketch, rensa and datatrove: speed, and how well they estimate Jaccard similarity.

python benchmarks/curator/bench_minhash.py [TEXTS.jsonl [MEGABYTES]]     (without: a corpus of real text is made)
Everything is timed from texts as Python or Arrow strings to signatures, on one core, in CPU seconds, best of three.
The error is the root mean square difference between the share of equal hashes and the true Jaccard similarity of the
same shingles, over 500 pairs of a text and a copy of it with words replaced.
"""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pyarrow as pa
from make_corpus import ready

from nemo_curator.dedup.fuzzy import signature
from nemo_curator.dedup.settings import FuzzyDedup

Signatures = Callable[[Sequence[str]], Any]
PAIRS = 500
CORPUS_GIGABYTES = 0.2
SLOW_MEGABYTES = 1.0


def ours(**settings: Any) -> Signatures:
    """Signatures of this package."""
    chosen = FuzzyDedup(**settings)
    return lambda texts: signature(texts if isinstance(texts, pa.Array) else pa.array(texts), chosen)


def windows(text: str, width: int) -> set[str]:
    """The windows of characters of a text."""
    return {text[i : i + width] for i in range(max(1, len(text) - width + 1))}


def runs(text: str, width: int) -> set[str]:
    """The windows of words of a text."""
    words = text.split()
    return {" ".join(words[i : i + width]) for i in range(max(1, len(words) - width + 1))}


def datasketch(shingled: Callable[[str, int], set[str]], width: int) -> Signatures:
    """260 permutations by datasketch."""
    from datasketch import MinHash

    def signatures(texts: Sequence[str]) -> Any:
        found = []
        for text in texts:
            sketch = MinHash(num_perm=260, seed=1)
            sketch.update_batch([piece.encode() for piece in shingled(text, width)])
            found.append(sketch.hashvalues)
        return np.array(found)

    return signatures


def rensa(shingled: Callable[[str, int], set[str]], width: int) -> Signatures:
    """RMinHash of rensa, whose number of hashes is 256 here."""
    from rensa import RMinHash

    def signatures(texts: Sequence[str]) -> Any:
        found = []
        for text in texts:
            sketch = RMinHash(num_perm=256, seed=1)
            sketch.update(list(shingled(text, width)))
            found.append(sketch.digest())
        return np.array(found)

    return signatures


def datatrove() -> Signatures:
    """Stage one of datatrove's own recipe: words by spaCy, runs of five, 14 x 8 hashes."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    stage = MinhashDedupSignature(output_folder="/tmp/datatrove-bench", config=MinhashConfig())

    def signatures(texts: Sequence[str]) -> Any:
        return np.array([np.concatenate(stage.get_signature(stage.get_shingles(text))) for text in texts])

    return signatures


def text_dedup() -> Signatures:
    """Band keys of text-dedup: runs of five words, its largest number of permutations here."""
    from text_dedup.minhash import embed_func
    from text_dedup.utils import xxh3_32hash

    random, prime = np.random.RandomState(42), np.uint64((1 << 61) - 1)
    permutations = [random.randint(low, 1 << 31, size=260, dtype=np.uint64) for low in (1, 0)]
    fixed = {
        "num_perm": 260,
        "ngram_size": 5,
        "min_length": 0,
        "hashranges": [(start, start + 13) for start in range(0, 260, 13)],
        "permutations": permutations,
        "hash_func": xxh3_32hash,
        "dtype": np.uint64,
        "max_hash": np.uint64((1 << 32) - 1),
        "modulo_prime": prime,
    }
    return lambda texts: [embed_func(text, index, **fixed) for index, text in enumerate(texts)]


def rate(work: Signatures, texts: Any, size: float) -> float:
    """Best MB/s of CPU time of three runs, after one that warms up."""
    work(texts[:10])
    best = float("inf")
    for _ in range(3):
        started = process_time()
        work(texts)
        best = min(best, process_time() - started)
    return size / best


def error(work: Signatures, texts: Sequence[str], shingled: Callable[[str, int], set[str]], width: int) -> float:
    """Root mean square error of the estimates of Jaccard similarity."""
    random = np.random.default_rng(0)
    originals = list(texts[:PAIRS])
    copies = [replaced(text, random.uniform(0, 0.05), random) for text in originals]
    true = [jaccard(shingled(a, width), shingled(b, width)) for a, b in zip(originals, copies, strict=True)]
    one, other = np.asarray(work(originals)), np.asarray(work(copies))
    return float(np.sqrt(np.mean(((one == other).mean(axis=1) - true) ** 2)))


def replaced(text: str, share: float, random: np.random.Generator) -> str:
    """The text with a share of its words replaced."""
    return " ".join(f"w{random.integers(10**6)}" if random.random() < share else word for word in text.split())


def jaccard(one: set[str], other: set[str]) -> float:
    """Size of the intersection over size of the union."""
    return len(one & other) / len(one | other)


def contestants() -> list[tuple[str, Signatures, Callable[[str, int], set[str]] | None, int]]:
    """Name, function, and the shingles that its estimates are about."""
    rows: list[tuple[str, Signatures, Callable[[str, int], set[str]] | None, int]] = [
        ("nemo-curator exact, 260 x 24 characters", ours(), windows, 24),
        ("nemo-curator fast, 260 x 24 characters", ours(mode="fast"), windows, 24),
        ("nemo-curator exact, 260 x 5 characters", ours(width=5), windows, 5),
        ("nemo-curator fast, 260 x 5 characters", ours(mode="fast", width=5), windows, 5),
        ("nemo-curator fast, 260 x 5 words", ours(mode="fast", shingle="words", width=5), runs, 5),
    ]
    if find_spec("rensa"):
        rows += [("rensa RMinHash, 256 x 24 characters", rensa(windows, 24), windows, 24)]
        rows += [("rensa RMinHash, 256 x 5 words", rensa(runs, 5), runs, 5)]
    if find_spec("datasketch"):
        rows += [("datasketch, 260 x 24 characters", datasketch(windows, 24), windows, 24)]
        rows += [("datasketch, 260 x 5 words", datasketch(runs, 5), runs, 5)]
    if find_spec("datatrove") and find_spec("spacy"):
        rows += [("datatrove, 14 x 8 x 5 words", datatrove(), None, 5)]
    if find_spec("text_dedup"):
        rows += [("text-dedup, 260 x 5 words", text_dedup(), None, 5)]
    return rows


def main() -> None:
    """Print one line per contestant."""
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    texts: list[str] = []
    size = 0.0
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ready(CORPUS_GIGABYTES) / "0000.jsonl"
    with open(source, "rb") as lines:
        for line in lines:
            texts.append(json.loads(line)["text"])
            size += len(texts[-1].encode()) / 1e6
            if size >= limit:
                break
    few = texts[: max(50, int(len(texts) * SLOW_MEGABYTES / size))]
    small = sum(len(text.encode()) for text in few) / 1e6
    print(f"{len(texts)} documents, {size:.1f} MB (peers: {small:.1f} MB)")
    for name, work, shingled, width in contestants():
        mine = name.startswith("nemo")
        speed = rate(work, pa.array(texts) if mine else few, size if mine else small)
        told = f"error {error(work, texts, shingled, width):.4f}" if shingled else ""
        print(f"{name:<42} {speed:8.1f} MB/s  {told}")


if __name__ == "__main__":
    main()
