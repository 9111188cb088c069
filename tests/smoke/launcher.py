"""nemo-launcher's wheel alone: a workflow of two commands runs, once and only once."""

from pathlib import Path

from console import check_basics, manifest, run

WORKFLOW = """
name: letters
params: {text: hello}
targets: [shout]
stages:
  say: {use: nemo-launcher/shell, with: {command: "echo ${text} > words.txt"}}
  shout: {use: nemo-launcher/shell, inputs: {input: say}, with: {command: "tr a-z A-Z < $INPUT/words.txt > words.txt"}}
"""

check_basics("nemo-launcher", without=("torch", "pandas", "dask", "ray", "transformers", "numpy"))
Path("workflow.yaml").write_text(WORKFLOW)
run("nemo-launcher", "plan", "workflow.yaml")
run("nemo-launcher", "run", "workflow.yaml", "run_dir=first")
(shouted,) = Path("first").rglob("shout/manifest.json")
assert (shouted.parent / "words.txt").read_text() == "HELLO\n"
assert manifest(str(shouted.parent))["producer"]["package"] == "nemo-launcher"
made = shouted.stat().st_mtime_ns
run("nemo-launcher", "run", "workflow.yaml", "run_dir=first")
assert shouted.stat().st_mtime_ns == made, "a finished stage ran again"
run("nemo-launcher", "status", "first")
print("a workflow of two stages ran, and was skipped the second time")
