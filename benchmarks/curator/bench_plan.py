"""What `nemo-curator plan` foretells beside what the run then takes: time, peak memory of all processes, disk.

python benchmarks/curator/bench_plan.py [MEGABYTES ...] [only=NAME,NAME] [workers=1,2]     (default: 20; 1 and 2)

Corpora of the sizes are made of real text, as make_corpus.py does, and pages of pydoc in a WARC file. The classifier is
a small one with random weights, where transformers is there.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench_dedup_run import tree_bytes
from make_corpus import ready

CASES: dict[str, list[Any]] = {
    "minimal": ["repair", "exact_dedup"],
    "language": ["language"],
    "gopher": [{"quality": {"preset": "gopher"}}],
    "fineweb": [{"quality": {"preset": "fineweb"}}],
    "nemo": [{"quality": {"preset": "nemo"}}],
    "exact": ["exact_dedup"],
    "fuzzy-exact": [{"fuzzy_dedup": {"mode": "exact"}}],
    "fuzzy-fast": [{"fuzzy_dedup": {"mode": "fast"}}],
    "substring": ["substring_dedup"],
    "sentence": ["span_dedup"],
    "decontaminate": [{"decontaminate": {"tasks": {"made": "TASKS"}, "max_matches": None}}],
    "redact": ["redact"],
    "default": ["repair", "language", "quality", "exact_dedup", "fuzzy_dedup"],
    "html": ["extract", "language"],
    "classify": [{"classify": {"model": "MODEL"}}],
}
LARGEST = {"classify": 4, "html": 40}
"""Megabytes that a case gets at most: what a small classifier reads in a minute, all of pydoc."""
COLUMNS = (
    "case",
    "input MB",
    "workers",
    "plan s",
    "foretold s",
    "s",
    "ratio",
    "foretold MB",
    "MB",
    "ratio",
    "disk, ratio",
)


@dataclass(frozen=True)
class Taken:
    """What a command took; bytes of memory and of disk are the most at any time."""

    seconds: float
    memory_bytes: int
    disk_bytes: int
    said: str


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder that is being written."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except FileNotFoundError:
                continue
    return total


def taken(words: list[str], output: Path) -> Taken:
    """Run a command of nemo-curator and watch it."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "nemo_curator", *words], stdout=subprocess.PIPE, text=True)
    most, ended = {"memory": 0, "disk": 0}, threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            most["memory"] = max(most["memory"], tree_bytes(process.pid))
            most["disk"] = max(most["disk"], folder_bytes(output.with_name(f"{output.name}.partial")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = process.communicate()[0]
    seconds = time.monotonic() - started
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(process.returncode)
    return Taken(seconds, most["memory"], max(most["disk"], folder_bytes(output)), said)


def pages(folder: Path) -> Path:
    """A WARC file of pydoc pages."""
    if not folder.exists():
        words = ["acquire", "source=python-docs", f"output={folder}"]
        subprocess.run([sys.executable, "-m", "nemo_curator", *words], check=True, stdout=subprocess.DEVNULL)
    return folder


def part_of(corpus: Path, megabytes: float, folder: Path) -> Path:
    """The first lines of a corpus."""
    if not folder.exists():
        draft = folder.with_name(f"{folder.name}-draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        room = megabytes * 1e6
        with open(min(corpus.glob("*.jsonl")), "rb") as lines, open(draft / "0000.jsonl", "wb") as out:
            for line in lines:
                room -= out.write(line)
                if room < 0:
                    break
        draft.rename(folder)
    return folder


def tasks(corpus: Path, folder: Path) -> Path:
    """An evaluation set: questions that are in some documents, and questions that are in none."""
    path = folder / "tasks.jsonl"
    lines = min(corpus.glob("*.jsonl")).read_bytes().splitlines()[::200][:200]
    words = [json.loads(line)["text"].split()[20:60] for line in lines]
    texts = [" ".join(some) for some in words] + [" ".join(reversed(some)) for some in words]
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    return path


def classifier(folder: Path) -> Path | None:
    """A BERT of 4 layers and 256 dimensions with random weights, and a vocabulary of letters."""
    if not find_spec("transformers"):
        return None
    if not folder.exists():
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

        tokens = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
        letters = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
        letters.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
        shape = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
        BertForSequenceClassification(BertConfig(vocab_size=len(tokens), num_labels=2, **shape)).save_pretrained(folder)
    return folder


def row(name: str, megabytes: float, workers: int, home: Path) -> tuple[Any, ...] | None:
    """Plan and run one case; None where it cannot be."""
    size = min(megabytes, LARGEST.get(name, megabytes))
    corpus = pages(home / "pages") if name == "html" else corpus_of(size)
    model = classifier(home / "classifier") if name == "classify" else None
    if name == "classify" and model is None:
        return None
    steps = json.dumps(CASES[name]).replace("TASKS", str(tasks(corpus, home)) if name == "decontaminate" else "")
    output = home / "output"
    shutil.rmtree(output, ignore_errors=True)
    words = [
        f"pipeline={steps.replace('MODEL', str(model))}",
        f"input={corpus}",
        f"output={output}",
        f"workers={workers}",
    ]
    plan = taken(["plan", *words], output)
    told = json.loads(plan.said)
    run = taken(["run", *words], output)
    shutil.rmtree(output)
    disk = told["work_bytes"] + told["output_bytes"]
    return (
        name,
        round(told["bytes"] / 1e6, 1),
        workers,
        f"{plan.seconds:.1f}",
        f"{told['seconds']:.1f}",
        f"{run.seconds:.1f}",
        f"{told['seconds'] / run.seconds:.2f}",
        round(told["memory_bytes"] / 1e6),
        round(run.memory_bytes / 1e6),
        f"{told['memory_bytes'] / run.memory_bytes:.2f}",
        f"{disk / run.disk_bytes:.2f}",
    )


def corpus_of(megabytes: float) -> Path:
    """A corpus of this size: a whole one of its own, or the beginning of a larger one."""
    if megabytes >= 100:
        return ready(megabytes / 1000)
    large = ready(0.2)
    return part_of(large, megabytes, large.with_name(f"{megabytes:g}MB"))


def main() -> None:
    """Print a row for every case, size and number of workers."""
    words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    sizes = [float(word) for word in sys.argv[1:] if "=" not in word] or [20.0]
    names = words.get("only", ",".join(CASES)).split(",")
    home = Path(tempfile.gettempdir()) / "nemo-curator-bench/plan"
    home.mkdir(parents=True, exist_ok=True)
    print(f"load {os.getloadavg()[0]:.1f}")
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for size in sizes:
        for name in names:
            for workers in map(int, words.get("workers", "1,2").split(",")):
                found = row(name, size, workers, home)
                if found:
                    print("| " + " | ".join(map(str, found)) + " |", flush=True)


if __name__ == "__main__":
    main()
