"""Stage contracts: what a launcher needs to run a command without importing its package, as JSON.

Each package ships ``stages/<command>.json``, written by ``tools/write_stages.py`` from the commands it declares.
"""

from typing import Any

from .command import Command, Program, resolve
from .settings import schema

SCHEMA_VERSION = 1
EXIT_CODES = {
    "0": "done",
    "1": "failed: a defect; see the log",
    "2": "settings or input are wrong: running it again changes nothing",
    "75": "preempted, or out of a resource: the same command continues",
    "130": "interrupted: the same command continues",
}


def contract(program: Program, command: Command) -> dict[str, Any]:
    """The contract of one command that has a stage."""
    stage = command.stage
    if stage is None:
        raise ValueError(f"{command.name} declares no stage")
    return {
        "schema_version": SCHEMA_VERSION,
        "stage": f"{program.package}/{command.name}",
        "package": program.package,
        "summary": command.summary,
        "argv": ["{python}", "-m", program.package.replace("-", "_"), command.name, "{config}"],
        "config_schema": schema(resolve(command.settings)),
        "inputs": {
            name: {"kinds": list(wanted.kinds), "required": wanted.required, "external": wanted.external}
            for name, wanted in stage.inputs.items()
        },
        "output": {"key": "output", "kind": stage.output},
        "resources": {"cpus": stage.cpus, "memory_gib": stage.memory_gib, "gpus": stage.gpus},
        "exit_codes": EXIT_CODES,
        "resume": "the same command continues",
    }


def contracts(program: Program) -> dict[str, dict[str, Any]]:
    """All contracts of a package by file name."""
    return {f"{c.name}.json": contract(program, c) for c in program.commands if c.stage is not None}
