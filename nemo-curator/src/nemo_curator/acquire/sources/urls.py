"""Addresses of one's own: a list in the settings, or a file with one address a line."""

from typing import Any
from urllib.parse import unquote, urlsplit

from ...foundation.errors import ConfigError, InputError
from ..download.remote import Remote
from . import Get


def list_files(settings: Any, get: Get) -> list[Remote]:
    """One file per address, named as its path ends. Raises ConfigError where there are none or one is no address."""
    urls = list(settings.urls)
    if settings.url_file is not None:
        try:
            lines = settings.url_file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"url_file={settings.url_file}: {error}") from None
        urls += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not urls:
        raise ConfigError("source=urls needs urls=[…] or url_file=FILE")
    return [Remote(url=url, name=name) for url, name in zip(urls, names(urls), strict=True)]


def names(urls: list[str]) -> list[str]:
    """A file name for every address; the second of one name gets its number."""
    used: dict[str, int] = {}
    found = []
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"urls: {url!r} is no http or https address")
        name = unquote(parts.path).rpartition("/")[2].replace("\\", "_").lstrip(".") or "index.html"
        used[name] = used.get(name, 0) + 1
        found.append(name if used[name] == 1 else f"{used[name]}-{name}")
    return found
