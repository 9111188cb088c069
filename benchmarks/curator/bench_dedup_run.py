"""Fuzzy deduplication of a large corpus from files to files: time, memory, and how many duplicates it finds.

python benchmarks/curator/bench_dedup_run.py [CORPUS [OUTPUT]] [key=value ...]  (CORPUS as make_corpus.py writes them)
The settings are those of `nemo-curator dedup fuzzy`. `step=exact` runs `dedup exact` instead, in one process,
beside a program that only reads the records and writes them as the same kind of files. Without settings both are run,
without a corpus one of CORPUS_GIGABYTES is made. OUTPUT is removed in the end.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from make_corpus import ready

CORPUS_GIGABYTES = 0.2
EXACT_RUNS = 3
SAMPLE_PAIRS = 4_000
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def tree_bytes(root: int) -> int:
    """Resident memory of a process and all below it, shared pages counted once per process (an upper bound)."""
    children: dict[int, list[int]] = {}
    sizes = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
                sizes[int(entry.name)] = int(fields[21]) * resource.getpagesize()
        except (FileNotFoundError, ProcessLookupError):
            continue
    total, todo = 0, [root]
    while todo:
        process = todo.pop()
        total += sizes.get(process, 0)
        todo += children.get(process, [])
    return total


def measured(words: Sequence[str]) -> dict[str, float]:
    """Wall and CPU seconds and peak memory of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    peak, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.5):
            peak[0] = max(peak[0], tree_bytes(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(code)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "wall_s": round(time.monotonic() - started, 1),
        "cpu_s": round(cpu, 1),
        "peak_gib": round(peak[0] / 2**30, 2),
    }


READ_AND_WRITE = """
import sys
from contextlib import ExitStack
from pathlib import Path
from nemo_curator.document import SCHEMA, to_table
from nemo_curator.read.files import list_input
from nemo_curator.read.records import Reading, read_file
from nemo_curator.shards.work import GROUP_BYTES, Table, take
import nemo_curator.curation, nemo_curator.dedup.exact
for number, file in enumerate(list_input(Path(sys.argv[1])).files):
    records = read_file(file, Reading())
    with ExitStack() as stack:
        out = Table(stack, Path(sys.argv[2]) / f"{number}.parquet", SCHEMA, group_bytes=GROUP_BYTES)
        while documents := take(records)[0]:
            out.write(to_table(documents).select(SCHEMA.names))
"""


def groups_of(output: Path) -> dict[str, str]:
    """Group of every document that is in one, by the user's id."""
    found = pq.read_table(output / "groups").to_pydict()
    names: dict[str, str] = {}
    for folder in ("data", "rejects"):
        table = pq.read_table(output / folder, columns=["id", "source_id"])
        wanted = table.filter(pc.is_in(table["id"], pa.array(found["id"])))
        names.update(zip(wanted["id"].to_pylist(), wanted["source_id"].to_pylist(), strict=True))
    return {names[member]: group for member, group in zip(found["id"], found["group"], strict=True)}


def by_likeness(corpus: Path, group: dict[str, str]) -> None:
    """Print, by the true Jaccard similarity of copies and their originals, the share that is in one group."""
    truth = pq.read_table(corpus.with_name(f"{corpus.name}-truth.parquet"))
    copies = truth.filter(pc.not_equal(truth["id"], truth["original"]))
    step = max(1, copies.num_rows // SAMPLE_PAIRS)
    pairs = list(zip(copies["id"].to_pylist()[::step], copies["original"].to_pylist()[::step], strict=True))
    texts = texts_of(corpus, {name for pair in pairs for name in pair})
    likeness = np.array([jaccard(texts[a], texts[b]) for a, b in pairs])
    found = np.array([a in group and group.get(a) == group.get(b) for a, b in pairs])
    for low, high in pairwise(LEVELS):
        some = (likeness >= low) & (likeness < high)
        print(f"  Jaccard {low} to {high}: {some.sum()} pairs, {found[some].mean() if some.any() else 0:.1%} found")
    print(f"  equal texts: {found[likeness == 1].mean():.1%} found")
    originals = dict(zip(truth["id"].to_pylist(), truth["original"].to_pylist(), strict=True))
    members: dict[str, list[str]] = {}
    for name, label in group.items():
        members.setdefault(label, []).append(originals[name])
    wrong = sum(len(m) - max(m.count(o) for o in set(m)) for m in members.values() if len(set(m)) > 1)
    print(f"  grouped documents: {len(group)}, of them {wrong} with another family's")


def texts_of(corpus: Path, wanted: set[str]) -> dict[str, str]:
    """Texts of the documents with these ids."""
    found = {}
    for file in sorted(corpus.glob("*.jsonl")):
        with open(file, "rb") as lines:
            for line in lines:
                name = line[8:17].decode()
                if name in wanted:
                    found[name] = json.loads(line)["text"]
    return found


def jaccard(one: str, other: str) -> float:
    """Similarity of the windows of 24 characters."""
    a, b = ({text[i : i + 24] for i in range(max(1, len(text) - 23))} for text in (one, other))
    return len(a & b) / len(a | b)


def exact(corpus: Path, output: Path) -> None:
    """Exact deduplication in one process, beside a program that only reads and writes, in turn; the least CPU time."""
    commands = {
        "read and write": ["-c", READ_AND_WRITE, str(corpus), str(output)],
        "exact": ["-m", "nemo_curator", "dedup-exact", f"input={corpus}", f"output={output}", "workers=1"],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for _ in range(EXACT_RUNS):
        for name, words in commands.items():
            shutil.rmtree(output, ignore_errors=True)
            found[name].append(measured(words))
    best = {name: min(runs, key=lambda run: run["cpu_s"]) for name, runs in found.items()}
    ratio = best["exact"]["cpu_s"] / best["read and write"]["cpu_s"]
    print(f"exact: {best['exact']}; only reading and writing: {best['read and write']}; {ratio:.2f} times")


def fuzzy(corpus: Path, output: Path, settings: list[str]) -> None:
    """Fuzzy deduplication, and what it finds."""
    shutil.rmtree(output, ignore_errors=True)
    command = ["-m", "nemo_curator", "dedup-fuzzy", f"input={corpus}", f"output={output}"]
    print(f"fuzzy, {' '.join(settings)}: {measured([*command, *settings])}", flush=True)
    by_likeness(corpus, groups_of(output))


def main() -> None:
    """Run, measure, compare with the truth."""
    words = sys.argv[1:]
    settings = [word for word in words if "=" in word]
    places = [Path(word) for word in words if "=" not in word]
    corpus = places[0] if places else ready(CORPUS_GIGABYTES)
    output = places[1] if len(places) > 1 else corpus.with_name(f"{corpus.name}-unique")
    if output.exists():
        raise SystemExit(f"{output} is there already; name another folder for the output")
    size = sum(file.stat().st_size for file in corpus.glob("*.jsonl"))
    print(f"{size / 1e9:.2f} GB of JSON lines, load {os.getloadavg()[0]:.1f}", flush=True)
    if not settings or "step=exact" in settings:
        exact(corpus, output)
    for chosen in [settings] if settings else [["mode=fast"], ["mode=exact"]]:
        if "step=exact" not in chosen:
            fuzzy(corpus, output, chosen)
    shutil.rmtree(output, ignore_errors=True)


if __name__ == "__main__":
    main()
