"""The ASGI application: routes, error pages, API keys and the counting of responses."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import ApiKeys, RequireKey
from .errors import ApiError, on_api_error, on_defect, on_disconnect, on_http_error
from .metrics import Metrics, show_metrics
from .nim import ROUTES as NIM_ROUTES
from .openai.chat import chat_completions
from .openai.completions import completions
from .openai.tokens import detokenize, tokenize, tokenizer_info
from .page import ROUTES as PAGE_ROUTES
from .service import Service

ROUTES: list[BaseRoute] = [
    Route("/v1/completions", completions, methods=["POST"]),
    Route("/v1/chat/completions", chat_completions, methods=["POST"]),
    Route("/tokenize", tokenize, methods=["POST"]),
    Route("/detokenize", detokenize, methods=["POST"]),
    Route("/tokenizer_info", tokenizer_info),
    Route("/metrics", show_metrics),
    *NIM_ROUTES,
    *PAGE_ROUTES,
]
PATHS = frozenset(route.path for route in ROUTES if isinstance(route, Route))


class CountResponses:
    """ASGI layer that counts responses by route and status; unknown paths share one label."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, and count the status that goes out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in PATHS else "other"

        async def count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.responses.labels(route, str(message["status"])).inc()
            await send(message)

        await self.app(scope, receive, count)


def build_app(service: Service, keys: ApiKeys) -> Starlette:
    """The application over `service`; with `keys`, all but health and the page's files need one."""
    service.metrics.watch(lambda: service.runner.num_running, lambda: service.runner.num_pending)
    layers = [Middleware(CountResponses, metrics=service.metrics)]
    if keys.digests:
        layers.append(Middleware(RequireKey, keys=keys))
    app = Starlette(
        routes=ROUTES,
        middleware=layers,
        exception_handlers={
            ApiError: on_api_error,
            HTTPException: on_http_error,
            ClientDisconnect: on_disconnect,
            Exception: on_defect,
        },
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app
