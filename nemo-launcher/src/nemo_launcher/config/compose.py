"""Compose a workflow once: Hydra for defaults lists, our own words for overrides, OmegaConf for ``${...}``.

`docs/decisions/workflow-configuration.md` says why the work is split so. Only `plan` and `run` come here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..foundation.errors import ConfigError
from ..foundation.settings import Sourced, convert, did_you_mean, read_recipe, reject_unknown
from . import overrides, secrets
from .schema import STAGE_KEYS, STAGE_NAME, TOP_KEYS, StageSpec, Workflow

PRIMARY = "nemo_launcher_workflow"
MISSING = "???"


def load_workflow(file: Path, words: Sequence[str]) -> tuple[Workflow, Sourced]:
    """The workflow in `file` with `words` applied, and the place of each key.

    Raises ConfigError naming file:line (or the command line), the key and the nearest known name.
    """
    sourced = compose(file, words)
    secrets.refuse_secrets(sourced)
    resolved = Sourced(resolve(sourced, file), sourced.places)
    check_keys(resolved)
    return checked(as_fields(resolved)), resolved


def compose(file: Path, words: Sequence[str]) -> Sourced:
    """The file and the groups of its defaults list merged, then the words applied in order."""
    sourced = read_recipe(file)
    if not isinstance(sourced.values.get("stages"), dict) or not sourced.values["stages"]:
        raise ConfigError(f"{file}: a workflow needs `stages:`, a mapping of stage names")
    choices = group_choices(sourced.values, file)
    rest = []
    for word in words:
        name, _, text = word.partition("=")
        if name in choices:
            choices[name] = text
        else:
            rest.append(word)
    sourced.values.setdefault("name", file.stem)
    merged = Sourced(hydra_compose(sourced.values, choices, file), dict(sourced.places))
    for word in rest:
        overrides.apply(merged, word, file)
    return merged


def group_choices(values: Mapping[str, Any], file: Path) -> dict[str, str]:
    """Group and choice of each `group: choice` in the defaults list; the executor is local unless the list says."""
    entries = values.get("defaults") or []
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: `defaults` is a list such as [executor: local, _self_]")
    chosen = {k: str(v) for entry in entries if isinstance(entry, dict) for k, v in entry.items()}
    return {"executor": "local", **chosen}


def hydra_compose(values: dict[str, Any], choices: Mapping[str, str], file: Path) -> dict[str, Any]:
    """Let Hydra merge the defaults list; groups are looked for beside the file, then in this package's conf/."""
    from hydra import compose as compose_config
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf

    own = values.pop("executor", None)
    listed = {k for entry in values.get("defaults") or [] if isinstance(entry, dict) for k in entry}
    if "defaults" in values and "_self_" not in values["defaults"]:
        values["defaults"] = [*values["defaults"], "_self_"]
    ConfigStore.instance().store(name=PRIMARY, node=values)
    words = [f"{'' if group in listed else '+'}{group}={choice}" for group, choice in choices.items()]
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(file.resolve().parent)):
            config = compose_config(PRIMARY, ["hydra.searchpath=[pkg://nemo_launcher.conf]", *words])
    except MissingConfigException as error:
        raise ConfigError(explain_choice(error, file)) from None
    except HydraException as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from None
    OmegaConf.set_struct(config, False)
    merged = OmegaConf.to_container(OmegaConf.merge(config, {"executor": own} if own else {}), resolve=False)
    if not isinstance(merged, dict):
        raise ConfigError(f"{file}: a workflow is a mapping")
    return {str(name): value for name, value in merged.items()}


def explain_choice(error: Any, file: Path) -> str:
    """The message for a file or choice of the defaults list that is not there (of Hydra's MissingConfigException)."""
    group, _, choice = str(error.missing_cfg_file or "").rpartition("/")
    offered = [str(option) for option in error.options or []]
    near = did_you_mean(choice, offered)
    return f"{file}: defaults: {group or 'file'}: no {choice!r}{near} (available: {', '.join(offered) or 'none'})"


def resolve(sourced: Sourced, file: Path) -> dict[str, Any]:
    """Replace every ``${param}``, ``${stages.x.with.y}`` and ``${oc.env:NAME}`` by its value."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    params = sourced.values.get("params") or {}
    for name, value in params.items():
        if name in TOP_KEYS:
            raise ConfigError(f"{sourced.place(('params', name))}: param {name!r} has the name of a workflow key")
        if value == MISSING:
            raise ConfigError(f"{sourced.place(('params', name))}: param {name!r} has no value; set {name}=...")
    try:
        config = OmegaConf.create({**params, **sourced.values})
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(explain_interpolation(error, sourced, params)) from None
    return {k: v for k, v in plain.items() if k in sourced.values} if isinstance(plain, dict) else {}


def explain_interpolation(error: Exception, sourced: Sourced, params: Mapping[str, Any]) -> str:
    """The place and remedy of an interpolation that cannot be resolved."""
    key = tuple(str(getattr(error, "full_key", None) or "").split("."))
    first = str(error).splitlines()[0]
    missing = re.search(r"key '([^']+)' not found", first)
    near = did_you_mean(missing.group(1), params) if missing else ""
    literal = r"; write \${...} for a literal dollar sign and brace" if missing and not near else ""
    known = f" (params: {', '.join(params) or 'none'})" if missing else ""
    return f"{sourced.place(key)}: {'.'.join(key)}: {first}{near}{known}{literal}"


def check_keys(sourced: Sourced) -> None:
    """Raise ConfigError for a key that a stage or the file does not have (`with` is no field name: checked here)."""
    reject(sourced, sourced.values, (), TOP_KEYS)
    for stage, body in sourced.values["stages"].items():
        place = sourced.place(("stages", stage))
        if not re.fullmatch(STAGE_NAME, stage):
            raise ConfigError(f"{place}: stage name {stage!r}: use letters, digits, - and _, a letter first")
        if not isinstance(body, dict) or "use" not in body:
            raise ConfigError(f"{place}: stage {stage!r} is a mapping with `use: <package>/<command>` in it")
        reject(sourced, body, ("stages", stage), STAGE_KEYS)


def checked(sourced: Sourced) -> Workflow:
    """The workflow, stage by stage, so that a wrong value is named with its stage."""
    reject_unknown(Workflow, sourced.values, (), sourced)
    stages = {name: checked_stage(name, body, sourced) for name, body in sourced.values["stages"].items()}
    whole = convert(Workflow, Sourced({**sourced.values, "stages": {}}, sourced.places))
    return replace(whole, stages=stages)


def checked_stage(name: str, body: dict[str, Any], sourced: Sourced) -> StageSpec:
    """One stage of the workflow."""
    places = {key[2:]: place for key, place in sourced.places.items() if key[:2] == ("stages", name) and key[2:]}
    try:
        return convert(StageSpec, Sourced(body, places))
    except ConfigError as error:
        place, _, rest = str(error).partition(": ")
        raise ConfigError(f"{place}: {name}.{rest.replace('settings', 'with', 1)}") from None


def reject(sourced: Sourced, body: Mapping[str, Any], key: tuple[str, ...], known: Sequence[str]) -> None:
    """Raise ConfigError for the first unknown key of `body`."""
    for name in body:
        if name not in known:
            raise ConfigError(
                f"{sourced.place((*key, str(name)))}: unknown key {'.'.join((*key, str(name)))!r}"
                f"{did_you_mean(str(name), known)} (known here: {', '.join(known)})"
            )


def as_fields(sourced: Sourced) -> Sourced:
    """The same values with `with` under its field name, and empty sections left out."""
    stages = {stage: dict(renamed(body)) for stage, body in sourced.values["stages"].items()}
    values = {k: v for k, v in sourced.values.items() if v is not None}
    places = {tuple("settings" if p == "with" else p for p in key): where for key, where in sourced.places.items()}
    return Sourced({**values, "stages": stages}, {**places, **sourced.places})


def renamed(body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Items of a stage, `with` called `settings`."""
    for name, value in body.items():
        if value is not None:
            yield ("settings" if name == "with" else name), value
