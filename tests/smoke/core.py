"""nemo-core's wheel alone: texts become a tokenizer, a dataset, and a model that has learned something."""

from console import check_basics, manifest, run, write_documents
from small_model import pretrain

check_basics("nemo-core", without=("ray", "transformers", "dask"))
write_documents("texts.jsonl")
stats = pretrain("texts.jsonl", "checkpoint")
assert stats["after"]["loss"] < stats["before"]["loss"], stats
print(f"held-out loss {stats['before']['loss']:.2f} -> {stats['after']['loss']:.2f}")
run("nemo-core", "generate", "model=checkpoint", "prompt=The river", "max_tokens=8")
assert manifest("checkpoint")["kind"] == "checkpoint"
