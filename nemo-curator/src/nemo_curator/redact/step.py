"""The redact step at work: find, replace, count."""

import hashlib
import hmac
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pyarrow as pa

from ..document import Verdict, set_column
from ..foundation.backend import Backend, load_backend
from ..foundation.errors import ConfigError
from .checks import is_ip, is_public_ip
from .kinds import BY_NAME, Kind
from .settings import PRESIDIO, Redact

BACKENDS = {PRESIDIO: Backend(module="nemo_curator.redact.presidio_backend", extra="pii")}
LEAST_KEY_CHARACTERS = 16
HASH_CHARACTERS = 16


@dataclass(frozen=True, order=True)
class Found:
    """A span of a text and the kind of what is there."""

    start: int
    end: int
    kind: str


Finder = Callable[[str], Iterable[Found]]


def redactor(settings: Redact) -> Callable[[pa.Table], Verdict]:
    """The step as a function from a batch to its verdict."""
    find = finder(settings)
    stand_in = replacement(settings)

    def step(documents: pa.Table) -> Verdict:
        texts, counts = [], []
        for text in documents["text"].to_pylist():
            redacted, count = redact(text or "", find, stand_in)
            texts.append(redacted)
            counts.append(count)
        documents = set_column(documents, "text", pa.array(texts, documents["text"].type))
        for field, name in zip(settings.columns(), settings.chosen(), strict=False):
            documents = with_column(documents, field, [count[name] for count in counts])
        nothing = pa.nulls(documents.num_rows, pa.string())
        return Verdict(documents=documents, reason=nothing, counts=sum(counts, Counter()))

    return step


def with_column(documents: pa.Table, field: pa.Field, values: list[int]) -> pa.Table:
    """`documents` with a column, in place of one of that name."""
    if field.name in documents.column_names:
        documents = documents.drop_columns([field.name])
    return documents.append_column(field, pa.array(values, field.type))


def redact(text: str, find: Finder, stand_in: Callable[[str, str], str]) -> tuple[str, Counter[str]]:
    """`text` with everything found replaced, and how many of each kind; of overlapping finds the first stays."""
    parts: list[str] = []
    counts: Counter[str] = Counter()
    end = 0
    for found in sorted(find(text), key=lambda f: (f.start, -f.end)):
        if found.start < end:
            continue
        parts += [text[end : found.start], stand_in(found.kind, text[found.start : found.end])]
        counts[found.kind] += 1
        end = found.end
    return "".join([*parts, text[end:]]), counts


def finder(settings: Redact) -> Finder:
    """The function that finds the chosen kinds in a text."""
    if settings.engine == PRESIDIO:
        module = load_backend("redaction engine", PRESIDIO, BACKENDS, package="nemo-curator")
        finds: Finder = module.finder(settings)
        return finds
    kinds = [BY_NAME[name] for name in settings.chosen()]
    is_address = is_ip if settings.private_networks else is_public_ip

    def find(text: str) -> list[Found]:
        found: list[Found] = []
        for kind in kinds:
            check = is_address if kind.name == "ip_address" else kind.check
            if not kind.hints or any(hint in text for hint in kind.hints):
                found += matches(text, kind, check, found)
        return found

    return find


def matches(text: str, kind: Kind, check: Callable[[str], bool], before: list[Found]) -> list[Found]:
    """What is of this kind, apart from what an earlier kind has taken."""
    found = []
    group = "it" if "it" in kind.pattern.groupindex else 0
    for match in kind.pattern.finditer(text):
        part = group if group == 0 or match[group] is not None else 0
        start, end = match.span(part)
        taken = any(other.start < end and start < other.end for other in before)
        if not taken and check(match[part]):
            found.append(Found(start, end, kind.name))
    return found


def replacement(settings: Redact) -> Callable[[str, str], str]:
    """What stands in for a find, from its kind and content."""
    if settings.mode == "mask":
        return lambda _, content: settings.mask * len(content)
    if settings.mode == "remove":
        return lambda _, __: ""
    if settings.mode == "replace":
        return lambda kind, _: f"<{kind.upper()}>"
    key = os.environ.get(settings.hash_key_variable, "")
    if len(key) < LEAST_KEY_CHARACTERS:
        raise ConfigError(
            f"mode=hash: the environment variable {settings.hash_key_variable} holds no key of at least "
            f"{LEAST_KEY_CHARACTERS} characters; set it, for example to the output of: openssl rand -hex 32"
        )

    def keyed(kind: str, content: str) -> str:
        digest = hmac.new(key.encode(), f"{kind}\0{content}".encode(), hashlib.sha256).hexdigest()
        return f"<{kind.upper()}:{digest[:HASH_CHARACTERS]}>"

    return keyed
