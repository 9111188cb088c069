"""What the smoke scripts share: running a console script of this environment, and text to work on."""

import json
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

SUBJECTS = ("river", "forest", "engine", "harbour", "library", "orchard", "bridge", "meadow", "village", "mountain")
PLACES = ("north", "south", "coast", "valley", "border", "capital", "island", "plain")


def run(*words: object) -> str:
    """The output of a console script; ends the run where it fails."""
    command = [str(Path(sys.executable).parent / str(words[0])), *map(str, words[1:])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_basics(package: str, *, without: tuple[str, ...] = ()) -> None:
    """The script knows its version, lists its commands, finds its installation whole, and brings nothing unasked."""
    version = metadata.version(package)
    assert run(package, "--version").strip() == f"{package} {version}"
    assert f"usage: {package}" in run(package, "--help")
    assert f"{package}: ready" in run(package, "doctor")
    for library in without:
        assert util.find_spec(library) is None, f"{package} brings {library}"
    print(f"{package} {version}: version, help and doctor")


def manifest(folder: str) -> dict:
    """The manifest of an artifact."""
    return json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))


def write_documents(path: str) -> int:
    """Write distinct English texts as JSONL and return how many."""
    rows = [
        {"id": f"{subject}-{place}", "title": f"{subject} of the {place}", "text": tell(subject, place, number)}
        for number, (subject, place) in enumerate((s, p) for s in SUBJECTS for p in PLACES)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return len(rows)


def tell(subject: str, place: str, number: int) -> str:
    """A few sentences about one subject, unlike those about any other."""
    return (
        f"The {subject} of the {place} is known to everyone who lives there, and has been for {number + 40} years. "
        f"Visitors come to the {place} in spring because the {subject} is then at its best, and they stay for "
        f"{number % 9 + 2} days. Most of them write home that nothing prepared them for the {subject} in the evening "
        f"light. In the year {1700 + 3 * number} a traveller drew the {subject} from the {place} road, with "
        f"{number + 3} people before it, and this drawing is the oldest that we have of it."
    )
