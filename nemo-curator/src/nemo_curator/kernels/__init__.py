"""Compiled loops over Arrow string buffers; they release the GIL and are cached on disk."""
