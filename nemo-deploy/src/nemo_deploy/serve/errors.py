"""Failures as the OpenAI API words them: ``{"error": {"message", "type", "param", "code"}}``."""

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from .reply import json_reply

TYPE_OF_STATUS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An answer other than 200; `param` names the field at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code, self.headers = status, message, param, code, headers

    def body(self) -> dict[str, dict[str, str | int | None]]:
        """The JSON body."""
        kind = TYPE_OF_STATUS.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def reply(self) -> Response:
        """The whole response."""
        return json_reply(self.body(), status=self.status, headers=self.headers)


async def on_api_error(_: Request, error: Exception) -> Response:
    """Render an ApiError."""
    assert isinstance(error, ApiError)
    return error.reply()


async def on_http_error(request: Request, error: Exception) -> Response:
    """Render what the router refuses: a wrong path or method."""
    assert isinstance(error, HTTPException)
    wanted = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        message = f"no route for {wanted}; the OpenAI API is under /v1, for example POST /v1/chat/completions"
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "another method")
        message = f"{wanted} is not offered; use {allowed}"
    else:
        message = str(error.detail)
    return ApiError(error.status_code, message, headers=dict(error.headers or {})).reply()


async def on_disconnect(_: Request, error: Exception) -> Response:
    """Nobody reads this: the client left before its request was whole."""
    assert isinstance(error, ClientDisconnect)
    return ApiError(400, "the request was cut off").reply()


async def on_defect(request: Request, _: Exception) -> Response:
    """Render a defect: the server logs the traceback, the client gets a sentence."""
    return ApiError(500, f"defect while answering {request.url.path}; the server's log has the details").reply()
