"""Inputs that several stages take."""

from ..foundation.command import StageInput

DOCUMENTS = StageInput(kinds=("documents",))
