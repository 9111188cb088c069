"""Check that a release tag (``nemo-core-v0.1.0``) is what its package says of itself; print package and version."""

import json
import re
import sys

from packages import ALL, folder

TAG = re.compile(rf"nemo-(?P<name>{'|'.join(ALL)})-v(?P<version>\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?)")


def problems(tag: str) -> list[str]:
    """Why `tag` cannot be released now, one sentence each; none where it can."""
    matched = TAG.fullmatch(tag)
    if matched is None:
        return [f"tag {tag!r} is not of the form nemo-<{'|'.join(ALL)}>-v<version>, for example nemo-core-v0.1.0"]
    name, version = matched["name"], matched["version"]
    found = []
    if declared(name) != version:
        found.append(
            f"tag {tag} says {version}, nemo-{name}/src/nemo_{name}/__init__.py says {declared(name)}; make them equal"
        )
    heading = rf"^## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)$"
    if not re.search(heading, (folder(name) / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE):
        found.append(f"nemo-{name}/CHANGELOG.md has no heading '## {version} (YYYY-MM-DD)'; write it")
    return found


def declared(name: str) -> str:
    """The version in a package's ``__init__.py``."""
    text = (folder(name) / f"src/nemo_{name}/__init__.py").read_text(encoding="utf-8")
    matched = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if matched is None:
        raise SystemExit(f"nemo-{name}/src/nemo_{name}/__init__.py sets no __version__")
    return matched[1]


def main(words: list[str]) -> int:
    """Print the verdict; 1 with the problems on stderr where there are any."""
    tag = words[-1] if words else ""
    found = problems(tag)
    if found:
        print("\n".join(found), file=sys.stderr)
        return 1
    matched = TAG.fullmatch(tag)
    facts = matched.groupdict() if matched else {}
    print(json.dumps({"package": facts["name"], "version": facts["version"]}) if "--json" in words else f"{tag}: ready")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
