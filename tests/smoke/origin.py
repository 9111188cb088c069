"""``python origin.py WHEEL ...``: the installed packages are these very wheels, not others of the same name.

Runs in the environment under test, so it uses the standard library only.
"""

import base64
import csv
import hashlib
import io
import sys
import zipfile
from importlib import metadata
from pathlib import Path


def recorded(wheel: Path) -> dict[str, str]:
    """Hash of every file in a wheel, by its path; the record itself has none."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [entry for entry in archive.namelist() if entry.endswith(".dist-info/RECORD")]
        rows = csv.reader(io.StringIO(archive.read(name).decode()))
        return {path: digest for path, digest, _ in rows if digest}


def hash_as_recorded(path: Path) -> str:
    """The hash of a file in the form that wheels use."""
    digest = hashlib.sha256(path.read_bytes()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def check(wheel: Path) -> str:
    """One line about the installed package of `wheel`; ends the run where it is another."""
    name = "-".join(wheel.name.split("-")[0].split("_"))
    distribution = metadata.distribution(name)
    place = Path(str(distribution.locate_file("")))
    wrong = [path for path, digest in recorded(wheel).items() if hash_as_recorded(place / path) != digest]
    if wrong:
        sys.exit(f"{name} at {place} is not {wheel}: {', '.join(wrong)}")
    origin = distribution.read_text("direct_url.json") or ""
    if wheel.resolve().as_uri() not in origin:
        sys.exit(f"{name} was installed from {origin or 'an index'}, not from {wheel}")
    if not place.is_relative_to(sys.prefix):
        sys.exit(f"{name} is imported from {place}, outside the environment {sys.prefix}")
    return f"{name} {distribution.version}: our wheel ({len(recorded(wheel))} files)"


def check_no_other(wheels: list[Path]) -> None:
    """End the run where a package of the suite is installed that no wheel was given for."""
    ours = {"-".join(wheel.name.split("-")[0].split("_")) for wheel in wheels}
    suite = {f"nemo-{name}" for name in ("core", "curator", "aligner", "launcher", "deploy")}
    found = {d.name for d in metadata.distributions() if d.name in suite} - ours
    if found:
        sys.exit(f"installed without being asked for: {', '.join(sorted(found))}")


def main() -> None:
    """Check every wheel named on the command line."""
    wheels = [Path(word) for word in sys.argv[1:]]
    print("\n".join(check(wheel) for wheel in wheels))
    check_no_other(wheels)


if __name__ == "__main__":
    main()
