"""nemo-curator's wheel alone: texts with a duplicate and a fragment become clean documents."""

import json
from pathlib import Path

from console import check_basics, manifest, run, write_documents

check_basics("nemo-curator", without=("torch", "pandas", "dask", "ray", "transformers"))
written = write_documents("texts.jsonl")
first = json.loads(Path("texts.jsonl").read_text(encoding="utf-8").splitlines()[0])
with open("texts.jsonl", "a", encoding="utf-8") as handle:
    handle.write(json.dumps({**first, "id": "again"}) + "\n")
    handle.write(json.dumps({"id": "fragment", "text": "x"}) + "\n")
run("nemo-curator", "run", "input=texts.jsonl", "output=documents", "pipeline=[repair, language, quality, exact_dedup]")
stats = manifest("documents")["stats"]
assert stats["documents_in"] == written + 2, stats
assert 0 < stats["documents_out"] <= written, stats
print(f"{stats['documents_in']} texts in, {stats['documents_out']} documents out")
