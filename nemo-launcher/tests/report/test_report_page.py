"""The page as a whole: what it holds, that it stands alone, and that nothing in a run can make it act."""

import html.parser
import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from nemo_launcher.cli import main
from nemo_launcher.foundation.errors import InputError
from nemo_launcher.report import render_run
from nemo_launcher.report.gather.run import gather
from nemo_launcher.report.page import SECTIONS
from nemo_launcher.report.sections.next_steps import steps

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(2)>\u202e\x00\ud800'


class Structure(html.parser.HTMLParser):
    """Elements, attributes and text of a page; fails where elements are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "br", "hr", "col"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(f"{data} ")

    def values(self, name):
        return [value for _, attribute, value in self.attributes if attribute == name]

    @property
    def words(self):
        return " ".join("".join(self.text).replace("\u00a0", " ").split())


def page(run: Path) -> Structure:
    return Structure(render_run(run).read_text(encoding="utf-8"))


def test_a_finished_run_has_every_section_and_its_headline_figures(quickstart):
    seen = page(quickstart)
    for anchor in ("summary", *(anchor for anchor, _, _ in SECTIONS if anchor not in ("failures", "missing"))):
        assert anchor in seen.values("id")
    assert "failures" not in seen.values("id")
    assert "missing" not in seen.values("id")
    for figure in ("4,312 → 2,874", "8.318 → 2.993", "57.1% → 91.2%", "0.585 → 0.881", "4 min 53 s"):
        assert figure in seen.words
    assert "The json module provides functions to read and write data. grpo · 0.4 s" in seen.words


def test_every_entry_of_the_contents_leads_to_a_section(quickstart):
    seen = page(quickstart)
    targets = [value[1:] for value in seen.values("href") if value.startswith("#")]
    assert set(targets) <= set(seen.values("id"))
    assert len(seen.values("id")) == len(set(seen.values("id")))


def test_the_page_loads_nothing_from_elsewhere(quickstart):
    text = render_run(quickstart).read_text(encoding="utf-8")
    seen = Structure(text)
    assert not {"link", "img", "iframe", "object", "base", "form"} & set(seen.tags)
    assert seen.values("src") == []
    assert all(value.startswith(("#", "./artifacts/")) for value in seen.values("href"))
    assert not re.search(r"url\(|@import|https?://", text.replace("http://www.w3.org/2000/svg", ""))


def test_pictures_and_parts_are_named_for_those_who_do_not_see_them(quickstart):
    text = render_run(quickstart).read_text(encoding="utf-8")
    pictures = re.findall(r'<(?:svg|span)[^>]* role="img"[^>]*>', text)
    assert len(pictures) > 20
    assert all(re.search(r'aria-label="[^"]+"', picture) for picture in pictures)
    seen = Structure(text)
    assert seen.tags["main"] == seen.tags["nav"] == seen.tags["header"] == seen.tags["h1"] == 1
    assert set(seen.values("aria-labelledby")) <= set(seen.values("id"))


def test_losses_and_rewards_have_a_line_for_each_of_their_parts(quickstart):
    charts = {}
    for value in page(quickstart).values("data-readout"):
        labels = [line["label"] for line in json.loads(value)["lines"]]
        charts[tuple(labels)] = charts.get(tuple(labels), 0) + 1
    assert charts[("training", "running mean", "held-out")] == 4
    assert charts[("total", "names subject", "full stop", "concise", "no repetition")] == 1


def test_the_same_run_gives_the_same_bytes(quickstart):
    assert render_run(quickstart).read_bytes() == render_run(quickstart).read_bytes()


def test_a_failed_run_says_which_stage_why_and_how_to_go_on(failed):
    seen = page(failed)
    assert "failures" in seen.values("id")
    assert "tokenizer failed with exit code 2" in seen.words
    assert "vocabulary=7 is too small; use 257 or more" in seen.words
    assert "nemo-launcher resume ." in seen.words
    assert "4,312 → 2,874" in seen.words


def test_hostile_text_stays_text_wherever_it_comes_from(tmp_path, make_artifact):
    run = tmp_path / "run"
    run.mkdir()
    stats = {
        "documents_in": 2,
        "documents_out": 1,
        "funnel": [{"step": HOSTILE, "documents": 1, "dropped": {HOSTILE: 1}}],
        "examples": {HOSTILE: [{"id": HOSTILE, "title": HOSTILE, "excerpt": HOSTILE, "detail": HOSTILE}]},
        "languages": {HOSTILE: 1},
    }
    make_artifact(run, "curate", "documents", stats=json.loads(json.dumps(stats).replace("\\ud800", "")))
    models = {HOSTILE: {"metrics": {HOSTILE: {"value": 1, "unit": HOSTILE}}, "samples": [{"prompt": HOSTILE}]}}
    make_artifact(run, "evaluate", "evaluation", files={"results.json": json.dumps({"models": models})})
    row = {"question": HOSTILE, "answer": HOSTILE, "model": HOSTILE}
    make_artifact(run, "ask", "endpoint", files={"transcript.jsonl": json.dumps(row)})
    metrics = json.dumps({"step": 1, HOSTILE: 2.0})
    stats = {"objective": HOSTILE.replace("\ud800", ""), "before": {"x": 1}, "after": {"x": 2}}
    make_artifact(run, "train", "checkpoint", stats=stats, files={"metrics.jsonl": metrics})
    names = ["curate", "evaluate", "ask", "train", "bad"]
    plan = {"name": HOSTILE, "stages": [{"name": n, "use": HOSTILE, "needs": [HOSTILE]} for n in names]}
    (run / "plan.json").write_text(json.dumps(plan))
    rows = [
        {"time": 1, "event": "started", "stage": "bad"},
        {"time": 2, "event": "failed", "stage": "bad", "reason": HOSTILE},
    ]
    (run / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seen = page(run)
    assert seen.tags["script"] == 1
    assert "img" not in seen.tags
    assert not [name for _, name, _ in seen.attributes if name.startswith("on")]
    assert "<script>alert(1)</script>" in seen.words


def test_the_policy_lets_only_the_pages_own_script_run(quickstart):
    import base64
    import hashlib

    text = render_run(quickstart).read_text(encoding="utf-8")
    script = text.rsplit("<script>", 1)[1].rsplit("</script>", 1)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#x27;sha256-{digest}&#x27;" in text


def test_an_unknown_kind_of_artifact_is_shown_with_its_figures(tmp_path, make_artifact):
    make_artifact(tmp_path, "compile", "engine", stats={"layers": 12, "precision": {"weights": "int4"}})
    seen = page(tmp_path)
    assert "compile" in seen.words
    assert "precision.weights int4" in seen.words


def test_what_cannot_be_read_is_listed(quickstart):
    (quickstart / "artifacts" / "evaluate" / "results.json").unlink()
    (quickstart / "artifacts" / "sft" / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    (quickstart / "artifacts" / "ask" / "manifest.json").write_text("{")
    (quickstart / "plan.json").unlink()
    seen = page(quickstart)
    assert "missing" in seen.values("id")
    for sentence in (
        "results.json could not be read",
        "metrics.jsonl: 1 of 2 lines are no JSON objects",
        "The artifact of ask is left out",
        "plan.json could not be read",
    ):
        assert sentence in seen.words


def test_questions_that_models_were_trained_on_are_marked(quickstart):
    words = page(quickstart).words
    assert "What is json? held out from training" in words
    assert "What is bisect? also in the training data" in words


def test_commands_to_go_on_name_what_is_there_and_survive_a_shell(tmp_path, make_artifact):
    make_artifact(tmp_path, "it's", "checkpoint", stats={"objective": "sft", "before": {}, "after": {}})
    commands = steps(gather(tmp_path))
    words = [shlex.split(step.command) for step in commands]
    assert ["nemo-deploy", "serve", "artifacts/it's"] in words
    assert ["nemo-core", "generate", "model=artifacts/it's", "chat=What is this about?"] in words


def test_the_page_says_where_the_run_came_from(quickstart):
    seen = page(quickstart)
    assert "nemo-launcher run examples/quickstart/workflow.yaml 'input=my data'" in seen.words
    for fact in ("Linux-x86_64", "3.11.7", "nemo-core 0.1.0", "2026-01-05 09:30:00 UTC"):
        assert fact in seen.words


def test_the_command_writes_the_report_of_a_run_that_failed(failed, capsys):
    assert main(["report", str(failed)]) == 0
    assert json.loads(capsys.readouterr().out) == {"report": str(failed / "report.html")}
    assert "failures" in Structure((failed / "report.html").read_text(encoding="utf-8")).values("id")


def test_the_command_refuses_a_run_that_is_not_there(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "no such run" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run folder"):
        render_run(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_report_needs_no_heavy_library(quickstart):
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from nemo_launcher.report import render_run; "
        f"render_run(Path({str(quickstart)!r})); "
        "print(sorted({'torch', 'numpy', 'pandas', 'pyarrow', 'hydra'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
