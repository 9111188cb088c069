"""Columns that steps add to documents."""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from .document import SCHEMA
from .pipeline import Step


def schema_behind(steps: Iterable[Step], schema: pa.Schema = SCHEMA) -> pa.Schema:
    """The columns of documents of `schema` that passed the steps."""
    fields = {field.name: field for field in schema}
    for step in steps:
        fields |= {field.name: field for field in added_columns(step.settings)}
    return pa.schema(list(fields.values()))


def added_columns(settings: Any) -> list[pa.Field]:
    """The columns that a step adds; a step that says nothing adds none."""
    columns = getattr(settings, "columns", None)
    return columns() if columns else []


def filled(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """`rows` with the columns of `schema` in order, null where they have none."""
    for field in schema:
        if field.name not in rows.column_names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names)
