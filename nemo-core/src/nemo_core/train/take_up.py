"""What a run begins with of another one's training state: float32 weights, moments, and maybe the steps it did."""

from dataclasses import dataclass

from ..checkpoint import state_store
from ..checkpoint.describe_state import STATES
from ..checkpoint.state_names import StateNames, named
from ..checkpoint.state_step import SavedState
from ..config import ModelConfig
from ..foundation.errors import ArtifactError, ConfigError
from .settings import PretrainSettings

SIGNS = {"muon": ("momentum_buffer",), "adafactor": ("row_var", "variance"), "adamw": ("exp_avg",)}


@dataclass(frozen=True)
class Beginning:
    """A state to begin with, and the step that the run goes on behind."""

    state: SavedState
    step: int = 0


def beginning_of(settings: PretrainSettings, config: ModelConfig) -> Beginning | None:
    """What the settings take up besides the weights of a folder; None where that is nothing.

    Raises ArtifactError for a folder without a whole state of this optimizer, ConfigError where all steps are done.
    """
    if settings.take_up == "weights":
        return None
    if settings.continue_from is None:
        raise ConfigError(f"take_up={settings.take_up} needs continue_from=FOLDER with a training state (state/)")
    root = settings.continue_from / STATES
    state = state_store.newest(root)
    if state is None:
        raise ArtifactError(
            f"{root}: no training state here; `nemo-core convert optimizer=true` writes that of a Megatron checkpoint, "
            "and runs keep theirs; or leave take_up at weights"
        )
    check_optimizer(state, settings.optimizer.kind)
    step = step_behind(state, settings) if settings.take_up == "run" else 0
    return Beginning(named(state, StateNames(config)), step)


def check_optimizer(state: SavedState, kind: str) -> None:
    """Raise ConfigError or ArtifactError unless the moments of a state are those of this kind of optimizer."""
    keys = {name.rpartition(".")[2] for name in state if name.startswith("optim.")}
    saved = next((known for known, signs in SIGNS.items() if keys.intersection(signs)), None)
    if saved is None:
        raise ArtifactError(f"{state.folder}: holds no moments of an optimizer; leave take_up at weights")
    if saved != kind:
        raise ConfigError(
            f"{state.folder}: the moments are those of optimizer.kind={saved}, this run's is {kind}; use that one, or "
            "leave take_up at weights"
        )


def step_behind(state: SavedState, settings: PretrainSettings) -> int:
    """The step after which the state was saved. Raises ConfigError unless this run has more."""
    step = int(state.facts.get("step", 0))
    if step >= settings.steps:
        raise ConfigError(
            f"steps={settings.steps} counts from the first step of the run that is taken up, which did {step}; give "
            "more, or take_up=optimizer to count anew"
        )
    return step
