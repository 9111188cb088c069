"""nemo-aligner's wheel with nemo-core's: a small model comes to prefer the better answers of held-out pairs."""

import json
from pathlib import Path

from console import PLACES, SUBJECTS, check_basics, manifest, run
from small_model import pretrain

check_basics("nemo-aligner", without=("ray", "transformers", "trl", "dask", "pandas"))
pretrain("checkpoint", steps=10)


def pair(subject: str, place: str) -> dict:
    """A question with a short answer and one that goes on and on."""
    return {
        "id": f"{subject}-{place}",
        "subject": subject,
        "prompt": [{"role": "user", "content": f"Where is the {subject}?"}],
        "chosen": [{"role": "assistant", "content": f"The {subject} is in the {place}."}],
        "rejected": [{"role": "assistant", "content": f"people stay people stay people stay {place}"}],
        "source": "smoke",
    }


Path("pairs.jsonl").write_text("".join(json.dumps(pair(s, p)) + "\n" for s in SUBJECTS for p in PLACES))
words = ("steps=12", "batch_size=8", "learning_rate=1e-3", "validation_pairs=8")
run("nemo-aligner", "dpo", "model=checkpoint", "preferences=pairs.jsonl", "output=aligned", *words)
stats = manifest("aligned")["stats"]
assert stats["after"]["margin"] > stats["before"]["margin"], stats
print(f"margin {stats['before']['margin']:.3f} -> {stats['after']['margin']:.3f}")
