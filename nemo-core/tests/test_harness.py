"""The lm-eval harness gives our model class the figures that its own gives transformers on the same folder."""

import json

import pytest

from nemo_core.checkpoint.folder import load_model
from nemo_core.foundation.errors import ConfigError
from nemo_core.peft.adapter import add_adapter
from nemo_core.peft.folder import save_adapter
from nemo_core.peft.settings import PromptSettings

pytestmark = pytest.mark.slow
TASKS = {
    "modules": """
task: modules
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "text": """
task: text
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
""",
    "writing": """
task: writing
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{prompt}}"
doc_to_target: "{{target}}"
generation_kwargs: {until: ["."], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match}]
""",
}
ROWS = {
    "modules": [
        {"prompt": f"The {thing} module", "choices": ["reads", "writes many items", "sorts"], "answer": number % 3}
        for number, thing in enumerate(["array", "enum", "json", "glob", "heapq"])
    ],
    "text": [{"text": "The json module reads 7 items. The enum module sorts 12 items. " * n} for n in (1, 40)],
    "writing": [{"prompt": f"The {thing} module", "target": "reads 7 items"} for thing in ("array", "json", "enum")],
}


@pytest.fixture(scope="module")
def results(pretrained, tmp_path_factory):
    """What the harness finds, by model class."""
    lm_eval = pytest.importorskip("lm_eval", reason="the extra [eval] is not installed")
    from lm_eval.tasks import TaskManager

    import nemo_core.evaluation.harness  # noqa: F401 - registers the model class

    folder = tmp_path_factory.mktemp("tasks")
    for name, text in TASKS.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in ROWS[name]))
        (folder / f"{name}.yaml").write_text(text.replace("DATA", str(data)))
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return {
        kind: lm_eval.simple_evaluate(
            model=kind,
            model_args=f"pretrained={pretrained},dtype=float32",
            tasks=list(TASKS),
            batch_size=4,
            device="cpu",
            task_manager=manager,
            log_samples=True,
            bootstrap_iters=0,
        )
        for kind in ("nemo-core", "hf")
    }


def test_the_harness_finds_the_same_figures(results):
    ours, theirs = results["nemo-core"]["results"], results["hf"]["results"]
    assert ours.keys() == TASKS.keys()
    for task, figures in theirs.items():
        for name, value in figures.items():
            if isinstance(value, float):
                assert ours[task][name] == pytest.approx(value, rel=1e-4), (task, name)


def test_every_answer_is_the_same(results):
    for task in TASKS:
        pairs = zip(results["nemo-core"]["samples"][task], results["hf"]["samples"][task], strict=True)
        for ours, theirs in pairs:
            if task == "writing":
                assert ours["resps"] == theirs["resps"]
                continue
            for mine, other in zip(ours["filtered_resps"], theirs["filtered_resps"], strict=True):
                mine, other = (value if isinstance(value, tuple | list) else [value] for value in (mine, other))
                assert mine[0] == pytest.approx(other[0], abs=2e-3)
                assert list(mine[1:]) == list(other[1:])


def test_an_adapter_is_evaluated_and_unknown_arguments_are_named(pretrained, tmp_path):
    pytest.importorskip("lm_eval", reason="the extra [eval] is not installed")
    from lm_eval.api.instance import Instance

    from nemo_core.evaluation.harness import NemoCoreLM

    save_adapter(add_adapter(load_model(pretrained), "prompt", PromptSettings(num_tokens=3)), tmp_path, base="x")
    asked = [Instance("loglikelihood", {}, ("The enum module", " reads"), 0)]
    plain, tuned = (
        NemoCoreLM(str(pretrained), adapter=adapter).loglikelihood(asked)[0][0] for adapter in (None, str(tmp_path))
    )
    assert plain != tuned
    with pytest.raises(ConfigError, match="--model_args dtpye=: unknown to nemo-core; known: pretrained, adapter"):
        NemoCoreLM(str(pretrained), dtpye="float32")
