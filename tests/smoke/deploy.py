"""nemo-deploy's wheel with nemo-core's: a small model is exported, served on a free port, and answers."""

from pathlib import Path

from console import check_basics, manifest, run
from small_model import pretrain

check_basics("nemo-deploy", without=("ray", "transformers", "dask", "pandas"))
pretrain("checkpoint", steps=10)
run("nemo-deploy", "export", "model=checkpoint", "output=exported")
run("nemo-deploy", "ask", "model=exported", "question=Where is the river?", "max_tokens=8", "output=answers")
assert manifest("answers")["kind"] == "endpoint"
assert len(Path("answers/transcript.jsonl").read_text(encoding="utf-8").splitlines()) == 1
print(f"answered: {manifest('answers')['stats']['answer']!r}")
