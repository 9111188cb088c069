"""The sessions of this repository; ``python3 dev.py <session>`` runs one after setting up nox.

Every installation obeys constraints.txt and takes this repository's packages as paths or wheel files in one command,
never by name: other packages have these names on the public index. NEMO_VENV=uv|virtualenv chooses the installer,
NEMO_SLOW=none|changed|all the slow tests, NEMO_REPORTS=FOLDER collects JUnit files.
"""

import functools
import hashlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / "tools"))

import installer  # noqa: E402
import packages  # noqa: E402

nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = os.environ.get("NEMO_VENV", "uv|virtualenv")
nox.needs_version = ">=2025.5.1"

CONSTRAINTS = "constraints.txt"
LINT_TOOLS = ("ruff>=0.12,<0.16", "codespell>=2.4", "check-jsonschema>=0.33", "msgspec", "pyyaml", "tqdm")
TYPING_TOOLS = ("mypy>=1.17", "types-PyYAML", "types-tqdm")
DOCS_TOOLS = ("sphinx>=8.2", "myst-parser>=4", "furo", "sphinx-copybutton", "pytest>=8")
BUILD_TOOLS = ("build>=1.2", "hatchling>=1.26", "twine>=6.1", "ziglang>=0.15,<0.18")
SUITE_TOOLS = ("pytest>=8", "jsonschema>=4.23", "httpx>=0.27,<1")
CHECKS = ("noxfile.py", "dev.py", "tools", "docs", "tests", "examples", "benchmarks")
KERNEL_TARGETS = ("linux-x86_64", "linux-aarch64", "musl-x86_64", "musl-aarch64", "macos-x86_64", "macos-aarch64")
SOURCES = [f"nemo-{name}/src/nemo_{name}" for name in packages.ALL]

each_package = nox.parametrize("package", [nox.param(name, id=name) for name in packages.ALL])
each_part = nox.parametrize("part", [nox.param(name, id=name) for name in (*packages.ALL, "repository")])


@functools.cache
def installer_environment() -> dict[str, str]:
    """What uv needs to be told of pip's configuration; read once per run."""
    return installer.uv_environment(installer.pip_configuration(), os.environ)


def install(session: nox.Session, *requirements: str, resolution: str = "") -> None:
    """Install `requirements` in one command, unless this environment was made from exactly these already."""
    stamp = Path(session.virtualenv.location) / "installed.sha256"
    state = fingerprint(*requirements, resolution)
    if stamp.is_file() and stamp.read_text() == state:
        return
    flags = ["--resolution", resolution] if resolution else []
    session.install(*flags, "-c", CONSTRAINTS, *requirements, env=installer_environment(), silent=True)
    stamp.write_text(state)


def fingerprint(*requirements: str) -> str:
    """Identity of an installation: what is asked for, and the files that decide what this brings."""
    metadata = [packages.folder(name) / "pyproject.toml" for name in packages.ALL]
    versions = [ROOT / source / "__init__.py" for source in SOURCES]
    content = [path.read_bytes() for path in (ROOT / CONSTRAINTS, *metadata, *versions, *compiled())]
    return hashlib.sha256(b"\0".join([*(word.encode() for word in requirements), *content])).hexdigest()


def compiled() -> list[Path]:
    """The sources of what is compiled while a package is installed, and how that is done."""
    folders = [packages.folder(name) for name in packages.ALL]
    found = [path for folder in folders for path in (*folder.glob("native/*"), *folder.glob("hatch_build.py"))]
    return sorted(found)


def editable(name: str, extra: str = "") -> list[str]:
    """Arguments that install a package, and those of this repository that it needs, from their folders."""
    words = []
    for needed in packages.with_needs(name):
        suffix = f"[{extra}]" if extra and needed == name else ""
        words += ["-e", f"./nemo-{needed}{suffix}"]
    return words


def suite(extra: str = "") -> list[str]:
    """Arguments that install all five packages from their folders."""
    suffix = f"[{extra}]" if extra else ""
    return [word for name in packages.ALL for word in ("-e", f"./nemo-{name}{suffix}")]


def slow_wanted(name: str) -> bool:
    """Whether NEMO_SLOW asks for the slow tests of `name`."""
    wanted = os.environ.get("NEMO_SLOW", "none")
    if wanted not in ("none", "changed", "all"):
        raise SystemExit(f"NEMO_SLOW={wanted}: use none, changed or all")
    return wanted == "all" or (wanted == "changed" and name in changed_packages())


@functools.cache
def changed_packages() -> tuple[str, ...]:
    """Packages that this branch changes; the word of tools/changed_packages.py."""
    import changed_packages as tool

    paths = tool.changed_paths(tool.base_revision())
    return (*packages.ALL, "repository") if paths is None else (*tool.concerned(paths), "repository")


def pytest(session: nox.Session, *words: str, slow: bool = False) -> None:
    """Run pytest on `words` and the session's own arguments; tiny tensors are fastest on one thread."""
    marks = "not gpu" if slow else "not gpu and not slow"
    reports = os.environ.get("NEMO_REPORTS")
    label = session.name.replace("(", "-").replace(")", "")
    report = [f"--junitxml={Path(reports).absolute() / label}.xml"] if reports else []
    environment = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    session.run("pytest", "-q", "-m", marks, *report, *words, *session.posargs, env=environment)


@nox.session
def quickstart(session: nox.Session) -> None:
    """From web text to a served, aligned model and a report; key=value changes a setting."""
    install(session, *suite())
    workflow = "examples/quickstart/workflow.yaml"
    session.run("nemo-launcher", "run", workflow, *session.posargs, interrupt_timeout=60, terminate_timeout=30)


@nox.session
@each_part
def tests(session: nox.Session, part: str) -> None:
    """Tests of each package, with only what it declares installed, and of the repository."""
    if part == "repository":
        install(session, *suite(), *SUITE_TOOLS, "transformers")
        pytest(session, "tests/repo", "tests/contracts", slow=slow_wanted(part))
    else:
        install(session, *editable(part, "test"))
        pytest(session, f"nemo-{part}/tests", slow=slow_wanted(part))


@nox.session
def integration(session: nox.Session) -> None:
    """Flows through several packages, from raw text to an answer."""
    install(session, *suite(), *SUITE_TOOLS, "transformers", "openai")
    pytest(session, "tests/integration", slow=os.environ.get("NEMO_SLOW", "all") != "none")


@nox.session
def build(session: nox.Session) -> None:
    """Source archives and wheels of all packages into dist/, each wheel made from its source archive."""
    install(session, *BUILD_TOOLS)
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for name in packages.ALL:
        session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", f"nemo-{name}", silent=True)
    session.run("twine", "check", "--strict", *map(str, sorted((ROOT / "dist").iterdir())))


@nox.session
def wheels(session: nox.Session) -> None:
    """Wheels of the packages with kernels, for every platform that those are built for, into dist/."""
    install(session, *BUILD_TOOLS)
    for name, target in itertools.product(("curator", "core"), KERNEL_TARGETS):
        words = ["--wheel", "--no-isolation", "--outdir", "dist", str(packages.folder(name))]
        session.run("python", "-m", "build", *words, silent=True, env={"NEMO_KERNEL_TARGET": target})


def wheel(session: nox.Session, name: str) -> Path:
    """The wheel of a package in dist/, made now where it is missing or older than its sources."""
    found = sorted((ROOT / "dist").glob(f"nemo_{name}-*.whl"))
    sources = [path for path in packages.folder(name).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    newest = max(path.stat().st_mtime for path in sources)
    if len(found) == 1 and found[0].stat().st_mtime > newest:
        return found[0]
    for stale in found:
        stale.unlink()
    install(session, *BUILD_TOOLS)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", f"nemo-{name}", silent=True)
    return next((ROOT / "dist").glob(f"nemo_{name}-*.whl"))


@nox.session
@each_package
def smoke(session: nox.Session, package: str) -> None:
    """Each built wheel alone in a clean environment outside this checkout, doing one real job."""
    wheels = [str(wheel(session, name)) for name in packages.with_needs(package)]
    with tempfile.TemporaryDirectory(prefix=f"smoke-{package}-") as temporary:
        place = Path(temporary)
        python = str(clean_environment(session, place, wheels))
        for script in (ROOT / "tests/smoke").glob("*.py"):
            shutil.copy(script, place)
        session.chdir(place)
        keep = {"PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
        session.run(python, "origin.py", *wheels, external=True, env=keep)
        session.run(python, f"{package}.py", *session.posargs, external=True, env=keep)


def clean_environment(session: nox.Session, place: Path, wheels: list[str]) -> Path:
    """The interpreter of a new environment under `place` that holds `wheels` and their dependencies."""
    python = place / "env" / "bin" / "python"
    limits = ["-c", str(ROOT / CONSTRAINTS)]
    if session.venv_backend == "uv":
        session.run("uv", "venv", "--quiet", "--python", sys.executable, str(place / "env"))
        words = ["uv", "pip", "install", "--quiet", "--python", str(python)]
    else:
        session.run(sys.executable, "-m", "venv", str(place / "env"), external=True)
        words = [str(python), "-m", "pip", "install", "--quiet"]
    session.run(*words, *limits, *wheels, external=True, env=installer_environment())
    return python


@nox.session
def lint(session: nox.Session) -> None:
    """Style, formatting, spelling, equal copies, current contracts and pages, valid workflows."""
    install(session, *LINT_TOOLS)
    checked = [*(f"nemo-{name}" for name in packages.ALL), *(name for name in CHECKS if (ROOT / name).exists())]
    workflows = sorted(str(path.relative_to(ROOT)) for path in (ROOT / ".github/workflows").glob("*.yml"))
    commands = [
        ["ruff", "check", *checked],
        ["ruff", "format", "--check", *checked],
        ["codespell", *checked, *sorted(path.name for path in ROOT.glob("*.md"))],
        ["python", "tools/sync_foundation.py", "--check"],
        ["python", "tools/write_stages.py", "--check"],
        ["python", "tools/write_reference.py", "--check"],
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *workflows],
        ["check-jsonschema", "--builtin-schema", "vendor.dependabot", ".github/dependabot.yml"],
    ]
    failed = [" ".join(words[:3]) for words in commands if not succeeds(session, words)]
    if failed:
        session.error(f"failed: {', '.join(failed)}")


def succeeds(session: nox.Session, words: list[str]) -> bool:
    """Run one of several checks, so that a failed one does not hide the next."""
    paths = os.pathsep.join(str(packages.folder(name) / "src") for name in packages.ALL)
    try:
        session.run(*words, env={"PYTHONPATH": paths})
    except nox.command.CommandFailed:
        return False
    return True


@nox.session
def imports(session: nox.Session) -> None:
    """Which package may import which (import-linter)."""
    install(session, "import-linter>=2.1")
    paths = {"PYTHONPATH": os.pathsep.join(str(packages.folder(name) / "src") for name in packages.ALL)}
    session.run("lint-imports", "--no-cache", env=paths)


@nox.session
def typing(session: nox.Session) -> None:
    """Types of all packages and tools (mypy, strict)."""
    install(session, *suite("test"), *TYPING_TOOLS)
    session.run("mypy", *SOURCES)


@nox.session
def docs(session: nox.Session) -> None:
    """Documentation with warnings as errors into site/; the code blocks of READMEs and pages are run."""
    install(session, *suite("test"), *DOCS_TOOLS)
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "site")
    pytest(session, "tests/docs", slow=True)


@nox.session
@nox.parametrize("package", [nox.param(name, id=name) for name in ("curator", "launcher")])
def lowest(session: nox.Session, package: str) -> None:
    """Fast tests against the oldest versions that a package says it works with."""
    if session.venv_backend != "uv":
        session.skip("only uv can resolve to the lowest versions")
    session.install("--resolution", "lowest-direct", *editable(package, "test"), env=installer_environment())
    pytest(session, f"nemo-{package}/tests")


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmarks side by side with peers; name a package to run only its own."""
    chosen = session.posargs or [path.name for path in sorted((ROOT / "benchmarks").iterdir()) if path.is_dir()]
    extra = [word for name in chosen for word in requirement_file(ROOT / "benchmarks" / name / "requirements.txt")]
    install(session, *suite(), *extra)
    for script in (path for name in chosen for path in sorted((ROOT / "benchmarks" / name).glob("bench_*.py"))):
        session.run("python", str(script.relative_to(ROOT)))


def requirement_file(path: Path) -> list[str]:
    """Arguments that install what `path` lists; none where there is no such file."""
    return ["-r", str(path.relative_to(ROOT))] if path.is_file() else []


@nox.session
def gpu(session: nox.Session) -> None:
    """Tests that need a CUDA device."""
    install(session, *suite("test"), *SUITE_TOOLS)
    for name in packages.ALL:
        session.run("pytest", "-q", "-m", "gpu", f"nemo-{name}/tests", *session.posargs, success_codes=[0, 5])


@nox.session
def release(session: nox.Session) -> None:
    """Check that a package is ready for its tag, build it, and print the commands that publish it."""
    if len(session.posargs) != 1:
        session.error("name one tag, for example: python3 dev.py release nemo-core-v0.1.0")
    session.run("python", "tools/release.py", *session.posargs)
    name = json.loads(session.run("python", "tools/release.py", "--json", *session.posargs, silent=True))["package"]
    wheel(session, name)
    session.log(f"next: git tag {session.posargs[0]} && git push origin {session.posargs[0]}")
