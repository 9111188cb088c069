"""Documentation strings as HTML: prose in paragraphs, examples and tables as they are laid out."""

import html
import inspect
import re

ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
RULE = re.compile(r"^[=\-~*^\"]{3,}$")
CODE = re.compile(r"^\s*(>>>|\.\.\.|\$ )")
ITEM = re.compile(r"^\s*([-*\u2022]|\d+[.)])\s+")


def scrub(text: str) -> str:
    """`text` without what differs from one run to the next: addresses of objects."""
    return ADDRESS.sub("", text)


def docstring(thing: object) -> str:
    """The object's own documentation, dedented; "" where it has none."""
    found = getattr(thing, "__doc__", None)
    return scrub(inspect.cleandoc(found)) if isinstance(found, str) else ""


def summary_of(text: str) -> str:
    """The first sentence or line of a documentation, without a signature in front of it."""
    for block in blocks(text):
        line = " ".join(block)
        if not looks_like_signature(block[0]) or len(block) > 1:
            return first_sentence(" ".join(block[1:]) if looks_like_signature(block[0]) else line)
    return ""


def first_sentence(text: str) -> str:
    """Up to the first full stop that a space and a capital letter follow."""
    found = re.match(r"(.*?[.!?])(?:\s+[A-Z(\"'].*)?$", text, re.DOTALL)
    return (found.group(1) if found else text).strip()


def looks_like_signature(line: str) -> bool:
    """Whether a line shows how something is called: ``name(...) -> result``."""
    return re.match(r"^[\w.]+\(.*\)\s*(->.*)?:?$", line.strip()) is not None


def blocks(text: str) -> list[list[str]]:
    """Groups of lines between blank ones."""
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            found[-1].append(line.rstrip())
        elif found[-1]:
            found.append([])
    return [block for block in found if block]


def to_html(text: str) -> str:
    """Paragraphs, lists and preformatted blocks of a documentation."""
    return "\n".join(part for block in blocks(text) for part in block_to_html(block))


def block_to_html(block: list[str]) -> list[str]:
    """One block as HTML elements."""
    if len(block) == 2 and RULE.match(block[1].strip()):
        return [f"<h3>{html.escape(block[0].strip())}</h3>"]
    if all(RULE.match(line.strip()) for line in block):
        return []
    if looks_like_signature(block[0]) and len(block) > 1:
        return [preformatted(block[:1]), *block_to_html(block[1:])]
    if any(CODE.match(line) for line in block) or looks_like_table(block) or looks_like_signature(block[0]):
        return [preformatted(block)]
    if ITEM.match(block[0]):
        return ["<ul>", *(f"<li>{html.escape(item)}</li>" for item in items(block)), "</ul>"]
    return [f"<p>{html.escape(' '.join(line.strip() for line in block))}</p>"]


def preformatted(lines: list[str]) -> str:
    """Lines as they are laid out."""
    return f"<pre><code>{html.escape(chr(10).join(lines))}</code></pre>"


def looks_like_table(block: list[str]) -> bool:
    """Whether most lines have columns parted by runs of blanks, or are deeply indented like code."""
    columns = sum(bool(re.search(r"\S {3,}\S", line)) for line in block)
    indented = sum(line.startswith("    ") for line in block)
    return 2 * columns > len(block) or (indented == len(block) and any(c in "".join(block) for c in "=(){}[]"))


def items(block: list[str]) -> list[str]:
    """The items of a list, each with the lines that go on in it."""
    found: list[str] = []
    for line in block:
        if ITEM.match(line) or not found:
            found.append(ITEM.sub("", line).strip())
        else:
            found[-1] += f" {line.strip()}"
    return found
