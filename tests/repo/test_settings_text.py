"""`--help` explains every command and every setting."""

import importlib
import re

import pytest
from packages import ALL

from nemo_core.foundation.command import resolve
from nemo_core.foundation.settings import describe


def commands():
    return [(name, command) for name in ALL for command in importlib.import_module(f"nemo_{name}.cli").PROGRAM.commands]


@pytest.mark.parametrize(("name", "command"), commands(), ids=[f"{name}-{c.name}" for name, c in commands()])
def test_a_command_its_settings_and_an_example_are_explained(name, command):
    unexplained = [row.key for row in describe(resolve(command.settings)) if not row.about.strip()]
    assert unexplained == []
    assert command.summary and command.examples
    spoken = (command.name, command.name.replace("-", " "))  # "dedup-exact" is "dedup exact" as well
    assert command.examples[0].startswith(tuple(f"nemo-{name} {words}" for words in spoken))


@pytest.mark.parametrize(("name", "command"), commands(), ids=[f"{name}-{c.name}" for name, c in commands()])
def test_examples_mean_the_same_in_every_shell(name, command):
    """Brackets, braces and the like are patterns to a shell unless they are quoted; zsh then runs nothing."""
    for example in command.examples:
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|\$\([^)]*\)", "", example.partition("   #")[0])
        assert not re.search(r"[][{}*?()]", bare), example
