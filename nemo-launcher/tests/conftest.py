"""A real distribution of tiny stages on the path, and a workflow folder to work in."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nemo_launcher.foundation.contract import contracts

sys.path.insert(0, str(Path(__file__).parent / "support"))
from launcher_place import Place

DEMO = Path(__file__).parent / "demo" / "demo_stages"
METADATA = "Metadata-Version: 2.1\nName: demo-stages\nVersion: 1.0\n"


@pytest.fixture(scope="session")
def demo_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder that holds the installed demo package; also on this process's path."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(DEMO, site / "demo_stages", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "demo_stages-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text("[nemo.stages]\ndemo = demo_stages:stages\n")
    sys.path.insert(0, str(site))
    from demo_stages.program import PROGRAM

    (site / "demo_stages" / "stages").mkdir()
    for name, body in contracts(PROGRAM).items():
        (site / "demo_stages" / "stages" / name).write_text(json.dumps(body))
    yield site
    sys.path.remove(str(site))


@pytest.fixture
def place(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(demo_path))
    return Place(tmp_path, demo_path)
