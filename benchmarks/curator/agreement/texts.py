"""Texts to compare on: odd ones by hand, mixtures drawn by seed, and real documents of this machine."""

import gzip
import inspect
import pkgutil
import random
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

ODD = (
    "", " ", "\n", "\r\n", "\t", "word", "Wort", "...", "!!!", "#", "# # #", "\u2026", "?", '"', "''", "{", "[1]", "(())",
    "the", "THE AND OF", "the and", "a b", "1234 5678", "\u0663\u0664\u0665 \u0967\u0968", "\u00b2\u00bd", "x" * 1001,
    "line one\r\nline two\r\nline two\r\n", "tab\tsep\tarated\ttab\tsep", "\u200bzero\u200bwidth\u200b \u200b",
    "no\u00a0break\u00a0space", "\ufeffmark", "soft\u00adhyphen", "wide\u3000blank", "nul\x00byte", "a\x0bb\x0cc\x1cd",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec\u53bb\u516c\u56ed\u6563\u6b65\u3002" * 8,
    "\u4eca\u65e5\u306f\u5929\u6c17\u304c\u3044\u3044\u3067\u3059\u3002\u6563\u6b65\u306b\u884c\u304d\u307e\u3057\u3087\u3046\u3002" * 5,
    "\u0e27\u0e31\u0e19\u0e19\u0e35\u0e49\u0e2d\u0e32\u0e01\u0e32\u0e28\u0e14\u0e35\u0e21\u0e32\u0e01\u0e40\u0e23\u0e32\u0e44\u0e1b\u0e40\u0e14\u0e34\u0e19" * 6,
    "\ud55c\uad6d\uc5b4 \ubb38\uc7a5\uc740 \ub744\uc5b4\uc4f0\uae30\uac00 \uc788\uc2b5\ub2c8\ub2e4. " * 6,
    "\u0647\u0630\u0627 \u0646\u0635 \u0639\u0631\u0628\u064a \u0642\u0635\u064a\u0631\u060c \u0648\u0641\u064a\u0647 \u0643\u0644\u0645\u0627\u062a\u061f \u0646\u0639\u0645. " * 6,
    "\u092f\u0939 \u090f\u0915 \u0939\u093f\u0928\u094d\u0926\u0940 \u0935\u093e\u0915\u094d\u092f \u0939\u0948\u0964 " * 6,
    "\u042d\u0442\u043e \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442 \u0441 \u043f\u043e\u0432\u0442\u043e\u0440\u0435\u043d\u0438\u0435\u043c. " * 6,
    "\U0001f600\U0001f680 emoji \U0001f468\u200d\U0001f469\u200d\U0001f467 only \u2764\ufe0f", "e\u0301te\u0301 combining",
    "https://a.com", "see https://a.com/x?y=<1>; and www.b.org, (http://c.net/d).", "http://x.porn/ y",
    "\u2022 one\n\u2022 two\n- three\n* four\n\u25cf five", "read more\nRead more..\n[...]\n(...)\nfine",
    "lorem ipsum dolor", "terms of use\n\nreal text\n\nprivacy policy", "real\n\nuses cookies\n\nreal again",
    "dup\n\ndup\n\ndup\n\nother", "  lead\nlead\nlead  ", "\n\n\n\nmany\n\n\n\n\nbreaks\n\n",
    'import os\n# comment\ndef f():\n    """doc"""\n    return 1\n', "<?xml version='1.0'?><a/>", "<html><p>" + "seen " * 40,
    '"quoted"', '"two\nlines"', '"first"\nlast"', "**bold** and *it* _un_ [t](http://u.v)", "a*b*c __init__ snake_case",
)  # fmt: skip
PIECES = (
    "the", "and", "of", "to", "have", "data", "Model", "été", "naïve", "straße", "слово", "字", "漢字", "カナ", "...", "…",
    "#", "##", "•", "-", "*", "12", "3.5", "50%", "x_1", "don't", "“q”", "(a)", "[b]", "{c}", "https://a.b/c", "end.", "why?",
    "wow!", "uses cookies", "lorem ipsum", "read more", "javascript", "a" * 30, "ha ha ha", "the the", "\u200b", "\ufeff",
)  # fmt: skip
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
