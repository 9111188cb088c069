"""Workflow files and overrides: every mistake is named with its place and the nearest right name."""

from pathlib import Path

import pytest

from nemo_launcher.config.compose import load_workflow
from nemo_launcher.foundation.errors import ConfigError

FILE = """\
name: flow
params:
  input: write
  seed: 3
targets: [join]
stages:
  write:
    use: demo-stages/write
    with: {text: "no", options: {keep: [no, 1e-3]}}
  join:
    use: demo-stages/join
    inputs: {parts: ["${input}"]}
    needs: [write]
    with:
      separator: "-"
    resources: {cpus: 2}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    path.write_text(FILE)
    return path


def test_a_file_becomes_a_checked_workflow_with_values_as_people_write_them(file: Path) -> None:
    workflow, _ = load_workflow(file, [])
    assert workflow.stages["join"].inputs == {"parts": ["write"]}
    assert workflow.stages["write"].settings == {"text": "no", "options": {"keep": ["no", 0.001]}}
    assert (workflow.executor.name, workflow.executor.cpus, workflow.report) == ("local", None, False)


def test_words_set_params_settings_stage_keys_and_file_keys(file: Path) -> None:
    words = ["seed=4", "write.text=yes", "write.options.deep.er=[1,2]", "join.resources.cpus=1", "executor.cpus=8"]
    workflow, _ = load_workflow(file, [*words, "targets=[write]", "report=true", "stages.write.with.text=x"])
    assert workflow.params == {"input": "write", "seed": 4}
    assert workflow.stages["write"].settings["text"] == "x"
    assert workflow.stages["write"].settings["options"]["deep"] == {"er": [1, 2]}
    assert (workflow.stages["join"].resources.cpus, workflow.executor.cpus) == (1, 8)
    assert (workflow.targets, workflow.report) == (["write"], True)


def test_a_param_is_used_wherever_it_is_named(file: Path) -> None:
    workflow, _ = load_workflow(file, ["input=/data/warcs", "write.text='seed ${seed}'"])
    assert workflow.stages["join"].inputs == {"parts": ["/data/warcs"]}
    assert workflow.stages["write"].settings["text"] == "seed 3"


def test_a_variable_of_the_environment_can_be_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOW_TEXT", "from outside")
    assert load_workflow(file, ["write.text=${oc.env:FLOW_TEXT}"])[0].stages["write"].settings["text"] == "from outside"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("sed=1", r"'sed': .*flow.yaml has no param or stage 'sed'; did you mean 'seed'\?"),
        ("joni.separator=x", r"no param or stage 'joni'; did you mean 'join'\?"),
        ("params.sede=1", r"has no param 'sede'; did you mean 'seed'\?"),
        ("stages.wirte.use=x", r"has no stage 'wirte'; did you mean 'write'\?"),
        ("join=3", r"'join' is a stage; name a setting of it \(join.<setting>=\.\.\.\)"),
        ("seed", r"'seed' is no setting; write key=value"),
        ("join.resources.cpu=1", r"command line: unknown key '.*resources.cpu'; did you mean 'cpus'\?"),
        ("join.resources.cpus=0", r"command line: join.resources.cpus: .*>= 1"),
        ("join.resources.cpus=many", r"command line: join.resources.cpus: expected `int"),
        ("executor=slurn", r"executor: no 'slurn' \(available: local\)"),
        ("executor.cpu=2", r"unknown key 'executor.cpu'; did you mean 'cpus'\?"),
        ("write.text=${sede}", r"command line: stages.write.with.text: .*'sede' not found; did you mean 'seed'\?"),
        ("write.text=${oc.env:NOT_SET_ANYWHERE}", r"NOT_SET_ANYWHERE"),
        ("name=a b", r"command line: name"),
    ],
)
def test_a_wrong_word_is_refused_with_the_nearest_name(file: Path, word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_workflow(file, [word])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    needs: [write]",
            "    need: [write]",
            r"flow.yaml:13: unknown key 'stages.join.need'; did you mean 'needs'",
        ),
        ("targets: [join]", "target: [join]", r"flow.yaml:5: unknown key 'target'; did you mean 'targets'"),
        ("    resources: {cpus: 2}", "    retries: -1", r"flow.yaml:16: join.retries: .*>= 0"),
        ("use: demo-stages/join", "use: join", r"flow.yaml:11: join.use: .*match"),
        ("seed: 3", "seed: ???", r"flow.yaml:4: param 'seed' has no value; set seed=\.\.\."),
        ("seed: 3", "stages: 3", r"flow.yaml:4: param 'stages' has the name of a workflow key"),
        ("stages:", "steps:", r"a workflow needs `stages:`"),
        ("${input}", "${inptu}", r"flow.yaml:12: .*'inptu' not found; did you mean 'input'"),
        ("params:", "params: [", r"flow.yaml: not valid YAML"),
        ("  write:\n", "  write: 3\n  other:\n", r"flow.yaml:7: stage 'write' is a mapping"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(FILE.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_workflow(file, [])


def test_a_defaults_list_composes_groups_beside_the_file(file: Path) -> None:
    (file.parent / "size").mkdir()
    for name, separator in (("small", "."), ("large", "#")):
        (file.parent / "size" / f"{name}.yaml").write_text(
            f"# @package _global_\nstages: {{join: {{with: {{separator: '{separator}'}}}}}}\n"
        )
    file.write_text("defaults: [_self_, {size: small}]\n" + FILE)
    assert load_workflow(file, [])[0].stages["join"].settings["separator"] == "."
    assert load_workflow(file, ["size=large"])[0].stages["join"].settings["separator"] == "#"
    with pytest.raises(ConfigError, match="size: no 'lage'; did you mean 'large'"):
        load_workflow(file, ["size=lage"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('text: "no"', 'text: "${oc.env:HF_TOKEN}"'),
        ("    needs: [write]", "    env: {WANDB_API_KEY: abc}"),
    ],
)
def test_a_secret_is_refused_before_it_could_be_written(
    file: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_value")
    file.write_text(FILE.replace(old, new))
    with pytest.raises(ConfigError, match="stages inherit the environment") as caught:
        load_workflow(file, [])
    assert "hf_value" not in str(caught.value)


def test_names_that_only_look_like_secrets_are_fine(file: Path) -> None:
    load_workflow(file, ["join.env.TOKENIZERS_PARALLELISM=false", "join.env.MONKEY=1"])
