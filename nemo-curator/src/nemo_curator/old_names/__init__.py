"""Console scripts of the Dask-era package as other words for our commands."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..foundation.errors import UserError
from . import filter_config

LIST = "[]"
CONFIG = "@filters"
NAME = re.compile("^(deidentify|[a-z]+(_[a-z]+)+)$")


@dataclass(frozen=True, kw_only=True)
class OldCommand:
    """What has become of a script: a command of ours with settings, or what to do `instead`."""

    name: str
    now: str = ""
    instead: str = ""
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[str] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    none: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Translation:
    """Words for our command line, and what is to be said of flags that have gone."""

    words: list[str]
    notes: list[str]


@cache
def table() -> dict[str, OldCommand]:
    """Every script by its name."""
    return {name: whole(name, dict(entry), data("shared.yaml")) for name, entry in data("commands.yaml").items()}


@cache
def data(name: str) -> dict[str, Any]:
    """A data file of this package."""
    from ..foundation.settings import RecipeLoader

    text = (files(__package__) / name).read_text(encoding="utf-8")
    found: dict[str, Any] = RecipeLoader(text).get_single_data()
    return found


def whole(name: str, entry: dict[str, Any], shared: Mapping[str, Any]) -> OldCommand:
    """An entry with the flags that it has in common with others, as far as the new command has their settings."""
    kin = shared[entry.pop("like")] if "like" in entry else {"flags": {}, "none": {}}
    keys = settings_of(entry.get("now", ""))
    common = {flag: key for flag, key in shared["flags"].items() if key in keys}
    missing = {flag: f"this command has no setting {key}" for flag, key in shared["flags"].items() if key not in keys}
    flags = {**common, **kin["flags"], **entry.pop("flags", {})}
    none = {**missing, **shared["none"], **kin["none"], **entry.pop("none", {})}
    return OldCommand(name=name, flags=flags, none={k: v for k, v in none.items() if k not in flags}, **entry)


def settings_of(command: str) -> set[str]:
    """Names of the settings of one of our commands."""
    from dataclasses import fields

    from ..cli import PROGRAM
    from ..foundation.command import resolve

    return {field.name for field in fields(resolve(PROGRAM.find(command).settings))} if command else set()


def modern(words: list[str]) -> list[str] | None:
    """The words, where they begin with an old script's name, as our commands take them; None where help was wanted.

    Flags that have gone are named on stderr. Raises UserError where the script has no command of its own, or never
    had a flag.
    """
    if not words or not NAME.match(words[0]) or words[0] not in data("commands.yaml"):
        return words
    old = table()[words[0]]
    if any(word in ("-h", "--help") for word in words[1:]):
        print(manual(old))
        return None
    found = translate(old, words[1:])
    for note in [f"{old.name} is now: nemo-curator {' '.join(map(quoted, found.words))}", *found.notes]:
        print(f"nemo-curator: {note}", file=sys.stderr)
    return found.words


def translate(old: OldCommand, words: Sequence[str]) -> Translation:
    """Our words for those of an old script."""
    if old.instead:
        raise UserError(f"{old.name}: {old.instead}")
    settings: dict[str, Any] = dict(old.settings)
    steps = list(old.steps)
    notes = [old.note] if old.note else []
    said: list[str] = []
    for flag, value in pairs(words):
        if "=" in flag and not flag.startswith("-"):
            said.append(flag)
        elif flag in old.flags:
            take(old, old.flags[flag], value, settings, steps)
        else:
            notes.append(f"{flag} has no counterpart: {reason(old, flag)}")
    if steps:
        settings["pipeline"] = steps
    return Translation(
        words=[old.now, *(f"{key}={plain(value)}" for key, value in settings.items()), *said], notes=notes
    )


def take(old: OldCommand, target: str, value: str | None, settings: dict[str, Any], steps: list[str]) -> None:
    """Put a flag's value where it belongs now."""
    if target.startswith("+"):
        steps.append(target[1:])
        return
    key, equals, fixed = target.partition("=")
    key, converted, how = key.partition("~")
    if equals:
        settings[key] = fixed
    elif value is None:
        raise UserError(f"{old.name}: the flag for {key} needs a value")
    elif key == CONFIG:
        settings.update(filter_config.settings_of_config(Path(value)))
    elif converted:
        settings[key] = CONVERSIONS[how](value)
    elif key.endswith(LIST):
        settings[key.removesuffix(LIST)] = value.split(",")
    else:
        settings[key] = old.values.get(key, {}).get(value, value)


def complement(value: str) -> str:
    """1 less a share."""
    try:
        return f"{1 - float(value):g}"
    except ValueError:
        raise UserError(f"{value!r} is no number") from None


def size(value: str) -> str:
    """Bytes of a size such as 100M, by powers of 1024."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmgKMG])", value)
    if not found:
        raise UserError(f"{value!r} is no size such as 100M")
    return str(int(float(found[1]) * 1024 ** ("kmg".index(found[2].lower()) + 1)))


CONVERSIONS = {"complement": complement, "bytes": size}


def reason(old: OldCommand, flag: str) -> str:
    """Why a flag has gone. Raises UserError where there never was one."""
    from ..foundation.settings import did_you_mean

    known = flag if flag in old.none else flag.replace("--no-", "--", 1)
    if known in old.none:
        return old.none[known]
    if known in old.flags:
        return "leaving it out is the same"
    names = [*old.flags, *old.none]
    raise UserError(f"{old.name}: unknown flag {flag!r}{did_you_mean(flag, names)} (flags: {', '.join(names)})")


def pairs(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Flags with their values; a word of the form key=value stands alone."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            if "=" not in word:
                raise UserError(f"{word!r} is neither a flag nor key=value")
            yield word, None
        elif "=" in word:
            flag, _, value = word.partition("=")
            yield flag, value
        else:
            yield word, rest.pop(0) if rest and not rest[0].startswith("--") else None


def plain(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return f"[{','.join(value)}]"
    return json.dumps(value)


def quoted(word: str) -> str:
    """A word as a shell takes it."""
    from shlex import quote

    return quote(word)


def manual(old: OldCommand) -> str:
    """What has become of a script, flag by flag."""
    lines = [old.instead or f"{old.name} is now: {example(old)}", *([old.note] if old.note else []), ""]
    if old.now:
        lines += [f"  {flag}  ->  {target}" for flag, target in old.flags.items()]
        lines += [f"  {flag}  has gone: {why}" for flag, why in old.none.items()]
        lines += ["", f"All settings: nemo-curator {old.now} --help"]
    return "\n".join(lines)


def example(old: OldCommand) -> str:
    """The new command line, as a page shows it."""
    keys = settings_of(old.now)
    places = [f"{key}={word}" for key, word in (("input", "IN"), ("output", "OUT")) if key in keys]
    return f"nemo-curator {' '.join(map(quoted, translate(old, places).words))}"


def markdown() -> str:
    """The page of the documentation."""
    shared = data("shared.yaml")
    lines = [
        "# Commands of the Dask-era package",
        "",
        "`nemo-curator OLD_NAME --old-flag value` runs the command that has taken the script's place, says which, and "
        "names the flags that have gone; words of the form key=value may follow. `nemo-curator OLD_NAME --help` shows "
        "what became of each flag. This page is written by `tools/write_pages.py`.",
        "",
        "| old name | now | flags of its own → settings | gone |",
        "|---|---|---|---|",
    ]
    for old in table().values():
        now = old.instead or f"`{example(old)}`" + (f"; {old.note}" if old.note else "")
        own = {flag: target for flag, target in old.flags.items() if flag not in shared["flags"]}
        kept = ", ".join(f"`{flag}` → `{target}`" for flag, target in own.items())
        gone = ", ".join(f"`{f}` ({why})" for f, why in old.none.items() if f not in shared["none"] | shared["flags"])
        lines.append(f"| `{old.name}` | {now} | {kept or '-'} | {gone or '-'} |")
    lines += ["", "## Flags that scripts have in common", "", "| flag | now |", "|---|---|"]
    lines += [f"| `{flag}` | `{key}`, where the command has it |" for flag, key in shared["flags"].items()]
    return "\n".join([*lines, *(f"| `{flag}` | gone: {why} |" for flag, why in shared["none"].items())]) + "\n"
