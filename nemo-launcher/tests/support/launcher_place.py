"""A folder to run workflows in through the real command line, and what a run left there."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from nemo_launcher.cli import main
from nemo_launcher.journal import read_events


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
        """Run the command line in this process."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words)
        assert code == expect, err.getvalue()
        return out.getvalue(), err.getvalue()

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


def wait_for(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Return once `condition` holds; fail the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
