"""The shape of every console script: ``nemo-x <command> [recipe.yaml] key=value ...``.

A package lists its commands as data. Nothing of a command is imported until it is chosen, so ``--help`` answers at
once; ``nemo-x <command> --help`` shows every setting with its default.
"""

import contextlib
import errno
import importlib
import io
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from . import atomic
from .errors import (
    EXIT_INTERRUPTED,
    EXIT_RETRY,
    EXIT_USER,
    ConfigError,
    DiskFull,
    InputError,
    SuiteError,
    Terminated,
    UserError,
)

BUILT_IN = {"doctor": "check this installation and machine", "schema": "print the JSON schema of a command's settings"}

YAML = (".yaml", ".yml")
MOST_ON_A_LINE = 3

# Threads that wait actively halve the speed of everything on cores shared with other work; read when torch loads.
WAIT_PASSIVELY = {"OMP_WAIT_POLICY": "PASSIVE"}


@dataclass(frozen=True, kw_only=True)
class StageInput:
    """An input of a stage: the artifact kinds it takes; `external` where a user's own file or folder does too."""

    kinds: tuple[str, ...]
    required: bool = True
    external: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a workflow needs to know of a command: inputs by settings key, the output's kind, and the resources."""

    inputs: Mapping[str, StageInput]
    output: str | None
    cpus: int = 1
    memory_gib: float = 2.0
    gpus: int = 0


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command. `settings` and `run` are "module:name"; `run` takes the settings and returns a result or None."""

    name: str
    summary: str
    settings: str
    run: str
    examples: tuple[str, ...] = ()
    positional: str | None = None
    stage: Stage | None = None


@dataclass(frozen=True, kw_only=True)
class Program:
    """A package's console script; `environment` holds variables to set where the caller has not."""

    package: str
    summary: str
    commands: tuple[Command, ...]
    doctor: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Command:
        """The command called `name`; UserError with the nearest one otherwise."""
        from .settings import did_you_mean

        for command in self.commands:
            if command.name == name:
                return command
        names = [c.name for c in self.commands] + list(BUILT_IN)
        raise UserError(f"unknown command {name!r}{did_you_mean(name, names)} (commands: {', '.join(names)})")


def resolve(target: str) -> Any:
    """Import "module:name"."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def main(program: Program, words: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; expected failures are one message on stderr."""
    words = list(sys.argv[1:] if words is None else words)
    open_closed_streams()
    mark_unspeakable()
    for name, value in program.environment.items():
        os.environ.setdefault(name, value)
    try:
        with stopped_by_signals():
            code = dispatch(program, words)
            sys.stdout.flush()
        return code
    except SuiteError as error:
        print(f"{program.package}: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as error:
        is_term = isinstance(error, Terminated)
        asked, code = ("stopped by SIGTERM", EXIT_RETRY) if is_term else ("interrupted", EXIT_INTERRUPTED)
        said = str(error) or f"{asked}; the same command continues where it stopped"
        print(f"{program.package}: {said}", file=sys.stderr)
        return code
    except BrokenPipeError:
        discard_output()
        return 0
    except MemoryError as error:
        print(f"{program.package}: error: out of memory {f'({error})' if str(error) else ''}", file=sys.stderr)
        return EXIT_RETRY
    except Exception as error:  # noqa: BLE001 - the last resort: a defect is shown whole and asked to be reported
        return tell_unexpected(program.package, error)


def tell_unexpected(package: str, error: Exception) -> int:
    """Say what the machine has against it, or show a defect whole; the exit code."""
    known = explained(error)
    if known is not None:
        print(f"{package}: error: {known}", file=sys.stderr)
        if isinstance(known, DiskFull):
            discard_output()
        return known.exit_code
    traceback.print_exception(error)
    print(f"{package}: this is a defect in {package}; please report the lines above", file=sys.stderr)
    return 1


def discard_output() -> None:
    """Send what is still to be printed nowhere, so that the interpreter's last flush cannot fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed_streams() -> None:
    """Give a process that was started without standard output or error (`>&-`, some daemons) ones that go nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process


def explained(error: Exception) -> SuiteError | None:
    """What the machine, not the program, has against a file that the caller named; None for anything else."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) and not error.filename:
        return DiskFull("no space left on standard output, or another place that this command writes to; free some")
    if not isinstance(error, OSError) or not isinstance(error.filename, str | bytes):
        return None
    path, why = os.fsdecode(error.filename), error.strerror
    if error.errno in atomic.NO_ROOM:
        return DiskFull(f"{path}: {why}; free some room, then run the same command again")
    if error.errno in atomic.NO_ACCESS:
        return InputError(f"{path}: {why}; see that it exists, is of that kind, and that you may read or write it")
    return None


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM as exceptions, until something waits for them itself; SIGTERM stays as it is where taken."""
    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    former = signal.getsignal(signal.SIGTERM)
    if former is not signal.SIG_DFL:
        yield
        return
    process = os.getpid()

    def terminate(number: int, _: FrameType | None) -> None:
        if os.getpid() != process:  # a fork, whose parent ends it
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is terminate:
            signal.signal(signal.SIGTERM, former)


def mark_unspeakable() -> None:
    """Print `?` for what the encoding of a terminal or log (LANG=C, Latin-1) does not have, in place of failing.

    UTF-8 has all but halves of surrogate pairs, which are shown as Python writes them.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if is_unicode(stream) else "replace")


def is_unicode(stream: TextIO) -> bool:
    """Whether every character can be written to `stream`."""
    return (stream.encoding or "utf-8").lower().replace("-", "").startswith("utf")


def dispatch(program: Program, words: list[str]) -> int:
    """Choose what the words ask for."""
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(program))
        return 0 if words else EXIT_USER
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"{program.package} {version(program.package)}")
        return 0
    name, rest = words[0], words[1:]
    if name in BUILT_IN and any(word in ("-h", "--help") for word in rest):
        print(f"usage: {program.package} {name}{' [command]' if name == 'schema' else ''}\n\n{BUILT_IN[name]}")
        return 0
    if name == "doctor":
        from .doctor import report

        return report(program.package, resolve(program.doctor) if program.doctor else tuple)
    if name == "schema":
        return print_schema(program, rest)
    command = program.find(name)
    if any(word in ("-h", "--help") for word in rest):
        print(manual(program, command))
        return 0
    return execute(command, rest)


def execute(command: Command, words: Sequence[str]) -> int:
    """Load the settings, run the command and print its result."""
    from . import settings as settings_module

    cls = resolve(command.settings)
    recipe, overrides = split_words(command, words)
    if recipe and (recipe.is_dir() or (recipe.suffix not in YAML and (recipe.suffix or not recipe.exists()))):
        raise ConfigError(f"{recipe}: no recipe (a YAML file); name what it is{first_required(cls, recipe)}")
    settings = settings_module.load(cls, recipe, [w for w in overrides if w != "--print-config"])
    if "--print-config" in overrides:
        print(json.dumps(settings_module.to_plain(settings), indent=1))
        return 0
    emit(resolve(command.run)(settings))
    return 0


def split_words(command: Command, words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The recipe file (a first word without "=") and the overrides.

    A command with a `positional` setting takes that instead of a recipe where the word is no YAML file.
    """
    if not words or "=" in words[0] or words[0].startswith("--"):
        return None, list(words)
    first, rest = words[0], list(words[1:])
    if command.positional and not first.endswith(YAML):
        return None, [f"{command.positional}={json.dumps(first)}", *rest]
    return Path(first), rest


def first_required(cls: type, value: Path) -> str:
    """`, for example input=my-folder`, with the first path that `cls` takes, and cannot do without if there is one."""
    from .settings import describe

    paths = [row for row in describe(cls) if row.kind == "path" and row.key != "output"]
    key = next((row.key for row in sorted(paths, key=lambda row: row.default != "required")), None)
    return f", for example {key}={value}" if key else ", as key=value"


def emit(result: Any) -> None:
    """Print a command's result on stdout: readable on a terminal, one JSON line elsewhere."""
    if result is None:
        return
    from .settings import to_plain

    plain = to_plain(result)
    if not sys.stdout.isatty() or not isinstance(plain, Mapping):
        print(json.dumps(plain, ensure_ascii=not is_unicode(sys.stdout), default=str))
        return
    print("\n".join(aligned(plain)))


def aligned(record: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """A record as lines for a person to read; a record of more than three values goes below its name."""
    width = max(map(len, record), default=0)
    for name, value in record.items():
        if isinstance(value, Mapping) and len(value) > MOST_ON_A_LINE:
            yield f"{indent}{name}"
            yield from aligned(value, f"{indent}  ")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{indent}{name:<{width}}  {text}"


def print_schema(program: Program, words: Sequence[str]) -> int:
    """Print the schema of one command, or of all."""
    from .settings import schema

    chosen = [program.find(words[0])] if words else list(program.commands)
    schemas = {command.name: schema(resolve(command.settings)) for command in chosen}
    print(json.dumps(schemas[words[0]] if words else schemas, indent=1))
    return 0


def overview(program: Program) -> str:
    """The text of ``nemo-x --help``."""
    width = max(len(c.name) for c in program.commands)
    rows = [f"  {c.name:<{width}}  {c.summary}" for c in program.commands]
    rows += [f"  {name:<{width}}  {summary}" for name, summary in BUILT_IN.items()]
    examples = [f"  {example}" for c in program.commands for example in c.examples[:1]]
    return "\n".join(
        [
            f"usage: {program.package} <command> [recipe.yaml] [key=value ...]",
            "",
            program.summary,
            "",
            "commands:",
            *rows,
            "",
            "examples:",
            *examples,
            "",
            f"'{program.package} <command> --help' shows its settings; --print-config shows the resolved ones;",
            "--version shows the version. Exit codes: 0 done, 2 your input or settings, 75 run again to continue.",
        ]
    )


def manual(program: Program, command: Command) -> str:
    """The text of ``nemo-x <command> --help``: every setting, its type, default and meaning."""
    from .settings import describe

    rows = describe(resolve(command.settings))
    width = min(34, max((len(row.key) for row in rows), default=0))
    lines = [
        f"usage: {program.package} {command.name} "
        f"{f'[{command.positional} | recipe.yaml]' if command.positional else '[recipe.yaml]'} [key=value ...]",
        "",
        command.summary,
        "",
        "settings:",
    ]
    for row in rows:
        tail = "required" if row.default == "required" else f"default {row.default}"
        lines.append(f"  {row.key:<{width}}  {row.about or row.kind} [{row.kind}; {tail}]")
    if command.examples:
        lines += ["", "examples:", *(f"  {example}" for example in command.examples)]
    return "\n".join(lines)
