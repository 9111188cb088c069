"""What is known of a metric by its name: how to call it, which way is better, how to write its values."""

from dataclasses import dataclass
from typing import Literal

from . import figures

Better = Literal["lower", "higher", "neither"]
VALIDATION = "validation_"
PARTS = "reward/"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A metric's label and reading; `share` values lie between 0 and 1 and are shown as percentages."""

    label: str
    better: Better = "neither"
    share: bool = False

    def show(self, value: float | None) -> str:
        """`value` as it stands in tables and tiles."""
        return figures.percent(value) if self.share else figures.figure(value)


KNOWN = {
    "loss": Measure(label="Loss", better="lower"),
    "perplexity": Measure(label="Perplexity", better="lower"),
    "bits_per_byte": Measure(label="Bits per byte", better="lower"),
    "preference_accuracy": Measure(label="Preference accuracy", better="higher", share=True),
    "preference_accuracy_by_sum": Measure(label="Preference accuracy, by sum", better="higher", share=True),
    "accuracy": Measure(label="Accuracy", better="higher", share=True),
    "reward_accuracy": Measure(label="Reward accuracy", better="higher", share=True),
    "margin": Measure(label="Reward margin", better="higher"),
    "logp_margin": Measure(label="Log-probability margin", better="higher"),
    "chosen_logp": Measure(label="Log-probability of chosen answers"),
    "rejected_logp": Measure(label="Log-probability of rejected answers"),
    "reward": Measure(label="Reward", better="higher"),
    "reward_std": Measure(label="Reward spread in a group"),
    "kl": Measure(label="KL from the reference"),
    "response_tokens": Measure(label="Answer length (tokens)"),
    "truncated": Measure(label="Answers cut off", share=True),
    "failed": Measure(label="Answers without a reward", share=True),
    "entropy": Measure(label="Entropy"),
    "clip_fraction": Measure(label="Clipped updates", share=True),
    "learning_rate": Measure(label="Learning rate"),
    "grad_norm": Measure(label="Gradient norm"),
    "tokens_per_s": Measure(label="Tokens per second"),
}


def measure(name: str) -> Measure:
    """The reading of metric `name`; an unknown one is shown under its own name."""
    base = name.removeprefix(VALIDATION)
    if base in KNOWN:
        known = KNOWN[base]
        return known if base == name else Measure(label=held_out(known.label), better=known.better, share=known.share)
    if name.startswith(PARTS):
        return Measure(label=words(part_of_reward(name)), better="higher")
    return Measure(
        label=words(name), share=name.endswith(("_accuracy", "_fraction", "_rate")) and "learning" not in name
    )


def part_of_reward(name: str) -> str:
    """The name of a reward's part; of one given as ``module:function`` the function."""
    return name.removeprefix(PARTS).rpartition(":")[2]


def held_out(label: str) -> str:
    """The label of a metric measured on data that was not trained on."""
    return f"Held-out {label[0].lower()}{label[1:]}"


def words(name: str) -> str:
    """A name in snake case as a person would write it."""
    plain = " ".join(name.replace("_", " ").replace("/", " / ").split())
    return plain[:1].upper() + plain[1:]
