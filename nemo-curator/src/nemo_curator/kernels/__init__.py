"""Compiled loops over Arrow string buffers; they release the GIL and are cached on disk."""

from . import cache, notice

cache.install()
notice.install()
