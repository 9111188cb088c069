"""What every stage says of itself and what it writes conform to the schemas in docs/artifacts."""

import json

import pytest
from contracts.stages import contracts, references, smallest
from jsonschema import Draft202012Validator
from packages import ROOT
from referencing import Registry, Resource

from nemo_core.foundation import artifact

SCHEMAS = {
    path.name: json.loads(path.read_text(encoding="utf-8")) for path in (ROOT / "docs/artifacts").glob("*.schema.json")
}
REGISTRY = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in SCHEMAS.items())
STAGES = contracts()
PRODUCERS = sorted(name for name, body in STAGES.items() if body["output"]["kind"])


def output_kind(stage):
    """The kind that the smallest run of a stage makes; a contract may name the setting that says it."""
    kind = STAGES[stage]["output"]["kind"]
    return smallest()[stage][kind[1:-1]] if kind.startswith("{") else kind


def faults(schema, document):
    validator = Draft202012Validator(SCHEMAS[schema], registry=REGISTRY)
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_is_valid_and_explained(name):
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == name and SCHEMAS[name]["title"] and SCHEMAS[name]["description"]
    assert f"`{name}`" in (ROOT / "docs/artifacts/index.md").read_text(encoding="utf-8")


def test_every_kind_has_a_schema():
    assert {f"{kind}.schema.json" for kind in artifact.KINDS} <= set(SCHEMAS)
    assert SCHEMAS["manifest.schema.json"]["properties"]["kind"]["enum"] == list(artifact.KINDS)


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_contract_conforms(stage):
    assert faults("stage-contract.schema.json", STAGES[stage]) == []
    Draft202012Validator.check_schema(STAGES[stage]["config_schema"])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_a_stage_contract_names_inputs_that_are_settings(stage):
    schema = STAGES[stage]["config_schema"]
    settings = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    assert set(STAGES[stage]["inputs"]) <= set(settings["properties"])
    assert STAGES[stage]["output"]["kind"] is None or {"output", "overwrite"} <= set(settings["properties"])


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_the_smallest_settings_of_a_stage_conform_to_its_config_schema(stage):
    settings = {**smallest()[stage], "output": "somewhere"}
    assert [e.message for e in Draft202012Validator(STAGES[stage]["config_schema"]).iter_errors(settings)] == []


def test_what_a_stage_writes_is_what_the_next_one_takes():
    for stage, settings in smallest().items():
        for name, wanted in STAGES[stage]["inputs"].items():
            for source in references(settings.get(name)):
                assert output_kind(source) in wanted["kinds"], f"{source} -> {stage}.{name}"


@pytest.mark.parametrize("stage", PRODUCERS)
def test_an_artifact_conforms_to_the_schema_of_its_kind(stage, workshop):
    folder = workshop.make(stage)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["kind"] == output_kind(stage)
    assert manifest["producer"]["package"] == STAGES[stage]["package"]
    assert faults(f"{manifest['kind']}.schema.json", manifest) == []
    assert artifact.read(folder, manifest["kind"]).digest == manifest["digest"]


@pytest.mark.parametrize("stage", PRODUCERS)
def test_a_manifest_names_the_digest_of_every_input(stage, workshop):
    inputs = json.loads((workshop.make(stage) / "manifest.json").read_text(encoding="utf-8"))["inputs"]
    wanted = {
        artifact.load_manifest(workshop.make(source)).digest
        for name in STAGES[stage]["inputs"]
        for source in references(smallest()[stage].get(name))
    }
    assert wanted <= {described["digest"] for described in inputs.values()}


@pytest.mark.parametrize("stage", PRODUCERS)
def test_a_finished_stage_leaves_nothing_but_its_artifact(stage, workshop):
    folder = workshop.make(stage)
    beside = {path.name for path in folder.parent.iterdir() if path.name.strip(".").startswith(f"{folder.name}.")}
    assert beside <= {f"{folder.name}.yaml", f"{folder.name}.answers.jsonl"}  # paid for, and so kept
