"""JSONL documents to `.bin/.idx`: nemo-core tokenize beside the loop of Megatron-LM's preprocess script.

Both are commands in processes of their own with the same tokenizer and as many worker processes, and must write the
same bytes. Text: the standard library's documentation and sources; rounds alternate, the median counts.
"""

import argparse
import json
import pydoc
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from nemo_core.tokenizer.settings import TokenizerSettings
from nemo_core.tokenizer.train import run as train_tokenizer


def make_documents(path: Path, *, megabytes: float) -> int:
    """Write prose-like documents of about 3 KB: docstrings of the standard library's modules, then its sources."""
    texts = []
    for module in sorted(sys.stdlib_module_names - {"this", "antigravity"}):
        try:
            texts.append(pydoc.plain(pydoc.render_doc(module)))
        except (ImportError, pydoc.ErrorDuringImport):  # of another platform, or not built
            continue
    for source in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        texts.append(source.read_text(encoding="utf-8", errors="replace"))
        if sum(map(len, texts)) > megabytes * 1e6:
            break
    pieces = [text[at : at + 3000] for text in texts for at in range(0, len(text), 3000)]
    random.Random(0).shuffle(pieces)
    with open(path, "w", encoding="utf-8") as handle:
        for piece in pieces:
            handle.write(json.dumps({"text": piece}) + "\n")
    return sum(len(piece.encode()) for piece in pieces)


def preprocess(documents: Path, tokenizer: Path, prefix: Path, *, workers: int) -> list[str]:
    """The peer's command."""
    script = Path(__file__).with_name("peer_preprocess.py")
    return [sys.executable, str(script), str(documents), str(tokenizer), str(prefix), str(workers)]


def ours(documents: Path, tokenizer: Path, output: Path, *, workers: int) -> list[str]:
    """Our command."""
    settings = [f"documents={documents}", f"tokenizer={tokenizer}", f"output={output}", f"workers={workers}"]
    return [sys.executable, "-m", "nemo_core", "tokenize", *settings, "validation_share=0"]


def cpu_seconds() -> float:
    """Seconds of processor time of finished processes that this one started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print one line per contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = make_documents(folder / "documents.jsonl", megabytes=chosen.megabytes)
        train_tokenizer(
            TokenizerSettings(
                documents=folder / "documents.jsonl",
                output=folder / "tokenizer",
                vocab_size=32_000,
                max_bytes=10_000_000,
            )
        )
        taken: dict[str, list[tuple[float, float]]] = {"nemo-core": [], "megatron preprocess": []}
        for number in range(chosen.rounds):
            for contestant, command in (("nemo-core", ours), ("megatron preprocess", preprocess)):
                started, cpu = time.perf_counter(), cpu_seconds()
                output = folder / f"{contestant}-{number}"
                words = command(folder / "documents.jsonl", folder / "tokenizer", output, workers=chosen.workers)
                subprocess.run(words, check=True, capture_output=True)
                taken[contestant].append((time.perf_counter() - started, cpu_seconds() - cpu))
            for suffix in (".bin", ".idx"):
                mine = (folder / f"nemo-core-{number}" / f"train{suffix}").read_bytes()
                assert mine == (folder / f"megatron preprocess-{number}{suffix}").read_bytes(), suffix
        for contestant, seconds in taken.items():
            wall, cpu = (sorted(values)[len(values) // 2] for values in zip(*seconds, strict=True))
            row = {
                "name": contestant,
                "workers": chosen.workers,
                "megabytes": round(size / 1e6, 1),
                "mb_per_s": round(size / wall / 1e6, 2),
                "mb_per_cpu_s": round(size / cpu / 1e6, 2),
            }
            print(json.dumps(row))


if __name__ == "__main__":
    main()
