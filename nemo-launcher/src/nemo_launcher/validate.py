"""A stage's settings against the JSON schema in its contract; a user's own input against the kinds a stage takes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .contracts import Contract, InputSpec
from .foundation import artifact
from .foundation.errors import ArtifactError, ConfigError
from .foundation.settings import did_you_mean

PlaceOf = Callable[[tuple[str, ...]], str]


def check_config(config: Mapping[str, Any], contract: Contract, place_of: PlaceOf, stage: str) -> None:
    """Raise ConfigError for the first setting that the schema refuses, naming its place and what is allowed."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    refuse_unknown(config, contract, place_of, stage)
    error = best_match(Draft202012Validator(contract.config_schema).iter_errors(config))
    if error is None:
        return
    key = tuple(str(part) for part in error.absolute_path)
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        full = ".".join((stage, *key, missing))
        raise ConfigError(f"{place_of(key)}: {full} is required by {contract.stage}; set it under `with:`")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = next(name for name in error.instance if name not in known)
        raise ConfigError(unknown_setting((*key, unknown), known, contract, place_of, stage))
    raise ConfigError(f"{place_of(key)}: {'.'.join((stage, *key))}: {error.message} ({help_line(contract)})")


def refuse_unknown(config: Mapping[str, Any], contract: Contract, place_of: PlaceOf, stage: str) -> None:
    """Raise ConfigError for an unknown top-level setting before any other complaint: it often explains the rest."""
    known = properties_of(contract.config_schema)
    for name in config:
        if name not in known:
            raise ConfigError(unknown_setting((str(name),), known, contract, place_of, stage))


def unknown_setting(
    key: tuple[str, ...], known: Mapping[str, Any], contract: Contract, place_of: PlaceOf, stage: str
) -> str:
    """The message for a setting that the schema does not have."""
    offered = [name for name in known if name not in (contract.output_key, "overwrite", *contract.inputs)]
    return (
        f"{place_of(key)}: unknown setting {'.'.join((stage, *key))!r}{did_you_mean(key[-1], offered)} "
        f"(known here: {', '.join(offered) or 'none'}; {help_line(contract)})"
    )


def help_line(contract: Contract) -> str:
    """Where the settings of a stage are explained."""
    package, _, command = contract.stage.partition("/")
    return f"see '{package} {command} --help'"


def properties_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The top-level properties of an object schema, through one `$ref` into `$defs`."""
    reference = schema.get("$ref")
    node = schema["$defs"][reference.rpartition("/")[2]] if reference else schema
    properties: Mapping[str, Any] = node.get("properties", {})
    return properties


def check_external(path: Path, wanted: InputSpec, place: str) -> None:
    """Raise ConfigError unless the user's own `path` can be this input."""
    if wanted.external and not (path / artifact.MANIFEST).is_file():
        return
    try:
        artifact.read(path, wanted.kinds, verify="size")
    except ArtifactError as error:
        raise ConfigError(f"{place}: {error}") from None
