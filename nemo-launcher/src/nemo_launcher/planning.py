"""From a checked workflow to a plan: stages in order, inputs found, settings completed and checked; nothing written."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import graph, validate
from .config.schema import Reference, StageSpec, Workflow
from .contracts import Contract
from .foundation.artifact import digest_of
from .foundation.errors import ConfigError
from .foundation.settings import Sourced, did_you_mean
from .plan import Capacity, Input, Plan, PlannedStage

FindContract = Callable[[str, str], Contract]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What is known while a plan is made."""

    workflow: Workflow
    sourced: Sourced
    file: Path
    cwd: Path
    artifacts: Path

    def place(self, *key: str) -> str:
        """File and line of a key of the workflow, or the file."""
        where = self.sourced.place(key)
        return str(self.file) if where == "settings" else where


def make_plan(workflow: Workflow, sourced: Sourced, *, file: Path, cwd: Path, find: FindContract) -> Plan:
    """The plan of a workflow.

    Raises ConfigError, naming file and line, for an unknown stage or setting, an impossible value, an input that is
    missing or of another kind, and a cycle.
    """
    run_dir = cwd / (workflow.run_dir or Path("runs") / workflow.name)
    draft = Draft(workflow=workflow, sourced=sourced, file=file, cwd=cwd, artifacts=run_dir / "artifacts")
    needs = {name: needs_of(draft, name, spec) for name, spec in workflow.stages.items()}
    targets = [known_stage(draft, t, ("targets",)) for t in workflow.targets] or list(workflow.stages)
    wanted = graph.needed_by(targets, needs)
    order = [name for name in graph.in_order(needs) if name in wanted]
    contracts = {n: find(workflow.stages[n].use, draft.place("stages", n, "use")) for n in order}
    return Plan(
        name=workflow.name,
        workflow=str(file.resolve()),
        run_dir=str(run_dir),
        cwd=str(cwd),
        stages=tuple(plan_stage(draft, name, contracts, needs[name]) for name in order),
        left_out=tuple(name for name in workflow.stages if name not in wanted),
        capacity=Capacity(
            cpus=workflow.executor.cpus, memory_gib=workflow.executor.memory_gib, gpus=workflow.executor.gpus
        ),
        grace_s=workflow.executor.grace_s,
        closing=workflow.closing,
        report=workflow.report,
    )


def plan_stage(draft: Draft, name: str, contracts: Mapping[str, Contract], needs: tuple[str, ...]) -> PlannedStage:
    """One stage with its settings completed and checked."""
    spec, contract = draft.workflow.stages[name], contracts[name]
    refuse_places(draft, name, spec, contract)
    inputs = plan_inputs(draft, name, spec, contracts)
    output = str(draft.artifacts / name)
    references = {key: config_value(reference, key, inputs) for key, reference in spec.inputs.items()}
    config = {**spec.settings, **references, contract.output_key: output}
    validate.check_config(config, contract, lambda key: draft.place("stages", name, "with", *key), name)
    resources = spec.resources
    return PlannedStage(
        name=name,
        use=spec.use,
        package=contract.package,
        version=contract.version,
        argv=fill_python(contract, draft.workflow),
        config=config,
        inputs=inputs,
        needs=needs,
        output=output,
        kind=output_kind(contract, config),
        cpus=resources.cpus or contract.cpus,
        memory_gib=resources.memory_gib or contract.memory_gib,
        gpus=contract.gpus if resources.gpus is None else resources.gpus,
        retries=spec.retries,
        env=env_of(spec),
        recipe_key=digest_of(
            [contract.stage, contract.version, contract.argv, spec.settings, shape(spec.inputs), env_of(spec)]
        ),
    )


def env_of(spec: StageSpec) -> dict[str, str]:
    """The variables a stage sets, as text."""
    return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in spec.env.items()}


def shape(inputs: Mapping[str, Reference]) -> dict[str, Any]:
    """Which inputs are given, and under which names, without saying where they are."""
    return {
        key: sorted(ref) if isinstance(ref, dict) else len(ref) * isinstance(ref, list) for key, ref in inputs.items()
    }


def fill_python(contract: Contract, workflow: Workflow) -> tuple[str, ...]:
    """The contract's command line with the interpreter filled in."""
    python = workflow.executor.python.get(contract.package, sys.executable)
    return tuple(python if word == "{python}" else word for word in contract.argv)


def output_kind(contract: Contract, config: Mapping[str, Any]) -> str | None:
    """The kind a stage makes; ``{kind}`` in a contract is the setting of that name, or its default."""
    kind = contract.output_kind
    if kind is None or not kind.startswith("{"):
        return kind
    key = kind.strip("{}")
    properties = validate.properties_of(contract.config_schema)
    return str(config.get(key, properties.get(key, {}).get("default")))


def refuse_places(draft: Draft, name: str, spec: StageSpec, contract: Contract) -> None:
    """Raise ConfigError where `with` sets what the launcher sets: inputs, the output, overwrite."""
    for key in spec.settings:
        place = draft.place("stages", name, "with", key)
        if key in contract.inputs:
            raise ConfigError(f"{place}: {name}.{key} is an input of {spec.use}; write it under `inputs:`")
        if key in (contract.output_key, "overwrite"):
            raise ConfigError(f"{place}: {name}.{key} is set by the launcher (artifacts are in the run folder)")


def references_in(reference: Reference, key: str) -> dict[str, str]:
    """Each single reference of an input under a name of its own: `model`, `models.sft`, `parts.0`."""
    if isinstance(reference, str):
        return {key: reference}
    pairs = reference.items() if isinstance(reference, dict) else enumerate(reference)
    return {f"{key}.{name}": text for name, text in pairs}


def config_value(reference: Reference, key: str, inputs: Mapping[str, Input]) -> Any:
    """The reference with each part replaced by its path."""
    if isinstance(reference, str):
        return inputs[key].path
    if isinstance(reference, dict):
        return {name: inputs[f"{key}.{name}"].path for name in reference}
    return [inputs[f"{key}.{index}"].path for index in range(len(reference))]


def needs_of(draft: Draft, name: str, spec: StageSpec) -> tuple[str, ...]:
    """Stages that must be done before: those its inputs name, and those it says it needs."""
    named = [text for key, ref in spec.inputs.items() for text in references_in(ref, key).values()]
    explicit = [known_stage(draft, text, ("stages", name, "needs")) for text in spec.needs]
    return tuple(dict.fromkeys([*(text for text in named if text in draft.workflow.stages), *explicit]))


def known_stage(draft: Draft, name: str, key: tuple[str, ...]) -> str:
    """`name`, if the workflow has such a stage."""
    stages = draft.workflow.stages
    if name not in stages:
        raise ConfigError(
            f"{draft.place(*key)}: {key[-1]}: no stage {name!r}{did_you_mean(name, stages)} "
            f"(stages: {', '.join(stages)})"
        )
    return name


def plan_inputs(draft: Draft, name: str, spec: StageSpec, contracts: Mapping[str, Contract]) -> dict[str, Input]:
    """Every input of a stage, checked against what its contract takes."""
    contract = contracts[name]
    for key, wanted in contract.inputs.items():
        if wanted.required and key not in spec.inputs:
            raise ConfigError(
                f"{draft.place('stages', name)}: stage {name!r} needs the input {key!r} "
                f"({' or '.join(wanted.kinds)}); add `inputs: {{{key}: <stage or path>}}`"
            )
    found = {}
    for key, reference in spec.inputs.items():
        if key not in contract.inputs:
            raise ConfigError(
                f"{draft.place('stages', name, 'inputs', key)}: {spec.use} has no input {key!r}"
                f"{did_you_mean(key, contract.inputs)} (its inputs: {', '.join(contract.inputs) or 'none'})"
            )
        for part, text in references_in(reference, key).items():
            found[part] = plan_input(draft, text, contracts, (name, key, contract))
    return found


def plan_input(draft: Draft, text: str, contracts: Mapping[str, Contract], asked: tuple[str, str, Contract]) -> Input:
    """One reference as the artifact of a stage, or as a path."""
    name, key, contract = asked
    wanted = contract.inputs[key]
    place = draft.place("stages", name, "inputs", key)
    if text in contracts:
        made = output_kind(contracts[text], draft.workflow.stages[text].settings)
        if made not in wanted.kinds:
            raise ConfigError(
                f"{place}: {name}.{key} takes {' or '.join(wanted.kinds)}, but stage {text!r} makes {made or 'nothing'}"
                f"{suggest(wanted.kinds, contracts)}"
            )
        return Input(path=str(draft.artifacts / text), stage=text, kinds=wanted.kinds, external=False)
    path = (draft.cwd / Path(text).expanduser()).resolve()
    if not path.exists():
        stages = draft.workflow.stages
        raise ConfigError(
            f"{place}: {name}.{key}: {text!r} is neither a stage nor an existing file or folder"
            f"{did_you_mean(text, stages)} (stages: {', '.join(stages)})"
        )
    validate.check_external(path, wanted, place)
    return Input(path=str(path), stage=None, kinds=wanted.kinds, external=wanted.external)


def suggest(kinds: Iterable[str], contracts: Mapping[str, Contract]) -> str:
    """The stages that make one of `kinds`."""
    makers = [name for name, contract in contracts.items() if contract.output_kind in set(kinds)]
    return f" (made by: {', '.join(makers)})" if makers else ""
