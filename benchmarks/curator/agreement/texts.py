"""Texts to compare on: odd ones by hand, mixtures drawn by seed, and real documents of this machine."""

import gzip
import inspect
import json
import pkgutil
import random
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ODD = tuple(map(json.loads, (Path(__file__).parent / "odd.jsonl").read_text(encoding="utf-8").splitlines()))
PIECES = (
    *[
        "the",
        "and",
        "of",
        "to",
        "have",
        "data",
        "Model",
        "été",
        "naïve",
        "straße",
        "слово",
        "字",
        "漢字",
        "カナ",
        "...",
        "…",
        "#",
        "##",
        "•",
        "-",
        "*",
        "12",
        "3.5",
        "50%",
        "x_1",
        "don't",
    ],
    *["“q”", "(a)", "[b]", "{c}", "https://a.b/c", "end.", "why?", "wow!", "javascript"],
    *("uses cookies", "lorem ipsum", "read more", "a" * 30, "ha ha ha", "the the", "\u200b", "\ufeff"),
)
BLANKS = (" ", " ", " ", " ", "\n", "\n\n", "\n\n\n", "\t", "\u00a0", "\r\n", "  ", " \n ", "\u3000", ". ", "\u2028")

ROFF = re.compile(r"\\(?:f.|\(..|[-&e ~|^])")


def mixtures(number: int, seed: int) -> Iterator[str]:
    """Texts of odd pieces and blanks, some with much repetition."""
    draw = random.Random(seed)
    for _ in range(number):
        few = draw.sample(PIECES, draw.choice([3, 8, len(PIECES)]))
        length = draw.choice([1, 2, 5, 15, 60, 150])
        yield "".join(draw.choice(few) + draw.choice(BLANKS) for _ in range(length))


def documentation(least: int) -> Iterator[str]:
    """Docstrings of the standard library of `least` characters or more, and every fourth module's source."""
    for number, found in enumerate(sorted(pkgutil.iter_modules(), key=lambda m: m.name)):
        if found.name.startswith("_") or found.name not in sys.stdlib_module_names - {"this", "antigravity"}:
            continue
        module = import_module(found.name)
        file = Path(getattr(module, "__file__", None) or "")
        if number % 4 == 0 and file.suffix == ".py" and file.stat().st_size < 60_000:
            yield file.read_text(encoding="utf-8")
        for each in (module, *(v for v in vars(module).values() if inspect.isclass(v) or inspect.isfunction(v))):
            text = inspect.getdoc(each) or ""
            if len(text) >= least and getattr(each, "__module__", found.name) == found.name:
                yield text


def manuals(each: int) -> Iterator[str]:
    """Up to `each` manual pages of every language on this machine, without the lines that are requests."""
    for folder in sorted(Path("/usr/share/man").glob("*/man[1-8]")):
        for file in sorted(folder.glob("*.gz"))[:each]:
            text = gzip.decompress(file.read_bytes()).decode("utf-8", "replace")
            yield ROFF.sub("", "\n".join(line for line in text.split("\n") if not line.startswith((".", "'"))))


def real(least: int = 300, each: int = 8) -> list[str]:
    """Real documents."""
    return [*documentation(least), *manuals(each)]
