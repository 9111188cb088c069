"""The chat page at ``/``: three files of this folder, nothing from elsewhere."""

from functools import cache
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

MEDIA_TYPES = {
    "index.html": "text/html",
    "chat.css": "text/css",
    "chat.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}


@cache
def content(name: str) -> bytes:
    """One file of the page."""
    return files(__name__).joinpath(name).read_bytes()


async def index(_: Request) -> Response:
    """GET /."""
    return Response(content("index.html"), media_type=MEDIA_TYPES["index.html"], headers=HEADERS)


async def asset(request: Request) -> Response:
    """GET /page/{name}."""
    name = request.path_params["name"]
    if name not in MEDIA_TYPES:
        raise HTTPException(404)
    return Response(content(name), media_type=MEDIA_TYPES[name], headers=HEADERS)


ROUTES = [Route("/", index), Route("/page/{name}", asset)]
