"""DPO, GRPO and other alignment of language models, in one process or on Ray."""

from typing import Any

__version__ = "0.1.0"


def train(algorithm: str, **settings: Any) -> Any:
    """Run ``nemo-aligner <algorithm>`` from Python: ``train("dpo", model=..., preferences=..., output=...)``.

    Takes the command's settings as keyword arguments and returns its result (output, steps, before, after, seconds).
    Raises ConfigError for an unknown algorithm or setting, naming the nearest one.
    """
    from nemo_core.foundation import command
    from nemo_core.foundation.errors import ConfigError
    from nemo_core.foundation.settings import Sourced, convert, did_you_mean, to_plain

    from .cli import DPO, GRPO

    known = {chosen.name: chosen for chosen in (DPO, GRPO)}
    if algorithm not in known:
        raise ConfigError(
            f"unknown algorithm {algorithm!r}{did_you_mean(algorithm, known)} (known: {', '.join(known)})"
        )
    chosen = known[algorithm]
    checked = convert(command.resolve(chosen.settings), Sourced(to_plain(settings), {}))
    return command.resolve(chosen.run)(checked)
