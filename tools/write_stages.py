"""Write each installed package's stage contracts from the commands it declares; ``--check`` only compares."""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "curator", "aligner", "launcher", "deploy")


def wanted(name: str) -> dict[Path, str]:
    """Contract files of one package and their text."""
    foundation = "nemo_core" if name in ("core", "aligner", "deploy") else f"nemo_{name}"
    contracts = importlib.import_module(f"{foundation}.foundation.contract").contracts
    program = importlib.import_module(f"nemo_{name}.cli").PROGRAM
    folder = ROOT / f"nemo-{name}/src/nemo_{name}/stages"
    return {folder / file: json.dumps(body, indent=1) + "\n" for file, body in contracts(program).items()}


def main() -> int:
    """Write or compare the contracts of the packages installed here; 1 when `--check` finds a difference."""
    stale = []
    for name in PACKAGES:
        if importlib.util.find_spec(f"nemo_{name}") is None:
            continue
        files = wanted(name)
        folder = ROOT / f"nemo-{name}/src/nemo_{name}/stages"
        stale += [path for path in folder.glob("*.json") if path not in files]
        stale += [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
        if "--check" not in sys.argv:
            for path in folder.glob("*.json"):
                path.unlink()
            for path, text in files.items():
                path.write_text(text)
    if "--check" not in sys.argv:
        return 0
    print("\n".join(f"{path}: stale; run tools/write_stages.py" for path in stale) or "stage contracts are current")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
