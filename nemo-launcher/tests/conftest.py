"""A real distribution of tiny stages on the path, and a workflow folder to work in."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from nemo_launcher.foundation.contract import contracts
from nemo_launcher.journal import read_events

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


class Place:
    """A folder to run workflows in, in process or through the real command line."""

    def __init__(self, folder: Path, demo_path: Path) -> None:
        self.folder, self.environment = folder, {**os.environ, "PYTHONPATH": str(demo_path)}

    def workflow(self, stages: dict, **keys: object) -> Path:
        path = self.folder / "flow.yaml"
        path.write_text(yaml.safe_dump({"name": "flow", **keys, "stages": stages}, sort_keys=False))
        return path

    def launch(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nemo_launcher", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(self, *words: str, expect: int = 0) -> tuple[str, str]:
        process = self.launch(*words)
        out, err = process.communicate(timeout=120)
        assert process.returncode == expect, err
        return out, err

    def json(self, *words: str) -> dict:
        return json.loads(self.call(*words)[0])

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "flow"

    def events(self, *kinds: str) -> list[dict]:
        return [event for event in read_events(self.run / "journal.jsonl") if not kinds or event["event"] in kinds]

    def started(self) -> list[str]:
        return [event["stage"] for event in self.events("started")]

    def digests(self) -> dict[str, str]:
        found = self.run.glob("artifacts/*/manifest.json")
        return {path.parent.name: json.loads(path.read_text())["digest"] for path in sorted(found)}

    def status(self, stage: str, attempt: int = 1) -> dict:
        path = self.run / "stages" / stage / f"attempt-{attempt}" / "status.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def place(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(demo_path))
    return Place(tmp_path, demo_path)


def wait_for(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return once `condition` holds; fail the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
