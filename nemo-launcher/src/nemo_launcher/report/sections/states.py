"""How a state looks: a word and a sign, never colour alone."""

from ..markup import Html, tag
from ..view import State

SIGNS: dict[State, tuple[str, str]] = {
    "done": ("✓", "done"),
    "reused": ("↺", "reused"),
    "running": ("▸", "running"),
    "failed": ("✕", "failed"),
    "blocked": ("⊘", "blocked"),
    "cancelled": ("◼", "stopped"),
    "waiting": ("·", "waiting"),
    "unknown": ("?", "unknown"),
}


def badge(state: State) -> Html:
    """The state as a small label."""
    sign, word = SIGNS[state]
    return tag("span", tag("span", sign, cls="sign", aria_hidden="true"), f" {word}", cls=f"badge {state}")
