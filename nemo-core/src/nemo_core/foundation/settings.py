"""Settings: a frozen dataclass per command, filled from defaults, then a YAML recipe, then ``key=value`` words.

Types and limits are declared with msgspec (``Annotated[int, Meta(ge=1, description="...")]``), which checks them and
writes their JSON schema; this module adds the place (file:line or command line) and the nearest known name.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from .errors import ConfigError

Settings = TypeVar("Settings")
Key = tuple[str, ...]
COMMAND_LINE = "command line"


class RecipeLoader(yaml.SafeLoader):
    """YAML whose scalars read as people write them: 1e-3 is a number, and only true/false are booleans."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":float", ":bool", ":timestamp"))]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|nan))$"),
    list("-+0123456789."),
)
RecipeLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


@dataclass(frozen=True)
class Sourced:
    """Raw values and where each came from, so that an error can name the place."""

    values: dict[str, Any]
    places: dict[Key, str]

    def place(self, key: Key) -> str:
        """The file:line (or command line) of `key`, or of the nearest parent that has one."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return "settings"


def load(cls: type[Settings], recipe: Path | None = None, overrides: Sequence[str] = ()) -> Settings:
    """An instance of `cls`. Raises ConfigError naming place, key, what is allowed and the nearest known key."""
    sourced = read_recipe(recipe) if recipe else Sourced({}, {})
    for word in overrides:
        apply_override(sourced, word, cls)
    return convert(cls, sourced)


def convert(cls: type[Settings], sourced: Sourced) -> Settings:
    """Check `sourced` against the dataclass `cls` and build it."""
    reject_unknown(cls, sourced.values, (), sourced)
    try:
        return msgspec.convert(sourced.values, cls, dec_hook=_decode)
    except (msgspec.ValidationError, ConfigError) as error:
        raise ConfigError(_explain(cls, str(error), sourced)) from None


def read_recipe(path: Path) -> Sourced:
    """The mapping in a YAML file, with the line of every key. Raises ConfigError where it is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such recipe file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a recipe ({error})") from None
    try:
        node = yaml.compose(text, Loader=RecipeLoader)
        values = RecipeLoader(text).get_single_data()
    except RecursionError:
        raise ConfigError(f"{path}: no recipe: lists or mappings lie too deep in one another") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if values is None:
        return Sourced({}, {})
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a recipe is a mapping of settings, this is a {type(values).__name__}")
    return Sourced(values, {key: f"{path}:{line}" for key, line in _lines(node, ())})


def _lines(node: yaml.Node | None, prefix: Key) -> Iterable[tuple[Key, int]]:
    if isinstance(node, yaml.MappingNode):
        for name, child in node.value:
            key = (*prefix, str(name.value))
            yield key, name.start_mark.line + 1
            yield from _lines(child, key)


def apply_override(sourced: Sourced, word: str, cls: type | None = None) -> None:
    """Set the dotted key of ``a.b=value`` in place; the value is read as YAML.

    Where `cls` wants text there, a number stays as it was written: a date such as 20240301 needs no quotes.
    """
    name, equals, text = word.partition("=")
    key = tuple(name.strip().split("."))
    if not equals or not all(key):
        example = f"{word[2:].replace('-', '_')}=..." if word.startswith("--") else "for example output=runs/first"
        raise ConfigError(f"{COMMAND_LINE}: {word!r} is no setting; write key=value, {example}")
    try:
        value = RecipeLoader(text).get_single_data() if text else ""
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ConfigError(f"{COMMAND_LINE}: {word!r} is no YAML; quote it, as {name}='\"...\"' ({why})") from None
    if isinstance(value, int | float) and cls is not None and _wants_text(cls, key):
        value = text.strip()
    target = sourced.values
    for part in key[:-1]:
        target = target.setdefault(part, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{COMMAND_LINE}: {word!r}: {part!r} holds a value, not further keys")
    target[key[-1]] = value
    sourced.places[key] = COMMAND_LINE


def reject_unknown(cls: Any, values: Any, prefix: Key, sourced: Sourced) -> None:
    """Raise ConfigError for the first key that the dataclass `cls` (or one nested in it) does not have."""
    inner = _dataclass_in(cls)
    if inner is None:
        items = _mapping_values(cls)
        if items is not None and isinstance(values, Mapping):
            for name, value in values.items():
                reject_unknown(items, value, (*prefix, str(name)), sourced)
        return
    if not isinstance(values, Mapping):
        return
    hints = _hints(inner)
    for name, value in values.items():
        key = (*prefix, str(name))
        if name not in hints:
            raise ConfigError(
                f"{sourced.place(key)}: unknown key {'.'.join(key)!r}{did_you_mean(str(name), hints)} "
                f"(known here: {', '.join(hints)})"
            )
        reject_unknown(hints[name], value, key, sourced)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def to_plain(settings: Any) -> Any:
    """The settings (or any result) as JSON-ready values, defaults included, for manifests and resolved recipes."""
    is_record = dataclasses.is_dataclass(settings) and not isinstance(settings, type)
    return msgspec.to_builtins(dataclasses.asdict(settings) if is_record else settings, enc_hook=str)


def schema(cls: type) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of a settings dataclass; unknown keys are refused at every level."""
    (root,), components = msgspec.json.schema_components(
        (cls,), schema_hook=_schema_hook, ref_template="#/$defs/{name}"
    )
    for component in components.values():
        if component.get("type") == "object" and "properties" in component:
            component["additionalProperties"] = False
            component["description"] = component.get("description", "").split("\n")[0]
    return {**root, "$defs": dict(sorted(components.items()))}


def _explain(cls: Any, message: str, sourced: Sourced) -> str:
    text, _, path = message.partition(" - at `$.")
    key = tuple(re.sub(r"\[.*?\]", "", path.rstrip("`")).split(".")) if path else ()
    text += _more_about(cls, key, text, sourced)
    name = f"{'.'.join(key)}: " if key else ""
    if text.startswith("Object missing required field"):
        missing = text.split("`")[1]
        return (
            f"{sourced.place(key)}: {'.'.join((*key, missing))} is required; set it in the recipe or as {missing}=..."
        )
    return f"{sourced.place(key)}: {name}{text[0].lower()}{text[1:]}" if key else f"{sourced.place(key)}: {text}"


def _more_about(cls: Any, key: Key, text: str, sourced: Sourced) -> str:
    """What msgspec leaves out: the values that a choice allows, and the value that is of another type."""
    if text.startswith("Invalid enum value"):
        allowed = [str(value) for value in _choices(_annotation_at(cls, key))]
        return f"{did_you_mean(text.split(chr(39))[1], allowed)} (one of {', '.join(allowed)})" if allowed else ""
    if text.startswith("Object contains unknown field"):
        known = [
            name for item in _item_types(_annotation_at(cls, key)) for name in getattr(item, "__struct_fields__", ())
        ]
        return f"{did_you_mean(text.split('`')[1], known)} (known here: {', '.join(known)})" if known else ""
    value: Any = sourced.values
    for part in key:
        value = value.get(part) if isinstance(value, Mapping) else None
    if not text.startswith("Expected"):
        return ""
    remedy = _remedy(cls, key, text, value)
    if not isinstance(value, str | int | float | bool):
        return remedy
    return (f" {value!r}" if ", got " in text else f", got {value!r}") + remedy


def _remedy(cls: Any, key: Key, text: str, value: Any) -> str:
    """How people meant it, where a value is of another type: a number with a unit, one of a list, a part of several."""
    wanted, name = text.split("`")[1].partition(" ")[0], ".".join(key)
    if wanted == "int" and isinstance(value, float) and value.is_integer():
        return f"; write {int(value)}"
    if wanted in ("int", "float") and isinstance(value, str) and re.match(r"\s*[-+]?[\d.]", value):
        return "; write the number alone, without unit, percent sign or separators"
    form = _form(_annotation_at(cls, key)) if wanted in ("array", "object") else ""
    if form == "[...]" and isinstance(value, str | int | float | bool):
        return f"; write a list: {name}=[{value}]"
    inner = _dataclass_in(_annotation_at(cls, key)) if wanted == "object" else None
    if inner is not None and not _needed(inner):
        return f"; it has settings of its own: {', '.join(f'{name}.{each}' for each in _hints(inner))}"
    return f"; write {name}={form}" if form else ""


def _needed(inner: Any) -> list[str]:
    """Settings of a group that have to be given."""
    return [row.key for row in describe(inner) if row.default == "required"]


def _form(annotation: Any) -> str:
    """How a list, mapping or group of settings is written, as `[{use: ...}]`; nothing for a single value."""
    inner, items = _dataclass_in(annotation), _mapping_values(annotation)
    if inner is not None:
        return f"{{{', '.join(f'{name}: ...' for name in _needed(inner) or list(_hints(inner))[:1])}}}"
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return f"{{{', '.join(f'{one.name}: ...' for one in msgspec.structs.fields(annotation) if one.required)}}}"
    if items is not None:
        return f"{{NAME: {_form(items) or '...'}}}"
    listed = [a for a in _unwrapped(annotation) if typing.get_origin(a) in (list, tuple)]
    return f"[{_form(typing.get_args(listed[0])[0]) or '...'}]" if listed else ""


def _choices(annotation: Any) -> list[Any]:
    """The values of the Literals in an annotation, also of those that a list or dict of it holds."""
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [value for part in typing.get_args(annotation) for value in _choices(part)]


def _decode(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        if not value.strip():
            raise ValueError("expected a path, got nothing; is a variable of the shell empty?")
        return Path(value).expanduser()
    raise ConfigError(f"expected {wanted.__name__}, got {type(value).__name__}")


def _schema_hook(wanted: type) -> dict[str, Any]:
    if wanted is Path:
        return {"type": "string", "format": "path"}
    raise TypeError(f"no JSON schema for {wanted}")


@cache
def _hints(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def _unwrapped(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without Annotated and without None."""
    if typing.get_origin(annotation) is typing.Annotated:
        return _unwrapped(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [a for arg in typing.get_args(annotation) for a in _unwrapped(arg) if a is not type(None)]
    return [annotation]


def _dataclass_in(annotation: Any) -> type | None:
    return next((a for a in _unwrapped(annotation) if isinstance(a, type) and dataclasses.is_dataclass(a)), None)


def _wants_text(annotation: Any, key: Key) -> bool:
    """Whether the setting `key` of a dataclass can be text and cannot be a number."""
    annotation = _annotation_at(annotation, key)
    alternatives = set(_unwrapped(annotation)) if annotation is not None else set()
    return bool(alternatives & {str, Path}) and not alternatives & {int, float, bool, Any}


def _annotation_at(annotation: Any, key: Key) -> Any:
    """The type of the setting `key` of a dataclass; None where it has none."""
    for name in key:
        inner = _dataclass_in(annotation)
        annotation = _hints(inner).get(name) if inner else _mapping_values(annotation)
    return annotation


def _item_types(annotation: Any) -> list[Any]:
    """The types of a list's or tuple's items."""
    listed = [a for a in _unwrapped(annotation) if typing.get_origin(a) in (list, tuple)]
    return [item for a in listed for item in typing.get_args(a) if item is not Ellipsis]


def _mapping_values(annotation: Any) -> Any:
    for alternative in _unwrapped(annotation):
        if typing.get_origin(alternative) is dict:
            return typing.get_args(alternative)[1]
    return None


@dataclass(frozen=True, kw_only=True)
class Described:
    """One setting as `--help` shows it."""

    key: str
    kind: str
    default: str
    about: str


def describe(cls: type, prefix: str = "") -> list[Described]:
    """Every setting of `cls` and of the dataclasses nested in it, in order."""
    rows: list[Described] = []
    hints = _hints(cls)
    for item in dataclasses.fields(cls):
        annotation = hints[item.name]
        inner = _dataclass_in(annotation)
        if inner is not None and item.default is not None:
            rows += describe(inner, f"{prefix}{item.name}.")
        else:
            rows.append(
                Described(
                    key=f"{prefix}{item.name}",
                    kind=_kind(annotation),
                    default=_default(item),
                    about=_about(annotation),
                )
            )
    return rows


def _default(item: "dataclasses.Field[Any]") -> str:
    if item.default is not dataclasses.MISSING:
        value = item.default
    elif item.default_factory is not dataclasses.MISSING:
        value = item.default_factory()
    else:
        return "required"
    return msgspec.json.encode(value, enc_hook=str).decode()


def _about(annotation: Any) -> str:
    """The description in an annotation, or in one of its alternatives (``Annotated[int, ...] | None``)."""
    if typing.get_origin(annotation) is typing.Annotated:
        notes = typing.get_args(annotation)[1:]
        own = [note.description for note in notes if isinstance(note, msgspec.Meta) and note.description]
        return own[0] if own else _about(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next(filter(None, map(_about, typing.get_args(annotation))), "")
    return ""


def _kind(annotation: Any) -> str:
    names = []
    for alternative in _unwrapped(annotation):
        origin = typing.get_origin(alternative)
        if origin is typing.Literal:
            names.append("|".join(map(str, typing.get_args(alternative))))
        else:
            names.append(getattr(origin or alternative, "__name__", str(alternative)).lower())
    return " or ".join(names)
