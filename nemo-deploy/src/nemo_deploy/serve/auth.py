"""Who may ask: API keys, and the rule that a public address needs one."""

import hashlib
import hmac
import ipaddress
import os
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from nemo_core.foundation.errors import ConfigError

from .errors import ApiError
from .settings import ServeSettings

OPEN_PATHS = ("/health", "/v1/health/live", "/v1/health/ready", "/v1/version")
OPEN_PREFIX = "/page/"


@dataclass(frozen=True)
class ApiKeys:
    """SHA-256 digests of the accepted keys; the keys themselves are not kept."""

    digests: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, keys: list[str]) -> "ApiKeys":
        """Accept these keys."""
        return cls(tuple(hashlib.sha256(key.encode()).digest() for key in keys))

    def accept(self, key: str) -> bool:
        """Whether `key` is one of them, in a time that does not depend on it."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        matches = [hmac.compare_digest(digest, known) for known in self.digests]
        return any(matches)


def read_keys(settings: ServeSettings) -> ApiKeys:
    """The keys named by the settings. Raises ConfigError where a named place holds none."""
    keys: list[str] = []
    if settings.api_key_env is not None:
        value = os.environ.get(settings.api_key_env, "").strip()
        if not value:
            raise ConfigError(f"api_key_env: the environment variable {settings.api_key_env!r} is not set or empty")
        keys.append(value)
    if settings.api_key_file is not None:
        try:
            lines = settings.api_key_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"api_key_file: {settings.api_key_file} cannot be read ({error})") from None
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise ConfigError(f"api_key_file: {settings.api_key_file} holds no key; write one per line")
        keys += found
    return ApiKeys.of(keys)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: ServeSettings, keys: ApiKeys) -> None:
    """Raise ConfigError for a public address that anyone could use."""
    if not (is_loopback(settings.host) or keys.digests or settings.insecure):
        raise ConfigError(
            f"host={settings.host} is reachable from other machines and no API key is set; "
            "set api_key_env=NAME or api_key_file=PATH, keep host=127.0.0.1, or say insecure=true"
        )


class RequireKey:
    """ASGI layer that answers 401 without a good ``Authorization: Bearer`` key; health and page files stay open."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is open or has a good key."""
        if scope["type"] == "http" and not is_open(scope["path"]):
            scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self.keys.accept(key.strip()):
                await refusal(given=bool(key)).reply()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_open(path: str) -> bool:
    """Whether `path` is answered without a key."""
    return path == "/" or path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


def refusal(*, given: bool) -> ApiError:
    """The 401 for a wrong (`given`) or a missing key."""
    message = "wrong API key" if given else "no API key given"
    return ApiError(
        401,
        f"{message}; send the header 'Authorization: Bearer KEY'",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )
