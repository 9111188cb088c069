"""Filter configurations of the Dask-era package (heuristic_filter_en.yaml and the like) as settings of ``filter``."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..foundation.errors import ConfigError

UNSPACED = ("ja", "zh")
ELSEWHERE = {
    "FastTextQualityFilter": "the step fasttext",
    "FastTextLangId": "the step language",
    "SubstringFilter": "the step contains",
    "HistogramFilter": "filter-bitext",
    "LengthRatioFilter": "filter-bitext",
    "PerExtensionFilter": "min_fits_extension=1",
    "TokenCountFilter": "min_tokens and max_tokens",
}


def settings_of_config(path: Path) -> dict[str, Any]:
    """The settings that a configuration's filters and limits become.

    Raises ConfigError for a file or entry that is none, naming what takes a filter's place where it is no rule here.
    """
    plain = read(path)
    entries = plain.get("filters")
    if not isinstance(entries, list):
        raise ConfigError(f"{path}: has no list 'filters', as configurations of filter_documents have")
    settings: dict[str, Any] = {"preset": "none", "definitions": "nemo"}
    if plain.get("input_field"):
        settings["text_field"] = plain["input_field"]
    for number, entry in enumerate(entries, 1):
        place = f"{path}: filter {number}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise ConfigError(f"{place} has no name")
        settings |= limits_of(entry["name"].rpartition(".")[2], entry.get("params") or {}, place)
        if entry.get("log_score"):
            settings["keep_scores"] = True
    return settings


def read(path: Path) -> Mapping[str, Any]:
    """The configuration. Raises ConfigError where it is no YAML mapping."""
    from yaml import YAMLError

    from ..foundation.settings import RecipeLoader

    try:
        plain = RecipeLoader(path.read_text(encoding="utf-8")).get_single_data()
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as a filter configuration ({error})") from None
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{path}: is no filter configuration, but {type(plain).__name__}")
    return plain


def limits_of(name: str, given: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Thresholds of one filter, with its defaults for what is not given."""
    from . import data

    table = data("filters.yaml")
    if name not in table:
        instead = ELSEWHERE.get(name)
        raise ConfigError(f"{place}: {name} is no rule of filter" + (f"; use {instead}" if instead else ""))
    rest = dict(given)
    n, language = rest.pop("n", 2), rest.pop("lang", "en")
    found: dict[str, Any] = {"segment": "dictionary"} if language in UNSPACED else {}
    for parameter, target in table[name].items():
        value = rest.pop(parameter, None)
        threshold, _, default = target.replace("{n}", str(n)).partition("=")
        if threshold != "-":
            found[threshold] = float(default) if value is None else value
    check(found, rest, name, place)
    return found


def check(found: Mapping[str, Any], rest: Mapping[str, Any], name: str, place: str) -> None:
    """Raise ConfigError for a threshold that there is not, and for a parameter that the filter does not have."""
    from ..filter.thresholds import Quality

    known = {field.name for field in fields(Quality)}
    for threshold in found:
        if threshold not in known:
            raise ConfigError(f"{place}: {name}: filter has no threshold {threshold}")
    if rest:
        raise ConfigError(f"{place}: {name} has no parameter {next(iter(rest))!r}")
