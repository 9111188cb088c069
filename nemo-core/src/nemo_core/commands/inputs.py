"""Inputs that several stages take."""

from ..foundation.command import StageInput

DOCUMENTS = StageInput(kinds=("documents",), external=True)
CONVERSATIONS = StageInput(kinds=("conversations",), external=True)
MODEL = StageInput(kinds=("checkpoint", "exported"), external=True)
