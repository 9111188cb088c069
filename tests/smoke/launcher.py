"""nemo-launcher's wheel alone: stages of a small package of the user's own run as a workflow, once and only once."""

import json
import sysconfig
from pathlib import Path

from console import check_basics, manifest, run

MODULE = """
import json, sys
from pathlib import Path
from nemo_launcher.foundation import artifact

def main(command, config):
    settings = json.loads(Path(config).read_text())
    inputs = {"words": Path(settings["words"])} if "words" in settings else {}
    output = settings.pop("output")
    with artifact.create(output, kind="documents", package="letters", config=settings, inputs=inputs,
                         overwrite=settings.get("overwrite", False)) as draft:
        text = (inputs["words"] / "words.txt").read_text().upper() if inputs else settings["text"]
        (draft.path / "words.txt").write_text(text)
        draft.stats["text"] = text

main(*sys.argv[1:])
"""
WORKFLOW = """
name: letters
params: {text: hello}
targets: [shout]
stages:
  say: {use: letters/say, with: {text: "${text}"}}
  shout: {use: letters/shout, inputs: {words: say}}
closing: "it says {shout.text}"
"""


def contract(name: str, settings: dict, inputs: dict) -> dict:
    """The contract of a stage of the small package."""
    places = {"output": {"type": "string"}, "overwrite": {"type": "boolean", "default": False}}
    return {
        "schema_version": 1,
        "stage": f"letters/{name}",
        "package": "letters",
        "summary": f"{name} a word",
        "argv": ["{python}", "-m", "letters", name, "{config}"],
        "config_schema": {"type": "object", "properties": {**settings, **places}, "additionalProperties": False},
        "inputs": inputs,
        "output": {"key": "output", "kind": "documents"},
        "resources": {"cpus": 1, "memory_gib": 0.1, "gpus": 0},
        "exit_codes": {"0": "done", "1": "failed", "2": "wrong settings", "75": "run again"},
        "resume": "the same command continues",
    }


def install_letters() -> None:
    """Put the small package into this environment, as an installer would."""
    site = Path(sysconfig.get_path("purelib"))
    stages, info = site / "letters/stages", site / "letters-0.1.0.dist-info"
    stages.mkdir(parents=True)
    info.mkdir()
    (site / "letters/__init__.py").write_text("")
    (site / "letters/__main__.py").write_text(MODULE)
    text = {"text": {"type": "string"}}
    words = {"words": {"kinds": ["documents"], "required": True, "external": False}}
    (stages / "say.json").write_text(json.dumps(contract("say", text, {})))
    (stages / "shout.json").write_text(json.dumps(contract("shout", {"words": {"type": "string"}}, words)))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[nemo.stages]\nletters = letters:stages\n")


check_basics("nemo-launcher", without=("torch", "pandas", "dask", "ray", "transformers", "numpy"))
install_letters()
Path("workflow.yaml").write_text(WORKFLOW)
run("nemo-launcher", "plan", "workflow.yaml")
first = run("nemo-launcher", "run", "workflow.yaml", "run_dir=first")
(shouted,) = Path("first").rglob("shout/manifest.json")
assert manifest(str(shouted.parent))["stats"]["text"] == "HELLO"
made = shouted.stat().st_mtime_ns
run("nemo-launcher", "run", "workflow.yaml", "run_dir=first")
assert shouted.stat().st_mtime_ns == made, "a finished stage ran again"
run("nemo-launcher", "status", "first")
print("a workflow of two stages ran, and was skipped the second time")
