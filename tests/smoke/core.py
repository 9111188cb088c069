"""nemo-core's wheel alone: texts become a tokenizer, a dataset, and a model that has learned something."""

from console import check_basics
from small_model import pretrain

check_basics("nemo-core", without=("ray", "transformers", "dask", "pandas"))
stats = pretrain("checkpoint", steps=40)
assert stats["after"]["validation_loss"] < stats["before"]["validation_loss"] - 0.5, stats
print(f"held-out loss {stats['before']['validation_loss']:.2f} -> {stats['after']['validation_loss']:.2f}")
