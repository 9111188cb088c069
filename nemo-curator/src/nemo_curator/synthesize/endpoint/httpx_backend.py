"""The HTTP client (extra ``synthesize``)."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .request import Reply
from .settings import Endpoint


class Client:
    """Posts JSON to one endpoint."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self._url = client, url

    async def post(self, body: dict[str, Any]) -> Reply:
        """The reply; one that never came whole says why."""
        try:
            found = await self._client.post(self._url, json=body)
        except httpx.TimeoutException:
            return Reply(lost="no answer in time")
        except httpx.TransportError as error:
            return Reply(lost=f"the connection failed ({type(error).__name__}: {error})")
        return Reply(status=found.status_code, body=found.content, retry_after=found.headers.get("retry-after", ""))


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Client]:
    """A client with the endpoint's key, limits and timeout."""
    key = os.environ.get(endpoint.api_key_variable, "")
    limits = httpx.Limits(max_connections=endpoint.connections, max_keepalive_connections=endpoint.connections)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, limits=limits, timeout=endpoint.timeout_s) as client:
        yield Client(client, f"{endpoint.base_url.rstrip('/')}/chat/completions")
