"""Stage contracts of installed packages, found through entry-point metadata: no package is ever imported."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .foundation.errors import ConfigError
from .foundation.settings import did_you_mean

GROUP = "nemo.stages"
SCHEMA_VERSION = 1
LIST_IN_ANOTHER_PYTHON = """
import json
from importlib import metadata
from importlib.util import find_spec
found = {}
for point in metadata.entry_points(group="nemo.stages"):
    module, _, folder = point.value.partition(":")
    spec = find_spec(module)
    if spec and spec.submodule_search_locations and point.dist:
        found[point.dist.name] = [point.dist.version, spec.submodule_search_locations[0] + "/" + folder]
print(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """An input that a stage takes: artifact kinds, whether it must be given, whether a path of the user's own does."""

    kinds: tuple[str, ...]
    required: bool
    external: bool


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a package ships about one of its stages; `output_kind` may name a setting, as in ``{kind}``."""

    stage: str
    package: str
    version: str
    argv: tuple[str, ...]
    config_schema: dict[str, Any]
    inputs: dict[str, InputSpec]
    output_key: str
    output_kind: str | None
    cpus: int
    memory_gib: float
    gpus: int


@dataclass(frozen=True, kw_only=True)
class Package:
    """An installed package that offers stages."""

    name: str
    version: str
    folder: Path

    def stages(self) -> list[str]:
        """Names of its stages."""
        return sorted(path.stem for path in self.folder.glob("*.json"))


def normal(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_here() -> dict[str, Package]:
    """Packages with stages in this interpreter's environment."""
    found = {}
    for point in metadata.entry_points(group=GROUP):
        module, _, folder = point.value.partition(":")
        spec = find_spec(module)
        if spec is not None and spec.submodule_search_locations and point.dist is not None:
            where = Path(spec.submodule_search_locations[0]) / folder
            name = normal(point.dist.name)
            found[name] = Package(name=name, version=point.dist.version, folder=where)
    return found


def installed_in(python: str) -> dict[str, Package]:
    """Packages with stages in the environment of another interpreter."""
    try:
        done = subprocess.run([python, "-c", LIST_IN_ANOTHER_PYTHON], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ConfigError(f"executor.python: {python!r} is no working Python interpreter ({error})") from None
    listed = json.loads(done.stdout)
    return {normal(n): Package(name=normal(n), version=v, folder=Path(f)) for n, (v, f) in listed.items()}


def installed(pythons: Mapping[str, str]) -> dict[str, Package]:
    """Packages with stages: of this environment, or of the interpreter that `pythons` names for them."""
    found = installed_here()
    for name, python in pythons.items():
        if python != sys.executable:
            found.pop(normal(name), None)
            found.update({n: p for n, p in installed_in(python).items() if n == normal(name)})
    return found


def load_contract(use: str, packages: Mapping[str, Package], place: str) -> Contract:
    """The contract of the stage `use` ("nemo-core/pretrain"). ConfigError where package or stage are unknown."""
    name, _, stage = use.partition("/")
    package = packages.get(normal(name))
    if package is None:
        raise ConfigError(
            f"{place}: {use!r} needs the package {name}, which is not installed here{did_you_mean(name, packages)}; "
            f"in a checkout of the suite: pip install ./{name} (installed: {', '.join(sorted(packages)) or 'none'})"
        )
    path = package.folder / f"{stage}.json"
    if not path.is_file():
        raise ConfigError(
            f"{place}: {package.name} {package.version} has no stage {stage!r}{did_you_mean(stage, package.stages())} "
            f"(its stages: {', '.join(package.stages())})"
        )
    return parse_contract(json.loads(path.read_text(encoding="utf-8")), package, path)


def parse_contract(raw: dict[str, Any], package: Package, path: Path) -> Contract:
    """A contract file's content as a `Contract`."""
    if raw["schema_version"] > SCHEMA_VERSION:
        raise ConfigError(f"{path}: contract version {raw['schema_version']} is newer than {SCHEMA_VERSION}; upgrade")
    return Contract(
        stage=raw["stage"],
        package=package.name,
        version=package.version,
        argv=tuple(raw["argv"]),
        config_schema=raw["config_schema"],
        inputs={
            name: InputSpec(kinds=tuple(spec["kinds"]), required=spec["required"], external=spec["external"])
            for name, spec in raw["inputs"].items()
        },
        output_key=raw["output"]["key"],
        output_kind=raw["output"]["kind"],
        **raw["resources"],
    )
