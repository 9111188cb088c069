"""Health and description routes, as NVIDIA NIM names them, and the model list."""

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .reply import json_reply
from .service import service_of


async def live(_: Request) -> Response:
    """GET /v1/health/live: 200 as soon as the server listens, before the model is loaded."""
    return json_reply({"object": "health.response", "message": "live"})


async def ready(request: Request) -> Response:
    """GET /v1/health/ready (and /health): 200 once the model answers, 503 before."""
    state = service_of(request).runner.state
    return json_reply({"object": "health.response", "message": state}, status=200 if state == "ready" else 503)


async def metadata(request: Request) -> Response:
    """GET /v1/metadata: what is served, by which version."""
    service = service_of(request)
    model = service.ready_model()
    return json_reply(
        {
            "version": version("nemo-deploy"),
            "modelInfo": [{"modelUrl": "", "shortName": service.model_name}],
            "limits": {
                "max_model_len": model.engine.max_length,
                "max_slots": model.engine.max_slots,
                "max_queue": service.runner.max_queue,
                "max_body_bytes": service.max_body_bytes,
            },
            "facts": dict(model.facts),
        }
    )


async def versions(_: Request) -> Response:
    """GET /v1/version."""
    return json_reply({"release": version("nemo-deploy"), "api": "1"})


async def list_models(request: Request) -> Response:
    """GET /v1/models."""
    return json_reply({"object": "list", "data": [_model_card(request)]})


async def one_model(request: Request) -> Response:
    """GET /v1/models/{name}."""
    service_of(request).check_model(request.path_params["name"])
    return json_reply(_model_card(request))


def _model_card(request: Request) -> dict[str, str | int]:
    service = service_of(request)
    card: dict[str, str | int] = {"id": service.model_name, "object": "model", "owned_by": "nemo-deploy"}
    card["created"] = service.created
    if service.runner.model is not None:
        card["max_model_len"] = service.runner.model.engine.max_length
    return card


ROUTES = [
    Route("/health", ready),
    Route("/v1/health/live", live),
    Route("/v1/health/ready", ready),
    Route("/v1/metadata", metadata),
    Route("/v1/version", versions),
    Route("/v1/models", list_models),
    Route("/v1/models/{name:path}", one_model),
]
