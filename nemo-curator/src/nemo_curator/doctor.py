"""What ``nemo-curator doctor`` checks beside the installed libraries."""

from .foundation.errors import MissingBackend
from .language.identify import model_path


def checks() -> list[tuple[str, str, str]]:
    """State, name and detail of each finding."""
    try:
        return [("ok", "lid.176.ftz", f"language model at {model_path()}")]
    except MissingBackend as error:
        return [("missing", "lid.176.ftz", str(error))]
