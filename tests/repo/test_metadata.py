"""Versions, licences, copies and changelogs agree with each other."""

import importlib.metadata
import re
import tomllib

import pytest
from packages import ALL, NEEDS, ROOT, folder
from packaging.requirements import Requirement
from packaging.version import Version
from release import declared


def project(name):
    return tomllib.loads((folder(name) / "pyproject.toml").read_text())["project"]


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", ALL)
def test_the_installed_version_is_the_declared_one(name):
    assert importlib.metadata.version(f"nemo-{name}") == declared(name)


@pytest.mark.parametrize("name", ALL)
def test_the_changelog_starts_with_the_declared_version(name):
    text = (folder(name) / "CHANGELOG.md").read_text()
    first = re.search(r"^## (\S+) \((?:unreleased|\d{4}-\d\d-\d\d)\)$", text, re.MULTILINE)
    assert first and first[1] == declared(name)


@pytest.mark.parametrize("name", ALL)
def test_a_package_ships_the_licence_and_its_type_marker(name):
    assert (folder(name) / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (folder(name) / f"src/nemo_{name}/py.typed").is_file()
    assert project(name)["license"] == "Apache-2.0"


@pytest.mark.parametrize("name", ALL)
def test_a_package_supports_the_oldest_python_of_dev_py(name):
    assert project(name)["requires-python"] == ">=3.11"


def test_tested_pins_are_exact_and_satisfy_what_the_packages_declare():
    asked = [
        Requirement(word)
        for name in ALL
        for group in [project(name)["dependencies"], *project(name).get("optional-dependencies", {}).values()]
        for word in group
    ]
    for pin in pins():
        (exact,) = pin.specifier
        assert exact.operator == "==", f"{pin}: not an exact pin"
        for wanted in (r for r in asked if r.name == pin.name):
            assert wanted.specifier.contains(Version(exact.version)), f"{pin} does not satisfy {wanted}"


def test_curator_and_launcher_bring_none_of_the_others_and_no_torch():
    for name in ("curator", "launcher"):
        names = {Requirement(word).name for word in project(name)["dependencies"]}
        assert not NEEDS[name]
        assert not names & {"torch", "pandas", "dask", "ray", "transformers"}


def test_the_foundation_copies_are_equal():
    from sync_foundation import differences

    assert differences() == []
