"""The files that describe one attempt before it starts: config.yaml and argv.json."""

import json
from pathlib import Path
from typing import Any

import yaml

from .executors.local import progress_file
from .foundation import atomic
from .foundation.progress import FILE_VARIABLE
from .foundation.settings import RecipeLoader
from .keys import folder_identity
from .plan import PlannedStage


class RecipeDumper(yaml.SafeDumper):
    """Writes strings so that the suite's recipe reader reads them back as strings."""

    yaml_implicit_resolvers = RecipeLoader.yaml_implicit_resolvers


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Text of several lines as a block that can be read."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


RecipeDumper.add_representer(str, represent_text)


def to_yaml(value: Any) -> str:
    """`value` as YAML that reads back equal."""
    return yaml.dump(value, Dumper=RecipeDumper, sort_keys=False, allow_unicode=True, width=100)


def environment(stage: PlannedStage, folder: Path, gpus: tuple[int, ...]) -> dict[str, str]:
    """Variables that the launcher sets for a stage; the rest is inherited and never written down."""
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else {}
    return {
        FILE_VARIABLE: str(progress_file(folder)),
        "OMP_NUM_THREADS": str(stage.cpus),
        "PYTHONUNBUFFERED": "1",
        **visible,
        **stage.env,
    }


def prepare(stage: PlannedStage, folder: Path, *, cwd: str, key: str, overwrite: bool, gpus: tuple[int, ...]) -> None:
    """Write the files of an attempt. `overwrite` replaces an output that an earlier attempt of this run made."""
    config = {**stage.config, **({"overwrite": True} if overwrite else {})}
    atomic.write_text(folder / "config.yaml", to_yaml(config))
    order = {
        "argv": [str(folder / "config.yaml") if word == "{config}" else word for word in stage.argv],
        "cwd": cwd,
        "env": environment(stage, folder, gpus),
        "key": key,
        "gpus": list(gpus),
        "replaces": folder_identity(stage.output),
    }
    atomic.write_text(folder / "argv.json", json.dumps(order, indent=1, ensure_ascii=False) + "\n")
