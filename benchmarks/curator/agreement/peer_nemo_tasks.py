"""Which documents NeMo Curator 0.9 cuts passages of evaluation sets out of, and what is left of them.

python peer_nemo_tasks.py CHECKOUT < rows.jsonl > answers.jsonl; a row is [texts of a set, documents].
"""

import contextlib
import importlib
import json
import sys
from pathlib import Path

import stubs

ABSENT = ["dask", "pandas", "cudf", "requests", "datasets"]
OWN_ABSENT = ["datasets", "modules.base", "utils.distributed_utils", "utils.import_utils"]


def main(checkout: str) -> None:
    """Answer every row of standard input."""
    root = Path(checkout) / "nemo_curator"
    for name in ("", ".modules", ".tasks", ".utils"):
        stubs.package(f"nemo_curator{name}", str(root / name.strip(".")))
    downstream = importlib.import_module("nemo_curator.tasks.downstream_task")
    sys.modules["nemo_curator.tasks"].DownstreamTask = downstream.DownstreamTask  # type: ignore[attr-defined]
    task = importlib.import_module("nemo_curator.modules.task")
    for line in sys.stdin:
        texts, documents = json.loads(line)
        kind = type("Task", (downstream.DownstreamTask,), {"generate_ngrams": lambda self: self.ngrams})
        found = kind()
        for text in texts:
            found._update_ngrams(text, 8, 13)
        cutter = task.TaskDecontamination(found, min_document_length=200, remove_char_each_side=200)
        sizes = cutter._compute_ngram_freq_sorted(found.ngrams)
        with contextlib.redirect_stdout(sys.stderr):
            answers = [cutter._remove_ngrams(document, found.ngrams, sizes) for document in documents]
        print(json.dumps(answers))


if __name__ == "__main__":
    stubs.leave_out(*ABSENT, *(f"nemo_curator.{name}" for name in OWN_ABSENT))
    base_module = stubs.Empty("nemo_curator.modules.base")
    base_module.BaseModule = type("BaseModule", (), {"__init__": lambda self, **_: None})
    sys.modules["nemo_curator.modules.base"] = base_module
    main(sys.argv[1])
