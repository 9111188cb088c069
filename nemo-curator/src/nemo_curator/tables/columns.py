"""Which columns an input has: those of every document, and its owner's."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..document import SCHEMA
from ..foundation.errors import InputError
from ..read.files import InputFile
from ..read.jsonl import bounded_lines
from ..read.parquet import BROKEN
from ..read.records import UNREADABLE, Reading
from ..read.unpack import damage, open_unpacked

TYPES: Mapping[type, pa.DataType] = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
LARGEST_INT = 1 << 63


def unified(files: Iterable[InputFile], reading: Reading) -> pa.Schema:
    """SCHEMA, and behind it every column of the owner's, in the order in which they turn up.

    A field of a JSON line that has values of several types, or objects, becomes a string that holds JSON.
    """
    own: dict[str, pa.DataType] = {}
    for file in files:
        found = parquet_columns(file) if file.format == "parquet" else json_columns(file, reading)
        for name, kind in found.items():
            own[name] = merged(own[name], kind) if name in own else kind
    taken = {*SCHEMA.names, reading.text_field}
    extra = [pa.field(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in own.items()]
    return pa.schema([*SCHEMA, *(field for field in extra if field.name not in taken)])


def parquet_columns(file: InputFile) -> dict[str, pa.DataType]:
    """Name and type of the columns of a Parquet file; none where it cannot be read, which its reader reports."""
    try:
        with file.open() as handle:
            schema = pq.read_schema(handle)
    except BROKEN:
        return {}
    return {field.name: field.type for field in schema}


def json_columns(file: InputFile, reading: Reading) -> dict[str, pa.DataType]:
    """Name and type of the fields of JSON lines; lines that are none are left to the reader."""
    decode = msgspec.json.Decoder().decode
    found: dict[str, pa.DataType] = {}
    for line in lines_of(file, reading):
        try:
            value = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        for name, item in value.items() if isinstance(value, dict) else ():
            kind = type_of(item)
            found[name] = merged(found[name], kind) if name in found else kind
    return found


def lines_of(file: InputFile, reading: Reading) -> Iterator[bytes]:
    """The lines of a file, as far as it can be read."""
    try:
        with open_unpacked(file) as lines:
            yield from (line for line in bounded_lines(lines, reading) if line is not None)
    except UNREADABLE:  # which its reader reports
        return
    except Exception as error:  # noqa: BLE001 - `damage` raises again what is not a fault of the file
        damage(file, error)


def type_of(value: object) -> pa.DataType:
    """The Arrow type of a JSON value."""
    if value is None:
        return pa.null()
    if isinstance(value, int) and not -LARGEST_INT <= value < LARGEST_INT:
        return pa.string()
    return TYPES.get(type(value), pa.string())


def merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """A type that holds the values of both."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    try:
        return (
            pa.unify_schemas([pa.schema([("x", one)]), pa.schema([("x", other)])], promote_options="permissive")
            .field("x")
            .type
        )
    except pa.ArrowTypeError:
        return pa.string()


def as_type(value: Any, kind: pa.DataType) -> Any:
    """A value as its column holds it: JSON in a column of strings, where it is no string."""
    if value is None or isinstance(value, str) or not pa.types.is_string(kind):
        return value
    return msgspec.json.encode(value).decode()


def required(schema: pa.Schema, name: str, *, option: str) -> pa.Field:
    """The column called `name`. Raises InputError naming the others where there is none."""
    if name not in schema.names:
        raise InputError(f"{option}={name}: the input has no such column; it has {', '.join(schema.names)}")
    return schema.field(name)
