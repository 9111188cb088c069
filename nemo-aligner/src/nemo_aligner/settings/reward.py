"""One reward of a recipe."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta


class RewardUse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reward by name, its weight in the mixture, and its options."""

    use: Annotated[
        str, Meta(min_length=1, description="a built-in or installed reward, or module:function of your own")
    ]
    weight: Annotated[float, Meta(description="share in the weighted mean; negative punishes")] = 1.0
    options: Annotated[dict[str, Any], Meta(description="keyword arguments of the reward")] = {}


DEFAULT_REWARDS = (
    RewardUse(use="mentions_subject", weight=2.0),
    RewardUse(use="reference_overlap", weight=2.0),
    RewardUse(use="ends_with_full_stop"),
    RewardUse(use="concise"),
    RewardUse(use="no_repetition"),
)
