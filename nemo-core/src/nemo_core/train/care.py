"""Settings of what looks after a run: spikes, the average of the weights, stopping early. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

NotNegative = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """What to do about a loss that leaps or is not finite."""

    spike_factor: Annotated[
        float,
        Meta(ge=0, description="a loss this many standard deviations above the recent mean is skipped; 0: none is"),
    ] = 0.0
    rollback_after: Annotated[
        int, Meta(ge=0, description="bad steps in a row until weights go back to a good moment in memory; 0: never")
    ] = 0
    remember_every: Annotated[int, Meta(ge=1, description="steps between the moments kept for that")] = 50
    max_rollbacks: Annotated[int, Meta(ge=1, description="rollbacks until the run gives up")] = 3


@dataclass(frozen=True, kw_only=True)
class EmaSettings:
    """Average of the weights over the last steps, saved as a second model in ema/."""

    decay: Annotated[
        float, Meta(ge=0, lt=1, description="share of the average kept at each step, such as 0.999; 0: no average")
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class ExpertSettings:
    """How the experts of a mixture are kept equally busy while it learns."""

    balance_loss: Annotated[
        NotNegative | None,
        Meta(
            description="weight of the balancing loss; null: router_aux_loss_coef of the model's folder if "
            "output_router_logits is true there, else none, as transformers; 0: none"
        ),
    ] = None
    z_loss: Annotated[
        float, Meta(ge=0, description="weight of the squared log-sum-exp of the router's scores (ST-MoE: 0.001)")
    ] = 0.0
    bias_rate: Annotated[
        float,
        Meta(ge=0, description="step of the correction bias towards idle experts (DeepSeek V3: 0.001); 0: it stays"),
    ] = 0.0


@dataclass(frozen=True, kw_only=True)
class EarlyStopSettings:
    """When to end before the last step."""

    patience: Annotated[
        int, Meta(ge=0, description="measurements without a better held-out loss until the run ends; 0: never")
    ] = 0
    min_improvement: Annotated[float, Meta(ge=0, description="nats by which a loss must be better to count")] = 0.0
    restore_best: Annotated[
        bool,
        Meta(description="end with the weights that measured best by state.best_metric, not with the last"),
    ] = False
