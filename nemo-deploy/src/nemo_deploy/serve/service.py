"""What every route works with: the settings' limits, the engine's runner, and the counters."""

import time
from dataclasses import dataclass, field

from starlette.requests import Request

from ..engines.protocol import LoadedModel
from ..engines.runner import EngineRunner
from .errors import ApiError
from .metrics import Metrics


@dataclass(kw_only=True)
class Service:
    """One served model."""

    model_name: str
    runner: EngineRunner
    max_body_bytes: int
    metrics: Metrics = field(default_factory=Metrics)
    created: int = field(default_factory=lambda: int(time.time()))

    def ready_model(self) -> LoadedModel:
        """The loaded model. Raises ApiError 503 while there is none."""
        if self.runner.state == "ready" and self.runner.model is not None:
            return self.runner.model
        raise ApiError(
            503, f"the model is {self.runner.state}; ask /v1/health/ready again soon", headers={"Retry-After": "1"}
        )

    def check_model(self, name: str | None) -> None:
        """Raise ApiError 404 unless `name` (None: whatever is served) is served here."""
        if name is not None and name != self.model_name:
            raise ApiError(
                404,
                f"model {name[:200]!r} is not served here; available: {self.model_name!r}",
                param="model",
                code="model_not_found",
            )


def service_of(request: Request) -> Service:
    """The service of the app that handles `request`."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service
