"""Write docs/reference/parity.md: every family against transformers (and Megatron-Core), measured now, both ways.

Needs the test environment of nemo-core (transformers); columns of implementations that are not installed say so.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from packages import ROOT

sys.path.insert(0, str(ROOT / "nemo-core/tests"))

import family_cases

from nemo_core.checkpoint.folder import load_model, save_model
from nemo_core.checkpoint.tensors import iterate_tensors
from nemo_core.families import FAMILIES
from nemo_core.model.decoder import Decoder

PAGE = ROOT / "docs/reference/parity.md"
TOLERANCE = 5e-5
INTRO = """# Parity of implementations

Written by `tools/write_parity.py`, which builds tiny random checkpoints of every family with transformers {version}
(every weight, norm and bias drawn anew; {count} configurations: tied and untied embeddings, grouped heads, head widths
apart from the hidden width, odd vocabularies, rope scalings, windows shorter than the sequence, soft caps, biases,
partial rotation, experts), takes them through nemo-core and compares. Numbers are the largest difference of any logit,
in fp32 on a CPU, over the family's configurations; what is allowed is {tolerance:g}.

- **read**: transformers writes a folder, nemo-core answers.
- **written**: nemo-core writes the folder again, transformers answers from it.
- **bytes**: names and bytes of the written tensors against the original's.
- **cached**: nemo-core token by token with a cache against the whole sequence at once.
- **megatron**: megatron.core on the same folder against nemo-core's native implementation; a dash where
  `nemo-core verify` says which part of a family it does not represent.
"""


@dataclass
class Row:
    """What was measured of one family."""

    cases: int = 0
    read: float = 0.0
    written: float = 0.0
    cached: float = 0.0
    exact: bool = True
    megatron: list[float] = field(default_factory=list)


class Cache:
    """Keys and values of one layer."""

    def __init__(self) -> None:
        self.parts: tuple[torch.Tensor, torch.Tensor] | None = None

    def extend(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the new positions; all of them."""
        old = self.parts
        self.parts = (k, v) if old is None else (torch.cat([old[0], k], 2), torch.cat([old[1], v], 2))
        return self.parts


def main() -> None:
    """Measure and write."""
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    megatron = megatron_logits()
    rows = {family: Row() for family in FAMILIES.values()}
    for name, (family, _, _) in family_cases.CASES.items():
        print(name, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            measure(name, Path(folder), rows[family], megatron)
    intro = INTRO.format(version=transformers.__version__, count=len(family_cases.CASES), tolerance=TOLERANCE)
    PAGE.write_text(intro + "\n" + "\n".join(table(rows)) + "\n", encoding="utf-8")
    if any(max(row.read, row.written, row.cached, *row.megatron) > TOLERANCE or not row.exact for row in rows.values()):
        raise SystemExit(f"a family is off; see {PAGE}")


def measure(name: str, folder: Path, row: Row, megatron: Callable[[Path], torch.Tensor | None]) -> None:
    """Take one configuration through all directions."""
    original, again = folder / "original", folder / "again"
    expected = family_cases.write_case(name, original)(family_cases.IDS).logits
    model = load_model(original)
    native = model.logits(model(family_cases.IDS))
    save_model(model, again)
    before, after = dict(iterate_tensors(original)), dict(iterate_tensors(again))
    row.cases += 1
    row.read = max(row.read, distance(native, expected))
    row.written = max(row.written, distance(family_cases.logits_of(again), expected))
    row.cached = max(row.cached, distance(cached(model), native))
    row.exact &= before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    found = megatron(original)
    row.megatron += [] if found is None else [distance(found, native)]


def cached(model: Decoder) -> torch.Tensor:
    """Logits, a few tokens at a time."""
    length = family_cases.IDS.shape[1]
    caches = [Cache() for _ in range(model.config.num_layers)]
    parts = []
    for start, stop in ((0, 5), *((at, at + 1) for at in range(5, length))):
        places = torch.arange(start, stop)
        allowed = (torch.arange(stop) <= places[:, None])[None, None]
        ids = family_cases.IDS[:, start:stop]
        parts.append(model(ids, places.expand(2, -1), cache=caches, allowed=allowed, planned_length=length))
    return model.logits(torch.cat(parts, 1))


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    """The largest difference."""
    return float((first - second).abs().max())


def megatron_logits() -> Callable[[Path], torch.Tensor | None]:
    """Logits of the megatron implementation of a folder, or None where it refuses or is not there."""
    try:
        from nemo_core.foundation.errors import ConfigError
        from nemo_core.verify import megatron
    except ModuleNotFoundError:
        return lambda folder: None

    def logits(folder: Path) -> torch.Tensor | None:
        try:
            found: Any = megatron.trace(folder, family_cases.IDS)
        except ConfigError:
            return None
        result: torch.Tensor = found.logits
        return result

    return logits


def table(rows: dict[str, Row]) -> list[str]:
    """The rows as Markdown."""
    lines = [
        "| family | configurations | read | written | bytes | cached | megatron |",
        "|---|---|---|---|---|---|---|",
    ]
    for family, row in rows.items():
        done = row.megatron
        megatron = f"{max(done):.1e} ({len(done)} of {row.cases})" if done else "-"
        figures = f"{row.read:.1e} | {row.written:.1e} | {'equal' if row.exact else 'differ'} | {row.cached:.1e}"
        lines.append(f"| {family} | {row.cases} | {figures} | {megatron} |")
    return lines


if __name__ == "__main__":
    main()
